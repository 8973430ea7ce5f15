// What each volume of a pod is to be on its node, and what of it is refused. Pure.
// Only volumes that a container mounts are made, as upstream does.
import type { Container, EmptyDirVolumeSource, Pod, Volume, VolumeProjection } from "@coxswain/api";
import { parseBytes } from "@coxswain/apimachinery";

export type VolumePlan =
  | EmptyDirPlan
  | { readonly kind: "hostPath"; readonly name: string; readonly path: string; readonly type: string }
  | FilesPlan
  /** A container image, which the runtime mounts. */
  | { readonly kind: "image"; readonly name: string; readonly reference: string }
  /** Stands for a claim: what it is has to be asked (claimed-volumes.ts). */
  | { readonly kind: "claim"; readonly name: string }
  | { readonly kind: "refused"; readonly name: string; readonly message: string };

export interface EmptyDirPlan {
  readonly kind: "emptyDir";
  readonly name: string;
  readonly tmpfs: TmpfsPlan | undefined;
  /** What it may take, as the pod says it: "1Gi". */
  readonly sizeLimit?: string;
}

export interface TmpfsPlan {
  readonly sizeBytes: number | undefined;
}

/** Files out of the API: always read-only for containers. */
export interface FilesPlan {
  readonly kind: "files";
  readonly name: string;
  /** "kubernetes.io~secret" */
  readonly plugin: string;
  /** Kept in memory only. */
  readonly tmpfs: boolean;
  readonly mode: number;
  readonly sources: readonly VolumeProjection[];
}

const DEFAULT_MODE = 0o644;

/** All containers of the pod, whenever they run. */
export function allContainers(pod: Pod): Container[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  return [...initContainers, ...containers, ...ephemeralContainers];
}

/** `allocatableMemory` bounds volumes in memory where nothing else does; in bytes. */
export function planVolumes(pod: Pod, allocatableMemory: number): VolumePlan[] {
  const used = new Set(
    allContainers(pod).flatMap(({ volumeMounts = [], volumeDevices = [] }) =>
      [...volumeMounts, ...volumeDevices].map(({ name }) => name),
    ),
  );
  return (pod.spec?.volumes ?? [])
    .filter(({ name }) => used.has(name))
    .map((volume) => planVolume(pod, volume, allocatableMemory));
}

function planVolume(pod: Pod, volume: Volume, allocatableMemory: number): VolumePlan {
  const { name, emptyDir, hostPath, configMap, secret, downwardAPI, projected, image } = volume;
  if (image !== undefined) return { kind: "image", name, reference: image.reference ?? "" };
  if (volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined) return { kind: "claim", name };
  if (emptyDir !== undefined) return planEmptyDir(pod, name, emptyDir, allocatableMemory);
  if (hostPath !== undefined) return { kind: "hostPath", name, path: hostPath.path, type: hostPath.type ?? "" };
  const files = (plugin: string, mode: number | undefined, sources: readonly VolumeProjection[]): FilesPlan => ({
    kind: "files",
    name,
    plugin: `kubernetes.io~${plugin}`,
    // ConfigMaps are no secrets: they may go to disk.
    tmpfs: plugin !== "configmap",
    mode: mode ?? DEFAULT_MODE,
    sources,
  });
  if (configMap !== undefined) return files("configmap", configMap.defaultMode, [{ configMap }]);
  if (secret !== undefined) {
    const { secretName = "", items, optional } = secret;
    const source = { name: secretName, ...(items && { items }), ...(optional !== undefined && { optional }) };
    return files("secret", secret.defaultMode, [{ secret: source }]);
  }
  if (downwardAPI !== undefined) return files("downward-api", downwardAPI.defaultMode, [{ downwardAPI }]);
  if (projected === undefined) return { kind: "refused", name, message: refusal(Object.keys(volume)) };
  const sources = projected.sources ?? [];
  const unknown = sources.flatMap((source) => Object.keys(source)).find((key) => !PROJECTIONS.has(key));
  if (unknown !== undefined) {
    return { kind: "refused", name, message: `projected source ${unknown} is not supported by this kubelet` };
  }
  return files("projected", projected.defaultMode, sources);
}

const PROJECTIONS = new Set(["configMap", "secret", "downwardAPI", "serviceAccountToken"]);

function refusal(keys: readonly string[]): string {
  const kind = keys.find((key) => key !== "name") ?? "of no type";
  return `volume type ${kind} is not supported by this kubelet`;
}

function planEmptyDir(pod: Pod, name: string, source: EmptyDirVolumeSource, allocatableMemory: number): VolumePlan {
  const { medium = "", sizeLimit } = source;
  const limited = sizeLimit === undefined || parseBytes(sizeLimit) <= 0 ? {} : { sizeLimit };
  if (medium === "") return { kind: "emptyDir", name, tmpfs: undefined, ...limited };
  if (medium !== "Memory") {
    return { kind: "refused", name, message: `emptyDir medium ${medium} is not supported by this kubelet` };
  }
  const limit = sizeLimit === undefined ? 0 : parseBytes(sizeLimit);
  const bounds = [podMemoryLimit(pod) ?? allocatableMemory, limit].filter((bytes) => bytes > 0);
  return { kind: "emptyDir", name, tmpfs: { sizeBytes: bounds.length === 0 ? undefined : Math.min(...bounds) } };
}

/** What the pod's containers may use together; undefined where one of them has no limit. */
function podMemoryLimit(pod: Pod): number | undefined {
  const whole = pod.spec?.resources?.limits?.["memory"];
  if (whole !== undefined) return parseBytes(whole);
  let total = 0;
  for (const { resources } of pod.spec?.containers ?? []) {
    const limit = resources?.limits?.["memory"];
    if (limit === undefined) return undefined;
    total += parseBytes(limit);
  }
  return total;
}
