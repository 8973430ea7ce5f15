// Invariants of disks and of nodes that are lost: a disk for one node is asked for on one at a time and is there before a pod runs
// with it, and controllers end a pod in its node's place only where the node is gone or given up.
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, VolumeAttachment } from "@coxswain/api";
import { claimNameOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import { isFinished, type ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

/** A create that a thawed server carries out late is beyond any controller. */
export function disksAreAttachedOnce(): Invariant {
  return {
    name: "disks-are-attached-once",
    check({ key, ref, object, old, actor }, state) {
      if (ref.resource !== "volumeattachments" || object === undefined || old !== undefined) return OK;
      if (actor?.abandoned === true) return OK;
      const { spec } = object as VolumeAttachment;
      const name = spec.source.persistentVolumeName;
      const volume = state.list<PersistentVolume>("persistentvolumes").find(({ metadata }) => metadata?.name === name);
      if (volume?.spec?.accessModes?.join() !== "ReadWriteOnce") return OK;
      return state
        .list<VolumeAttachment>("volumeattachments")
        .filter((one) => one.spec.source.persistentVolumeName === name && one.spec.nodeName !== spec.nodeName)
        .map((one) => `${key} asks for ${name} on ${spec.nodeName}, and ${one.spec.nodeName} has it`);
    },
  };
}

function disksOf(pod: Pod, state: ClusterState): PersistentVolume[] {
  const claims = (pod.spec?.volumes ?? []).flatMap((one) => claimNameOf(pod, one) ?? []);
  const volumes = state
    .list<PersistentVolumeClaim>("persistentvolumeclaims")
    .filter(({ metadata }) => metadata?.namespace === pod.metadata?.namespace && claims.includes(metadata?.name ?? ""))
    .map(({ spec }) => spec?.volumeName);
  return state
    .list<PersistentVolume>("persistentvolumes")
    .filter(({ metadata, spec }) => spec?.csi !== undefined && volumes.includes(metadata?.name));
}

/** Looked at when a pod says that it runs. */
export function podsRunWithTheirDisks(): Invariant {
  return {
    name: "pods-run-with-their-disks",
    check({ key, ref, object, old }, state) {
      if (ref.resource !== "pods" || object === undefined) return OK;
      const [pod, before]: [Pod, Pod | undefined] = [object, old];
      if (pod.status?.phase !== "Running" || before?.status?.phase === "Running") return OK;
      const node = pod.spec?.nodeName;
      const attached = state
        .list<VolumeAttachment>("volumeattachments")
        .filter(({ spec, status }) => spec.nodeName === node && status?.attached === true)
        .map(({ spec }) => spec.source.persistentVolumeName);
      return disksOf(pod, state)
        .filter(({ metadata }) => !attached.includes(metadata?.name))
        .map(({ metadata }) => `${key} runs on ${node}, where ${metadata?.name} is not attached`);
    },
  };
}

const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";

function isGivenUp(node: Node | undefined): boolean {
  if (node === undefined) return true;
  const ready = node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
  return !ready && (node.spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE);
}

/** To end is to be said to have failed, or to be taken away before it has. */
export function podsEndOnTheirNodes(): Invariant {
  return {
    name: "pods-end-on-their-nodes",
    check({ key, ref, object, old, actor }, state) {
      if (ref.resource !== "pods" || old === undefined || !actor?.process.startsWith("controller-manager")) return OK;
      const [pod, before]: [Pod | undefined, Pod] = [object, old];
      const name = before.spec?.nodeName ?? "";
      const ended = pod === undefined ? (before.metadata?.finalizers ?? []).length === 0 : isFinished(pod);
      if (name === "" || isFinished(before) || !ended) return OK;
      const node = state.nodes.find(({ metadata }) => metadata?.name === name);
      return isGivenUp(node) ? OK : [`${key} was ended by ${actor.process}, and ${name} is in service`];
    },
  };
}
