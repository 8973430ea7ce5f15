// What every controller of this process gets: the caches that they share and the means to write, fenced by the leader's lease.
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  LEASES,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  SERVICE_ACCOUNTS,
  SERVICES,
  type ConfigMap,
  type Deployment,
  type EndpointSlice,
  type Lease,
  type Namespace,
  type Node,
  type Pod,
  type ReplicaSet,
  type Service,
  type ServiceAccount,
} from "@coxswain/api";
import { claimNameOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import type { KubeObject } from "@coxswain/apimachinery";
import type { EventRecorder, InformerFactory, ResourceClient, SharedInformer } from "@coxswain/client";
import type { BaseDeps } from "@coxswain/component-base";
import type { Controller } from "@coxswain/controller-runtime";
import { controllerOf } from "./ownership/controller-ref.ts";

/** Names of the indexes of the shared caches. */
export const BY_NAMESPACE = "namespace";
/** By the UID of the controlling owner. */
export const BY_CONTROLLER = "controller";
/** What has no controlling owner, by namespace. */
export const ORPHANS = "orphans";
/** Pods by the node that they are bound to. */
export const BY_NODE = "node";
/** Pods by namespace/name of the claims that their volumes stand for. */
export const BY_CLAIM = "claim";
/** EndpointSlices by namespace/name of their Service. */
export const BY_SERVICE = "service";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

export interface Caches {
  readonly pods: SharedInformer<Pod>;
  readonly replicaSets: SharedInformer<ReplicaSet>;
  readonly deployments: SharedInformer<Deployment>;
  readonly services: SharedInformer<Service>;
  readonly endpointSlices: SharedInformer<EndpointSlice>;
  readonly nodes: SharedInformer<Node>;
  readonly leases: SharedInformer<Lease>;
  readonly namespaces: SharedInformer<Namespace>;
  readonly serviceAccounts: SharedInformer<ServiceAccount>;
  readonly configMaps: SharedInformer<ConfigMap>;
}

export interface ControllerContext extends BaseDeps {
  /** Its writes carry the proof of leadership. */
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly caches: Caches;
  readonly recorder: EventRecorder;
}

/** A controller, and what has to happen each time that this process begins to lead, before the controller runs. */
export interface ManagedController {
  readonly controller: Controller;
  readonly prepare?: (signal: AbortSignal) => Promise<void>;
}

const namespaceIndex = (object: KubeObject): string[] => [object.metadata?.namespace ?? ""];
/** The uid of the controller, where there is one: the keys of BY_CONTROLLER. */
export const controllerIndex = (object: KubeObject): string[] => {
  const owner = controllerOf(object);
  return owner === undefined ? [] : [owner.uid];
};
const orphanIndex = (object: KubeObject): string[] =>
  controllerOf(object) === undefined ? [object.metadata?.namespace ?? ""] : [];

/** The informers that controllers share, with their indexes. Before the factory's start. */
export function createCaches(informers: InformerFactory): Caches {
  const caches: Caches = {
    pods: informers.informer<Pod>(PODS),
    replicaSets: informers.informer<ReplicaSet>(REPLICA_SETS),
    deployments: informers.informer<Deployment>(DEPLOYMENTS),
    services: informers.informer<Service>(SERVICES),
    endpointSlices: informers.informer<EndpointSlice>(ENDPOINT_SLICES),
    nodes: informers.informer<Node>(NODES),
    leases: informers.informer<Lease>(LEASES),
    namespaces: informers.informer<Namespace>(NAMESPACES),
    serviceAccounts: informers.informer<ServiceAccount>(SERVICE_ACCOUNTS),
    configMaps: informers.informer<ConfigMap>(CONFIG_MAPS),
  };
  for (const cache of [caches.pods, caches.replicaSets]) {
    cache.addIndex(BY_NAMESPACE, namespaceIndex);
    cache.addIndex(BY_CONTROLLER, controllerIndex);
    cache.addIndex(ORPHANS, orphanIndex);
  }
  caches.services.addIndex(BY_NAMESPACE, namespaceIndex);
  caches.deployments.addIndex(BY_NAMESPACE, namespaceIndex);
  caches.pods.addIndex(BY_NODE, (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
  caches.pods.addIndex(BY_CLAIM, (pod) =>
    (pod.spec?.volumes ?? []).flatMap((volume) => {
      const claim = claimNameOf(pod, volume);
      return claim === undefined ? [] : [`${pod.metadata?.namespace ?? ""}/${claim}`];
    }),
  );
  caches.endpointSlices.addIndex(BY_SERVICE, (slice) => {
    const service = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
    return service === undefined ? [] : [`${slice.metadata?.namespace ?? ""}/${service}`];
  });
  return caches;
}
