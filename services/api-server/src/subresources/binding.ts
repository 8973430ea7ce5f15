// pods/binding: gives a pod its node, once. Guarantee: of two bindings of a pod one wins, the other gets a Conflict.
import type { Binding, Pod } from "@coxswain/api";
import { formatTime, newConflict, type KubeObject } from "@coxswain/apimachinery";
import type { CachedObject } from "../watch-cache/cached-object.ts";

const PODS = { group: "", resource: "pods" };

/** @throws StatusError Conflict where the pod is bound, on its way out, gated or another one */
export function applyBinding(old: CachedObject, binding: Binding, nowMs: number): KubeObject {
  const pod = old.draft() as Pod;
  const { metadata, target } = binding;
  const conflict = (message: string): never => {
    throw newConflict({ group: "", resource: "pods/binding" }, old.name, message);
  };
  if (metadata?.uid && metadata.uid !== pod.metadata?.uid) {
    throw newConflict(
      PODS,
      old.name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${pod.metadata?.uid}`,
    );
  }
  if (metadata?.resourceVersion && metadata.resourceVersion !== pod.metadata?.resourceVersion) {
    throw newConflict(PODS, old.name);
  }
  if (pod.metadata?.deletionTimestamp) conflict(`pod ${old.name} is being deleted, cannot be assigned to a host`);
  const { nodeName, schedulingGates } = pod.spec!;
  if (nodeName) conflict(`pod ${old.name} is already assigned to node ${JSON.stringify(nodeName)}`);
  if ((schedulingGates ?? []).length > 0) conflict(`pod ${old.name} has non-empty .spec.schedulingGates`);
  pod.spec = { ...pod.spec!, nodeName: target.name };
  if (metadata?.labels) pod.metadata!.labels = { ...pod.metadata!.labels, ...metadata.labels };
  if (metadata?.annotations) pod.metadata!.annotations = { ...pod.metadata!.annotations, ...metadata.annotations };
  setScheduled(pod, nowMs);
  return pod;
}

function setScheduled(pod: Pod, nowMs: number): void {
  // The wish has come true; to keep it would tell readers of a pod that still waits.
  const { nominatedNodeName: _wish, ...status } = pod.status ?? {};
  const others = (status.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const scheduled = {
    type: "PodScheduled",
    status: "True",
    lastTransitionTime: formatTime(nowMs),
    ...(pod.metadata?.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
  pod.status = { ...status, conditions: [...others, scheduled] };
}
