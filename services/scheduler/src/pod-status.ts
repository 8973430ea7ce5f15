// What a pod's status says where it could not be placed: the PodScheduled condition, and the node that it is nominated to.
import { formatTime } from "@coxswain/apimachinery";
import { PODS, type Pod, type PodCondition } from "@coxswain/api";
import type { BatchOperation, ResourceClient } from "@coxswain/client";
import type { PodInfo } from "./pod-info.ts";

export interface Unplaced {
  readonly pod: Pod;
  readonly reason: "Unschedulable" | "SchedulerError";
  readonly message: string;
  readonly nowMs: number;
  /** "" takes a nomination back; absent: it stays as it is. */
  readonly nominated?: string;
}

const EVENT_LIMIT = 1024;
const CUT = " ...";

/** As much of a message as an event has room for. */
export function eventMessage(message: string): string {
  return message.length <= EVENT_LIMIT ? message : message.slice(0, EVENT_LIMIT - CUT.length) + CUT;
}

/** The condition to write; undefined where the pod has it already. */
export function planCondition(unplaced: Unplaced): PodCondition | undefined {
  const { pod, reason, message, nowMs } = unplaced;
  const old = pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
  if (old?.status === "False" && old.reason === reason && old.message === message) return undefined;
  const condition: PodCondition = {
    type: "PodScheduled",
    status: "False",
    reason,
    message,
    lastTransitionTime:
      old?.status === "False" && old.lastTransitionTime !== undefined ? old.lastTransitionTime : formatTime(nowMs),
  };
  if (pod.metadata?.generation !== undefined) condition.observedGeneration = pod.metadata.generation;
  return condition;
}

/** The status to merge; undefined where the pod has it already. */
export function planStatus(unplaced: Unplaced): Record<string, unknown> | undefined {
  const { pod, nominated } = unplaced;
  const condition = planCondition(unplaced);
  const renominated = nominated !== undefined && nominated !== (pod.status?.nominatedNodeName ?? "");
  if (condition === undefined && !renominated) return undefined;
  return {
    ...(condition === undefined ? {} : { conditions: [condition] }),
    ...(renominated ? { nominatedNodeName: nominated === "" ? null : nominated } : {}),
  };
}

/** The pod as it is once others know where it is about to go. */
export function withNomination(info: PodInfo, node: string): PodInfo {
  return { ...info, pod: { ...info.pod, status: { ...info.pod.status, nominatedNodeName: node } } };
}

/** The write that merges `status` into a pod's. */
export function statusPatch({ metadata }: Pod, status: Record<string, unknown>): BatchOperation {
  const { namespace, name = "" } = metadata ?? {};
  return {
    op: "patch",
    ref: PODS,
    target: { ...(namespace === undefined ? {} : { namespace }), name },
    type: "application/strategic-merge-patch+json",
    patch: { status },
    subresource: "status",
  };
}

/** Rejects as the client does. What the status has become need not be read: the informer shows it. */
async function patchStatus(client: ResourceClient, pod: Pod, status: Record<string, unknown>): Promise<void> {
  const [outcome] = await client.batch([statusPatch(pod, status)]);
  if (outcome?.ok === false) throw outcome.error;
}

/** Tells others where a pod is about to go that is not bound yet. Rejects as the client does. */
export async function patchNominated(client: ResourceClient, pod: Pod, node: string): Promise<void> {
  if (pod.status?.nominatedNodeName !== node) await patchStatus(client, pod, { nominatedNodeName: node });
}

/** Rejects as the client does. */
export async function patchUnschedulable(unplaced: Unplaced & { client: ResourceClient }): Promise<void> {
  const status = planStatus(unplaced);
  if (status !== undefined) await patchStatus(unplaced.client, unplaced.pod, status);
}
