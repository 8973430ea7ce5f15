// From informers into snapshot and queue: every change of a node or pod reaches both, in order.
import type { Node, Pod } from "@coxswain/api";
import { deepEqual, objectKey } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import type { Env } from "@coxswain/env";
import type { SchedulerParts } from "./app.ts";
import type { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";
import { EXTENDER, type Framework } from "./framework/plan-schedule.ts";
import { isTerminal, makePodInfo, type PodInfo } from "./pod-info.ts";
import { nodeUpdateEvent, podUpdateEvent, type EventAction } from "./queue/cluster-event.ts";
import { SchedulingQueue, type QueueOptions } from "./queue/scheduling-queue.ts";

/** The queue of all profiles; plugins of one name must register the same events in all of them. */
export function createQueue(
  env: Env,
  frameworks: ReadonlyMap<string, Framework>,
  snapshot: ClusterSnapshot,
  backoff: Pick<QueueOptions, "initialBackoffMs" | "maxBackoffMs"> = {},
): SchedulingQueue {
  const plugins = [...frameworks.values()].flatMap((framework) => framework.plugins);
  const registrations = new Map(plugins.map((plugin) => [plugin.name, plugin.events?.(snapshot)]));
  const less = plugins.find((plugin) => plugin.less !== undefined)!;
  return new SchedulingQueue({
    ...backoff,
    clock: env.clock,
    less: (a, b) => less.less!(a, b),
    heldBack: (info) => frameworks.get(info.pod.spec?.schedulerName ?? "")?.heldBack(info, snapshot)?.plugin,
    // Nobody knows what an extender waits for.
    registrations: (name) => (registrations.has(name) || name === EXTENDER ? registrations.get(name) : []),
  });
}

const only = (action: EventAction): ReadonlySet<EventAction> => new Set([action]);

export function followNodes(informer: SharedInformer<Node>, parts: SchedulerParts, wake: () => void): void {
  const { snapshot, queue } = parts;
  informer.addHandler({
    add(node) {
      snapshot.upsertNode(node);
      queue.moveOn({ resource: "Node", actions: only("Add"), node });
      wake();
    },
    update(node, old) {
      // Most updates are heartbeats, which change nothing that counts here.
      const event = nodeUpdateEvent(old, node);
      if (JSON.stringify(old.status?.images) !== JSON.stringify(node.status?.images)) {
        snapshot.images.set(node.metadata?.name ?? "", node.status?.images);
      }
      if (event === undefined) return;
      snapshot.upsertNode(node);
      if (queue.moveOn(event) > 0) wake();
    },
    delete(node) {
      snapshot.removeNode(node.metadata?.name ?? "");
      if (queue.moveOn({ resource: "Node", actions: only("Delete"), oldNode: node }) > 0) wake();
    },
  });
}

function isAssigned(pod: Pod): boolean {
  return (pod.spec?.nodeName ?? "") !== "";
}

export function followPods(informer: SharedInformer<Pod>, parts: SchedulerParts, wake: () => void): void {
  const { snapshot, queue, frameworks, waiting: permitted } = parts;
  const { nominations } = snapshot;
  const ours = (pod: Pod): boolean => frameworks.has(pod.spec?.schedulerName ?? "");

  function assigned(pod: Pod, old: Pod | undefined): void {
    const key = objectKey(pod);
    const counted = old !== undefined && isAssigned(old) && !isTerminal(old);
    snapshot.upsertPod(pod);
    nominations.remove(key);
    queue.delete(key);
    if (isTerminal(pod)) {
      if (counted) left(old);
      return;
    }
    const event = counted
      ? podUpdateEvent("AssignedPod", old, pod)
      : { resource: "AssignedPod" as const, actions: only("Add"), pod };
    if (queue.moveOn(event) > 0) wake();
  }

  function left(pod: Pod): void {
    if (queue.moveOn({ resource: "AssignedPod", actions: only("Delete"), oldPod: pod }) > 0) wake();
  }

  function waiting(pod: Pod, old: Pod | undefined): void {
    const key = objectKey(pod);
    if (isTerminal(pod)) nominations.remove(key);
    const same = old !== undefined && !changed(old, pod);
    if (same && !isTerminal(pod) && sameNomination(old, pod)) return;
    const info = makePodInfo(pod, queue.get(key)?.info);
    if (!isTerminal(pod)) nominated(info, old);
    if (!ours(pod) || isTerminal(pod)) {
      queue.delete(key);
      return;
    }
    if (same) return queue.refresh(info);
    if (old === undefined) queue.add(info);
    else queue.update(info, podUpdateEvent("TargetPod", old, pod));
    wake();
  }

  /** Follows what the api-server shows; a nomination that it does not show yet stays. */
  function nominated(info: PodInfo, old: Pod | undefined): void {
    const node = info.pod.status?.nominatedNodeName ?? "";
    const before = old?.status?.nominatedNodeName ?? "";
    if (node !== "") nominations.add(info, node);
    else if (before === "") nominations.refresh(info);
    else if (nominations.nodeOf(info.key) === before) nominations.remove(info.key);
    if (before !== "" && node !== before) leftNomination(old!);
  }

  /** The room that was kept for a pod is free for those that are not more important. */
  function leftNomination(pod: Pod): void {
    const priority = pod.spec?.priority ?? 0;
    const event = { resource: "AssignedPod" as const, actions: only("Delete"), oldPod: pod };
    if (queue.moveOn(event, (other) => other.priority <= priority && other.key !== objectKey(pod)) > 0) wake();
  }

  informer.addHandler({
    add: (pod) => (isAssigned(pod) ? assigned(pod, undefined) : waiting(pod, undefined)),
    update(pod, old) {
      if (pod.metadata?.uid !== old.metadata?.uid) gone(old);
      const before = pod.metadata?.uid === old.metadata?.uid ? old : undefined;
      if (isAssigned(pod)) assigned(pod, before);
      else waiting(pod, before);
    },
    delete: (pod) => gone(pod),
  });

  function gone(pod: Pod): void {
    const key = objectKey(pod);
    const counted = snapshot.nodeOfPod(key) !== undefined;
    const waited = permitted.get(pod.metadata?.uid ?? "");
    const wasNominated = nominations.nodeOf(key) !== undefined;
    snapshot.removePod(key);
    nominations.remove(key);
    queue.delete(key);
    waited?.reject("", "the pod was deleted");
    if (counted) left(pod);
    else if (wasNominated) leftNomination(pod);
  }
}

function sameNomination(old: Pod, pod: Pod): boolean {
  return (old.status?.nominatedNodeName ?? "") === (pod.status?.nominatedNodeName ?? "");
}

/** Our own writes of status must not bring a pod back to life in the queue. */
function changed(old: Pod, pod: Pod): boolean {
  const [before, after] = [old.metadata, pod.metadata];
  if (before?.deletionTimestamp !== after?.deletionTimestamp) return true;
  if (!deepEqual(before?.labels, after?.labels) || !deepEqual(before?.annotations, after?.annotations)) return true;
  if (!deepEqual(old.status?.resourceClaimStatuses, pod.status?.resourceClaimStatuses)) return true;
  // The generation counts the changes of the spec.
  const counted = after?.generation !== undefined && after.generation === before?.generation;
  return !counted && !deepEqual(old.spec, pod.spec);
}
