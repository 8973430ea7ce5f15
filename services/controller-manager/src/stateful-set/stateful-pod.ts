// The pods and claims of a StatefulSet: their names, and what keeps a name's identity. Pure.
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, StatefulSet } from "@coxswain/api";
import { deepClone } from "@coxswain/apimachinery";
import { controllerReference } from "../ownership/controller-ref.ts";
import { REVISION_LABEL } from "../revisions/history.ts";

const POD_NAME = "statefulset.kubernetes.io/pod-name";
const POD_INDEX = "apps.kubernetes.io/pod-index";

const nameOf = (set: StatefulSet): string => set.metadata?.name ?? "";

/** The set as events name it. */
export const about = (set: StatefulSet): StatefulSet => ({ ...set, apiVersion: "apps/v1", kind: "StatefulSet" });

/** Undefined for a pod that has no name of the set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${nameOf(set)}-`;
  const name = pod.metadata?.name ?? "";
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^\d+$/.test(rest) ? Number(rest) : undefined;
}

export const podName = (set: StatefulSet, ordinal: number): string => `${nameOf(set)}-${ordinal}`;
export const revisionOf = (pod: Pod): string => pod.metadata?.labels?.[REVISION_LABEL] ?? "";

/** One for each claim template. */
export function claimsFor(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => ({
    ...deepClone(template),
    metadata: {
      ...template.metadata,
      name: `${template.metadata?.name ?? ""}-${podName(set, ordinal)}`,
      namespace: set.metadata?.namespace,
      labels: { ...template.metadata?.labels, ...set.spec?.selector?.matchLabels },
    },
  }));
}

function identity(set: StatefulSet, ordinal: number): Record<string, string> {
  return { [POD_NAME]: podName(set, ordinal), [POD_INDEX]: String(ordinal) };
}

/** The volumes of claims take the place of others by the same name. */
function withClaims(set: StatefulSet, ordinal: number, spec: NonNullable<Pod["spec"]>): void {
  const templates = set.spec?.volumeClaimTemplates ?? [];
  const claims = claimsFor(set, ordinal).map((claim, at) => ({
    name: templates[at]?.metadata?.name ?? "",
    persistentVolumeClaim: { claimName: claim.metadata?.name ?? "", readOnly: false },
  }));
  if (claims.length === 0) return;
  const taken = new Set(claims.map(({ name }) => name));
  spec.volumes = [...claims, ...(spec.volumes ?? []).filter(({ name }) => !taken.has(name))];
}

export function podForOrdinal(set: StatefulSet, ordinal: number, template: PodTemplateSpec, revision: string): Pod {
  const { metadata, spec } = deepClone(template);
  const name = podName(set, ordinal);
  const made = { ...spec!, hostname: name };
  if (set.spec?.serviceName) made.subdomain = set.spec.serviceName;
  withClaims(set, ordinal, made);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: set.metadata?.namespace,
      labels: { ...metadata?.labels, ...identity(set, ordinal), [REVISION_LABEL]: revision },
      ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata?.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [controllerReference(set, "apps/v1", "StatefulSet")],
    },
    spec: made,
  };
}

/** Labels that the pod lacks to be known by its name; undefined where it has all. */
export function missingIdentity(set: StatefulSet, pod: Pod, ordinal: number): Record<string, string> | undefined {
  const wanted = identity(set, ordinal);
  const lacks = Object.entries(wanted).some(([key, value]) => pod.metadata?.labels?.[key] !== value);
  return lacks ? wanted : undefined;
}
