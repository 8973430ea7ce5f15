// From changes of Deployments, ReplicaSets and pods to keys of Deployments.
import type { Deployment, Pod, ReplicaSet } from "@coxswain/api";
import { deepEqual, objectKey, type KubeObject } from "@coxswain/apimachinery";
import type { Controller } from "@coxswain/controller-runtime";
import { BY_NAMESPACE, type Caches } from "../controller-context.ts";
import { controllerOf, selecting } from "../ownership/controller-ref.ts";

/** Wires the caches to the controller. Before the informers start. */
export function followDeploymentObjects(caches: Caches, controller: Controller): void {
  const { deployments, replicaSets, pods } = caches;
  const ownerOf = <T extends KubeObject>(object: KubeObject, kind: string, get: (key: string) => T | undefined) => {
    const reference = controllerOf(object);
    if (reference?.kind !== kind) return undefined;
    const owner = get(`${object.metadata?.namespace ?? ""}/${reference.name}`);
    return owner?.metadata?.uid === reference.uid ? owner : undefined;
  };
  const deploymentOf = (rs: ReplicaSet): Deployment | undefined =>
    ownerOf(rs, "Deployment", (key) => deployments.lister.get(key));
  const enqueueOwner = (rs: ReplicaSet): void => {
    const owner = deploymentOf(rs);
    if (owner !== undefined) controller.enqueue(objectKey(owner));
  };
  const enqueueMatching = (rs: ReplicaSet): void => {
    const candidates = deployments.lister.byIndex(BY_NAMESPACE, rs.metadata?.namespace ?? "");
    for (const deployment of selecting(candidates, rs)) controller.enqueue(objectKey(deployment));
  };
  const follow = (rs: ReplicaSet): void => {
    if (controllerOf(rs) === undefined) enqueueMatching(rs);
    else enqueueOwner(rs);
  };
  const enqueue = (deployment: Deployment): void => controller.enqueue(objectKey(deployment));
  deployments.addHandler({ add: enqueue, update: enqueue, delete: enqueue });
  replicaSets.addHandler({
    add: follow,
    update(rs, old) {
      const [now, before] = [controllerOf(rs), controllerOf(old)];
      if (before !== undefined && !deepEqual(now, before)) enqueueOwner(old);
      if (now !== undefined || before !== undefined || !deepEqual(rs.metadata?.labels, old.metadata?.labels))
        follow(rs);
    },
    delete: enqueueOwner,
  });
  const podEnded = (pod: Pod): void => {
    // Recreate waits for the last old pod to end.
    const rs = ownerOf(pod, "ReplicaSet", (key) => replicaSets.lister.get(key));
    const owner = rs === undefined ? undefined : deploymentOf(rs);
    if (owner?.spec?.strategy?.type === "Recreate") enqueue(owner);
  };
  pods.addHandler({
    update: (pod, old) => {
      if (pod.status?.phase !== old.status?.phase) podEnded(pod);
    },
    delete: podEnded,
  });
}
