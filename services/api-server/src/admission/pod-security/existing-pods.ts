// Which of a namespace's pods break a level that is about to be enforced: told in warnings, pods of one controller once. Pure.
import type { Pod } from "@coxswain/api";
import { violationsOf } from "./evaluate.ts";
import { formatLevel, type LevelVersion } from "./policy.ts";

const MAX_PODS = 3_000;

/** Pods of controllers that have been seen already come last, so that the limit meets them first. */
function prioritised(pods: readonly Pod[]): Pod[] {
  const seen = new Set<string>();
  const first: Pod[] = [];
  const replicas: Pod[] = [];
  for (const pod of pods) {
    const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller)?.uid;
    if (owner !== undefined && seen.has(owner)) replicas.push(pod);
    else first.push(pod);
    if (owner !== undefined) seen.add(owner);
  }
  return [...first, ...replicas];
}

function others(count: number): string {
  if (count === 0) return "";
  return count === 1 ? " (and 1 other pod)" : ` (and ${count} other pods)`;
}

/** The warnings for a namespace whose pods are to keep to `enforce` from now on. */
export function evaluatedPods(namespace: string, enforce: LevelVersion, pods: readonly Pod[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const pod of prioritised(pods).slice(0, MAX_PODS)) {
    const broken = pod.spec === undefined ? [] : violationsOf(enforce, pod.metadata ?? {}, pod.spec);
    if (broken.length === 0) continue;
    const reason = broken.map((violation) => violation.reason).join(", ");
    byReason.set(reason, [...(byReason.get(reason) ?? []), pod.metadata?.name ?? ""]);
  }
  const warnings: string[] = [];
  if (pods.length > MAX_PODS) {
    const checked = `the first ${MAX_PODS} of ${pods.length} existing pods`;
    warnings.push(`new PodSecurity enforce level only checked against ${checked}`);
  }
  if (byReason.size > 0) {
    const level = JSON.stringify(formatLevel(enforce));
    warnings.push(
      `existing pods in namespace ${JSON.stringify(namespace)} violate the new PodSecurity enforce level ${level}`,
    );
  }
  const found = [...byReason].map(([reason, names]) => `${names.toSorted()[0]}${others(names.length - 1)}: ${reason}`);
  return [...warnings, ...found.toSorted()];
}
