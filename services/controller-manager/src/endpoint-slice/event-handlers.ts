// From changes of Services, pods, slices and nodes to keys of Services.
import type { EndpointSlice, Node, Pod } from "@coxswain/api";
import { deepEqual, objectKey, selectorFromLabels } from "@coxswain/apimachinery";
import type { Controller, Expectations } from "@coxswain/controller-runtime";
import { BY_NAMESPACE, BY_NODE, SERVICE_NAME_LABEL, type Caches } from "../controller-context.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { isPodReady, isPodTerminal } from "../pods/pod-state.ts";
import { shareFacts, wantsTopologyHints } from "./topology-hints.ts";

/** What of a pod shows in an endpoint. */
function visible(pod: Pod): unknown {
  return [
    pod.status?.podIPs,
    pod.status?.podIP,
    pod.spec?.nodeName,
    pod.spec?.hostname,
    pod.spec?.subdomain,
    pod.metadata?.deletionTimestamp !== undefined,
    isPodReady(pod),
    isPodTerminal(pod),
  ];
}

/** Tells of Services that came or changed, and of those whose pods did; returns what tells of one pod's Services. */
export function followServicePods(
  { services, pods }: Pick<Caches, "services" | "pods">,
  enqueue: (key: string) => void,
): (pod: Pod) => void {
  services.addHandler({
    add: (service) => enqueue(objectKey(service)),
    update: (service) => enqueue(objectKey(service)),
  });
  const enqueueFor = (pod: Pod): void => {
    for (const service of services.lister.byIndex(BY_NAMESPACE, pod.metadata?.namespace ?? "")) {
      const selector = service.spec?.selector;
      if (selector !== undefined && selectorFromLabels(selector).matches(pod.metadata?.labels)) {
        enqueue(objectKey(service));
      }
    }
  };
  pods.addHandler({
    add: enqueueFor,
    update(pod, old) {
      const relabelled = !deepEqual(pod.metadata?.labels, old.metadata?.labels);
      if (!relabelled && deepEqual(visible(pod), visible(old))) return;
      if (relabelled) enqueueFor(old);
      enqueueFor(pod);
    },
    delete: enqueueFor,
  });
  return enqueueFor;
}

/** Wires the caches to the controller. Before the informers start. */
export function followEndpoints(caches: Caches, controller: Controller, expectations: Expectations): void {
  const { services, pods, endpointSlices, nodes } = caches;
  const enqueueFor = followServicePods(caches, (key) => controller.enqueue(key));
  services.addHandler({ delete: (service) => expectations.forget(service.metadata?.uid ?? "") });
  const enqueueService = (slice: EndpointSlice): void => {
    const service = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
    if (service !== undefined) controller.enqueue(`${slice.metadata?.namespace ?? ""}/${service}`);
  };
  endpointSlices.addHandler({
    add: (slice) => {
      const owner = controllerOf(slice);
      if (owner !== undefined) expectations.creationObserved(owner.uid);
      enqueueService(slice);
    },
    update: (slice, old) => {
      enqueueService(slice);
      enqueueService(old);
    },
    delete: enqueueService,
  });
  const zone = (node: Node): string | undefined => node.metadata?.labels?.["topology.kubernetes.io/zone"];
  const enqueueNode = (node: Node): void => {
    for (const pod of pods.lister.byIndex(BY_NODE, node.metadata?.name ?? "")) enqueueFor(pod);
  };
  // Shares of zones are of all nodes.
  const enqueueHinted = (): void => {
    for (const service of services.lister.list())
      if (wantsTopologyHints(service)) controller.enqueue(objectKey(service));
  };
  const enqueueAll = (node: Node): void => {
    enqueueNode(node);
    enqueueHinted();
  };
  nodes.addHandler({
    add: enqueueAll,
    update: (node, old) => {
      if (zone(node) !== zone(old)) enqueueNode(node);
      if (String(shareFacts(node)) !== String(shareFacts(old))) enqueueHinted();
    },
    delete: enqueueAll,
  });
}
