// In which order clients should prefer groups and versions, as APIServices say it. Pure.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/api-service-v1/
import { compareVersions } from "@coxswain/apimachinery";

export interface GroupPriority {
  /** Higher comes first among groups. */
  readonly group: number;
  /** Higher comes first among the versions of a group. */
  readonly version: number;
}

/** The order in which upstream lists its own groups: 18000 for the core group, and so on downwards. */
const GROUPS: Readonly<Record<string, number>> = {
  "apiregistration.k8s.io": 20_000,
  "": 18_000,
  apps: 17_800,
  "events.k8s.io": 17_750,
  "authentication.k8s.io": 17_700,
  "authorization.k8s.io": 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  "certificates.k8s.io": 17_300,
  "networking.k8s.io": 17_200,
  policy: 17_100,
  "rbac.authorization.k8s.io": 17_000,
  "storage.k8s.io": 16_800,
  "apiextensions.k8s.io": 16_700,
  "admissionregistration.k8s.io": 16_700,
  "scheduling.k8s.io": 16_600,
  "coordination.k8s.io": 16_500,
  "node.k8s.io": 16_300,
  "discovery.k8s.io": 16_200,
  "flowcontrol.apiserver.k8s.io": 16_100,
  "internal.apiserver.k8s.io": 16_000,
  "resource.k8s.io": 15_900,
};
/** Versions that do not follow the rule below. */
const VERSIONS: Readonly<Record<string, number>> = { "/v1": 1, "flowcontrol.apiserver.k8s.io/v1": 21 };
const STABLE = 15;
const STABLE_STEP = 15;
const UNSTABLE = 9;

export const CUSTOM_PRIORITY: GroupPriority = { group: 1_000, version: 100 };

/** Undefined for a group that is not built in. */
export function builtInPriority(group: string, version: string): GroupPriority | undefined {
  const found = GROUPS[group];
  if (found === undefined) return undefined;
  const stable = /^v(\d+)$/.exec(version);
  const byRule = stable === null ? UNSTABLE : STABLE + (Number(stable[1]) - 1) * STABLE_STEP;
  return { group: found, version: VERSIONS[`${group}/${version}`] ?? byRule };
}

export interface PrioritizedVersion {
  readonly version: string;
  readonly priority: GroupPriority;
}

/** Negative where `a` is preferred. */
export function comparePrioritized(a: PrioritizedVersion, b: PrioritizedVersion): number {
  return b.priority.version - a.priority.version || compareVersions(a.version, b.version);
}
