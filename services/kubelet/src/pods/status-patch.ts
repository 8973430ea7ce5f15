// The difference between two pod statuses as a strategic merge patch: pure. Only what the kubelet owns is in it, so that
// conditions and fields of others stay as they are.
import type { PodCondition, PodStatus } from "@coxswain/api";
import { sameValue } from "@coxswain/api";
import { RESIZE_IN_PROGRESS, RESIZE_PENDING } from "./plan-resize.ts";

const OWNED = [
  "phase",
  "reason",
  "message",
  "hostIP",
  "podIP",
  "startTime",
  "containerStatuses",
  "initContainerStatuses",
  "ephemeralContainerStatuses",
  "observedGeneration",
] as const;
/** Lists that merge by a key on the server; they are replaced as a whole here. */
const REPLACED = ["podIPs", "hostIPs"] as const;

/** Conditions of the kubelet's that go once they no longer hold. */
const PASSING: ReadonlySet<string> = new Set([RESIZE_PENDING, RESIZE_IN_PROGRESS]);

/** Whatever generation of the pod they speak of. */
function saysTheSame(old: PodCondition, { status, reason, message }: PodCondition): boolean {
  return old.status === status && (old.reason ?? "") === (reason ?? "") && (old.message ?? "") === (message ?? "");
}

function changedConditions(before: readonly PodCondition[], after: readonly PodCondition[]): PodCondition[] {
  const known = new Map(before.map((condition) => [condition.type, condition]));
  return after.filter((condition) => {
    const old = known.get(condition.type);
    return old === undefined || !saysTheSame(old, condition) || old.observedGeneration !== condition.observedGeneration;
  });
}

/** Undefined where `before` says all of it already. */
export function statusPatch(before: PodStatus, after: PodStatus): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {};
  for (const field of OWNED) {
    const [old, now] = [before[field], after[field]];
    if (now === undefined ? old !== undefined : !sameValue(old, now)) patch[field] = now ?? null;
  }
  for (const field of REPLACED) {
    const [old, now] = [before[field], after[field]];
    if (now === undefined || sameValue(old, now)) continue;
    patch[field] = old === undefined || old.length === 0 ? now : [{ $patch: "replace" }, ...now];
  }
  const conditions = changedConditions(before.conditions ?? [], after.conditions ?? []);
  // Absent fields of a merged element stay: say what goes.
  const over = (before.conditions ?? []).filter(
    ({ type }) => PASSING.has(type) && after.conditions?.some((one) => one.type === type) !== true,
  );
  if (conditions.length + over.length > 0) {
    patch["conditions"] = [
      ...conditions.map((condition) => ({ reason: null, message: null, ...condition })),
      ...over.map(({ type }) => ({ $patch: "delete", type })),
    ];
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** Whether all that a patch of `before` changes is which generation of the pod the status speaks of. */
export function changesGenerationOnly(before: PodStatus, patch: Readonly<Record<string, unknown>>): boolean {
  const { observedGeneration, conditions = [], ...rest } = patch;
  if (observedGeneration === null || Object.keys(rest).length > 0) return false;
  return (conditions as readonly (PodCondition & { $patch?: string })[]).every((condition) => {
    const old = before.conditions?.find(({ type }) => type === condition.type);
    return condition.$patch === undefined && old !== undefined && saysTheSame(old, condition);
  });
}

/** Containers that are being made, and none that had a life or has something to tell. */
const BEING_MADE: ReadonlySet<string | undefined> = new Set(["ContainerCreating", "PodInitializing"]);

/** Whether a pod of which nothing was told yet has no more to tell than that its containers are being made. */
export function hasOnlyBegun(before: PodStatus, { phase, reason, ...after }: PodStatus): boolean {
  if (before.startTime !== undefined || phase !== "Pending" || reason !== undefined) return false;
  const statuses = [...(after.initContainerStatuses ?? []), ...(after.containerStatuses ?? [])];
  return statuses.every(
    ({ state, lastState, restartCount }) =>
      BEING_MADE.has(state?.waiting?.reason) && lastState?.terminated === undefined && restartCount === 0,
  );
}
