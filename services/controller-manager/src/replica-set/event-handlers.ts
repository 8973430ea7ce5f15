// From changes of ReplicaSets and pods to keys of ReplicaSets, and to met expectations.
import type { Pod, ReplicaSet } from "@coxswain/api";
import { deepEqual, objectKey, type OwnerReference } from "@coxswain/apimachinery";
import type { Controller, Expectations } from "@coxswain/controller-runtime";
import type { Caches } from "../controller-context.ts";
import { controllerOf, selecting } from "../ownership/controller-ref.ts";
import { isPodReady } from "../pods/pod-state.ts";
import type { ReplicaKind } from "./replica-kinds.ts";

/** Wires the caches to the controller. Before the informers start. */
export function followReplicaSetPods(
  caches: Caches,
  type: ReplicaKind,
  controller: Controller,
  expectations: Expectations,
): void {
  const { pods } = caches;
  type.follow({
    changed: (rs) => controller.enqueue(objectKey(rs)),
    removed: (rs) => {
      expectations.forget(rs.metadata?.uid ?? "");
      controller.enqueue(objectKey(rs));
    },
  });
  const ownerOf = (pod: Pod, reference: OwnerReference | undefined): ReplicaSet | undefined => {
    if (reference?.kind !== type.kind) return undefined;
    const rs = type.get(`${pod.metadata?.namespace ?? ""}/${reference.name}`);
    return rs?.metadata?.uid === reference.uid ? rs : undefined;
  };
  const enqueueOwner = (pod: Pod): ReplicaSet | undefined => {
    const rs = ownerOf(pod, controllerOf(pod));
    if (rs !== undefined) controller.enqueue(objectKey(rs));
    return rs;
  };
  const enqueueMatching = (pod: Pod): void => {
    const sets = type.inNamespace(pod.metadata?.namespace ?? "");
    for (const rs of selecting(sets, pod)) controller.enqueue(objectKey(rs));
  };
  const removed = (pod: Pod): void => {
    const uid = controllerOf(pod)?.uid;
    if (uid !== undefined) expectations.deletionObserved(uid, pod.metadata?.uid ?? "");
    enqueueOwner(pod);
  };
  pods.addHandler({
    add(pod) {
      const reference = controllerOf(pod);
      if (reference !== undefined) expectations.creationObserved(reference.uid);
      if (pod.metadata?.deletionTimestamp !== undefined) removed(pod);
      else if (reference === undefined) enqueueMatching(pod);
      else enqueueOwner(pod);
    },
    update(pod, old) {
      if (pod.metadata?.deletionTimestamp !== undefined) {
        removed(pod);
        return;
      }
      const [now, before] = [controllerOf(pod), controllerOf(old)];
      if (!deepEqual(now, before) && before !== undefined) enqueueOwner(old);
      if (now === undefined) {
        if (before !== undefined || !deepEqual(pod.metadata?.labels, old.metadata?.labels)) enqueueMatching(pod);
        return;
      }
      const rs = enqueueOwner(pod);
      const minReadySeconds = rs?.spec?.minReadySeconds ?? 0;
      if (rs !== undefined && minReadySeconds > 0 && !isPodReady(old) && isPodReady(pod)) {
        // A second more than asked: times in conditions are cut to seconds.
        controller.enqueueAfter(objectKey(rs), (minReadySeconds + 1) * 1000);
      }
    },
    delete: removed,
  });
}
