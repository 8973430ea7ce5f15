// The ConfigMaps, Secrets and claims (of volumes and of devices) of its own namespace that a pod names: what its kubelet has to read to run it.
import type { Pod, Volume } from "../../index.ts";
import { podClaimName } from "../../resource-v1/pod-device-claims.ts";
import { claimNameOf } from "../persistent-volume/binding.ts";
import { MIRROR_ANNOTATION } from "./annotations.ts";

export type ReferencedResource = "configmaps" | "secrets" | "persistentvolumeclaims" | "resourceclaims";
export type PodReferences = Readonly<Record<ReferencedResource, ReadonlySet<string>>>;

/** Mirror pods name nothing: a kubelet makes them itself, and could name whatever it wants to read. */
export function podReferences(pod: Pod): PodReferences {
  const configmaps = new Set<string>();
  const secrets = new Set<string>();
  const persistentvolumeclaims = new Set<string>();
  const resourceclaims = new Set<string>();
  const all = { configmaps, secrets, persistentvolumeclaims, resourceclaims };
  const add = (names: Set<string>, name: string | undefined): void => {
    if (name) names.add(name);
  };
  const { spec } = pod;
  const mirrored = pod.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined;
  if (spec === undefined || mirrored) return all;
  for (const claim of spec.resourceClaims ?? []) {
    const found = podClaimName(pod, claim);
    if (found.kind === "named") resourceclaims.add(found.name);
  }
  for (const secret of spec.imagePullSecrets ?? []) add(secrets, secret.name);
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  for (const container of containers) {
    for (const from of container.envFrom ?? []) {
      add(configmaps, from.configMapRef?.name);
      add(secrets, from.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add(configmaps, valueFrom?.configMapKeyRef?.name);
      add(secrets, valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add(configmaps, volume.configMap?.name);
    add(secrets, volume.secret?.secretName);
    add(persistentvolumeclaims, claimNameOf(pod, volume));
    for (const projection of volume.projected?.sources ?? []) {
      add(configmaps, projection.configMap?.name);
      add(secrets, projection.secret?.name);
    }
    for (const name of driverSecrets(volume)) add(secrets, name);
  }
  return all;
}

/** Every kind of volume that takes a secret for its driver names it in one of these fields. */
function driverSecrets(volume: Volume): (string | undefined)[] {
  return Object.values(volume).flatMap((source: unknown) => {
    if (typeof source !== "object" || source === null) return [];
    const { secretRef, nodePublishSecretRef } = source as Partial<Record<string, { name?: string }>>;
    return [secretRef?.name, nodePublishSecretRef?.name];
  });
}
