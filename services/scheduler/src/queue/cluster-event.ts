// What happens in the cluster, as far as it may make a waiting pod schedulable; and what a plugin says about that.
import type { Node, Pod } from "@coxswain/api";
import { deepEqual, type KubeObject } from "@coxswain/apimachinery";
import { podRequests, requestSources, type PodInfo } from "../pod-info.ts";

export type StorageResource =
  | "PersistentVolumeClaim"
  | "PersistentVolume"
  | "StorageClass"
  | "CSINode"
  | "CSIDriver"
  | "CSIStorageCapacity"
  | "VolumeAttachment";

export type DeviceResource = "ResourceClaim" | "ResourceSlice" | "DeviceClass";

export type EventResource =
  | "Node"
  | "AssignedPod"
  | "TargetPod"
  | "Namespace"
  | "WildCard"
  | StorageResource
  | DeviceResource;

export type EventAction =
  | "Add"
  | "Delete"
  | "UpdateNodeAllocatable"
  | "UpdateNodeLabel"
  | "UpdateNodeTaint"
  | "UpdatePodLabel"
  | "UpdatePodScaleDown"
  | "UpdatePodToleration"
  | "UpdatePodSchedulingGatesEliminated"
  | "UpdatePodGeneratedResourceClaim"
  | "Update";

export interface ClusterEvent {
  readonly resource: EventResource;
  readonly actions: ReadonlySet<EventAction>;
  /** Before and after; absent for additions and deletions. */
  readonly oldNode?: Node;
  readonly node?: Node;
  readonly oldPod?: Pod;
  readonly pod?: Pod;
  /** Of storage, devices and namespaces: the object as it is now, or was. */
  readonly object?: KubeObject;
  /** Of a device that changed: as it was before. */
  readonly oldObject?: KubeObject;
}

export interface EventRegistration {
  readonly resource: EventResource;
  readonly actions: readonly EventAction[];
  /** The queueing hint: false where this event cannot help this pod. Absent: it may help. */
  hint?(waiting: PodInfo, event: ClusterEvent): boolean;
}

function matches(registration: EventRegistration, event: ClusterEvent): boolean {
  return registration.resource === event.resource && registration.actions.some((action) => event.actions.has(action));
}

/** Whether the plugin with these registrations wants to hear of such events at all. */
export function concerns(registrations: readonly EventRegistration[], event: ClusterEvent): boolean {
  return event.resource === "WildCard" || registrations.some((one) => matches(one, event));
}

/** Whether an event may help a pod that the plugin with these registrations rejected. */
export function mayHelp(registrations: readonly EventRegistration[], waiting: PodInfo, event: ClusterEvent): boolean {
  if (event.resource === "WildCard") return true;
  return registrations.some((one) => matches(one, event) && (one.hint === undefined || one.hint(waiting, event)));
}

function same(a: unknown, b: unknown): boolean {
  return deepEqual(a ?? null, b ?? null);
}

/** What changed of a node; undefined where nothing did that scheduling looks at. */
export function nodeUpdateEvent(old: Node, node: Node): ClusterEvent | undefined {
  const actions = new Set<EventAction>();
  if (!same(old.status?.allocatable, node.status?.allocatable)) actions.add("UpdateNodeAllocatable");
  if (!same(old.metadata?.labels, node.metadata?.labels)) actions.add("UpdateNodeLabel");
  const taints = (one: Node): unknown => [one.spec?.taints ?? [], one.spec?.unschedulable === true];
  if (!same(taints(old), taints(node))) actions.add("UpdateNodeTaint");
  return actions.size === 0 ? undefined : { resource: "Node", actions, oldNode: old, node };
}

/** How much less than before a pod takes of its node, by resource; only where it is less. */
export function freedRequests(old: Pod, pod: Pod): Map<string, number> {
  if (same(requestSources(old), requestSources(pod))) return new Map();
  const after = podRequests(pod);
  const freed = [...podRequests(old)].map(([name, amount]) => [name, amount - (after.get(name) ?? 0)] as const);
  return new Map(freed.filter(([, amount]) => amount > 0));
}

/** What changed of a pod, assigned or waiting. */
export function podUpdateEvent(resource: EventResource, old: Pod, pod: Pod): ClusterEvent {
  const actions = new Set<EventAction>(["Update"]);
  if (!same(old.metadata?.labels, pod.metadata?.labels)) actions.add("UpdatePodLabel");
  if (freedRequests(old, pod).size > 0) actions.add("UpdatePodScaleDown");
  if (!same(old.spec?.tolerations, pod.spec?.tolerations)) actions.add("UpdatePodToleration");
  const gates = (one: Pod): number => one.spec?.schedulingGates?.length ?? 0;
  if (gates(old) > 0 && gates(pod) === 0) actions.add("UpdatePodSchedulingGatesEliminated");
  const claims = (one: Pod): unknown => one.status?.resourceClaimStatuses;
  if (!same(claims(old), claims(pod))) actions.add("UpdatePodGeneratedResourceClaim");
  return { resource, actions, oldPod: old, pod };
}
