// The two kinds that ask for a number of pods, both seen as ReplicaSets: a ReplicationController differs by its selector, which is
// a plain map of labels, and by nothing that matters here.
import {
  REPLICA_SETS,
  REPLICATION_CONTROLLERS,
  type ReplicaSet,
  type ReplicaSetStatus,
  type ReplicationController,
} from "@coxswain/api";
import type { ResourceRef } from "@coxswain/apimachinery";
import { BY_CONTROLLER, BY_NAMESPACE, type ControllerContext } from "../controller-context.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { updateStatus } from "../writes/update-status.ts";

export interface ReplicaKind {
  readonly ref: ResourceRef;
  readonly apiVersion: string;
  readonly kind: string;
  readonly controllerName: string;
  get(key: string): ReplicaSet | undefined;
  inNamespace(namespace: string): readonly ReplicaSet[];
  /** It and the others of its owner. */
  siblings(rs: ReplicaSet): readonly ReplicaSet[];
  follow(handlers: { readonly changed: (rs: ReplicaSet) => void; readonly removed: (rs: ReplicaSet) => void }): void;
  /** Nothing is written where it is gone, or where nothing differs. */
  writeStatus(key: string, status: (now: ReplicaSet) => ReplicaSetStatus): Promise<void>;
}

export function replicaSets({ caches, client }: ControllerContext): ReplicaKind {
  const { lister } = caches.replicaSets;
  return {
    ref: REPLICA_SETS,
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    controllerName: "replicaset-controller",
    get: (key) => lister.get(key),
    inNamespace: (namespace) => lister.byIndex(BY_NAMESPACE, namespace),
    siblings(rs) {
      const owner = controllerOf(rs);
      return owner === undefined ? [rs] : lister.byIndex(BY_CONTROLLER, owner.uid);
    },
    follow({ changed, removed }) {
      caches.replicaSets.addHandler({ add: changed, update: changed, delete: removed });
    },
    async writeStatus(key, status) {
      const cached = lister.get(key);
      if (cached === undefined) return;
      await updateStatus(client, REPLICA_SETS, cached, (now) => ({ ...now, status: status(now) }));
    },
  };
}

/** An empty selector is that of its template, as the API's defaults have it. */
function asReplicaSet(rc: ReplicationController): ReplicaSet {
  const { selector, template, ...spec } = rc.spec ?? {};
  return {
    ...rc,
    spec: {
      ...spec,
      selector: { matchLabels: { ...selector } },
      ...(template === undefined ? {} : { template }),
    },
  };
}

export function replicationControllers({ client, informers }: ControllerContext): ReplicaKind {
  const cache = informers.informer<ReplicationController>(REPLICATION_CONTROLLERS);
  cache.addIndex(BY_NAMESPACE, (rc) => [rc.metadata?.namespace ?? ""]);
  return {
    ref: REPLICATION_CONTROLLERS,
    apiVersion: "v1",
    kind: "ReplicationController",
    controllerName: "replicationcontroller-controller",
    get(key) {
      const found = cache.lister.get(key);
      return found === undefined ? undefined : asReplicaSet(found);
    },
    inNamespace: (namespace) => cache.lister.byIndex(BY_NAMESPACE, namespace).map(asReplicaSet),
    siblings: (rs) => [rs],
    follow({ changed, removed }) {
      cache.addHandler({
        add: (rc) => changed(asReplicaSet(rc)),
        update: (rc) => changed(asReplicaSet(rc)),
        delete: (rc) => removed(asReplicaSet(rc)),
      });
    },
    async writeStatus(key, status) {
      const cached = cache.lister.get(key);
      if (cached === undefined) return;
      await updateStatus(client, REPLICATION_CONTROLLERS, cached, (now) => ({
        ...now,
        status: status(asReplicaSet(now)),
      }));
    },
  };
}
