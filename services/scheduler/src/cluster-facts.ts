// What plugins know besides nodes and pods: labels of namespaces, selectors of Services and workloads, disruption budgets.
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import {
  NAMESPACES,
  POD_DISRUPTION_BUDGETS,
  REPLICA_SETS,
  REPLICATION_CONTROLLERS,
  SERVICES,
  STATEFUL_SETS,
  type Namespace,
  type PodDisruptionBudget,
  type ReplicaSet,
  type ReplicationController,
  type Service,
  type StatefulSet,
} from "@coxswain/api";
import type { InformerFactory } from "@coxswain/client";
import type { ClusterEvent } from "./queue/cluster-event.ts";
import type { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";

const keyOf = ({ metadata }: KubeObject): string => `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;

/** Lets the snapshot follow them; `onNamespace` hears of namespaces with new labels. The informers still have to be started. Returns whether all have synced. */
export function followFacts(
  informers: InformerFactory,
  snapshot: ClusterSnapshot,
  onNamespace: (event: ClusterEvent) => void,
): () => boolean {
  const synced: (() => boolean)[] = [];

  /** `set` gets undefined for the new state of an object that has gone. */
  function follow<T extends KubeObject>(ref: ResourceRef, set: (object: T, now: T | undefined) => void): void {
    const informer = informers.informer<T>(ref);
    informer.addHandler({
      add: (object) => set(object, object),
      update: (object) => set(object, object),
      delete: (object) => set(object, undefined),
    });
    synced.push(() => informer.hasSynced());
  }

  const { workloads, budgets } = snapshot;
  follow<Namespace>(NAMESPACES, ({ metadata }, now) => {
    const labels = now === undefined ? undefined : (now.metadata?.labels ?? {});
    const known = snapshot.namespaceLabels(metadata?.name ?? "");
    snapshot.setNamespace(metadata?.name ?? "", labels);
    if (now === undefined || JSON.stringify(known) === JSON.stringify(labels)) return;
    const action = known === undefined ? "Add" : "Update";
    onNamespace({ resource: "Namespace", actions: new Set([action] as const), object: now });
  });
  follow<Service>(SERVICES, ({ metadata }, now) =>
    workloads.setService(metadata?.namespace ?? "", metadata?.name ?? "", now?.spec?.selector),
  );
  follow<ReplicationController>(REPLICATION_CONTROLLERS, (object, now) => {
    const matchLabels = now?.spec?.selector;
    workloads.setOwner("ReplicationController", keyOf(object), matchLabels && { matchLabels });
  });
  follow<ReplicaSet>(REPLICA_SETS, (object, now) =>
    workloads.setOwner("ReplicaSet", keyOf(object), now?.spec?.selector),
  );
  follow<StatefulSet>(STATEFUL_SETS, (object, now) =>
    workloads.setOwner("StatefulSet", keyOf(object), now?.spec?.selector),
  );
  follow<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS, (object, now) => {
    if (now === undefined) budgets.delete(keyOf(object));
    else budgets.set(keyOf(object), now);
  });
  return () => synced.every((one) => one());
}
