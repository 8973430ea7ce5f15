// What may make a pod schedulable that affinity turned down.
import type { Pod } from "@coxswain/api";
import { affinityTermsOf, type AffinityTerm } from "../affinity-terms.ts";
import type { PodInfo } from "../pod-info.ts";
import type { ClusterEvent, EventRegistration } from "../queue/cluster-event.ts";

/** Labels of namespaces are not at hand here: a namespace selector may mean any namespace. */
function mayMean(term: AffinityTerm, pod: Pod | PodInfo): boolean {
  const [namespace, labels] =
    "signature" in pod ? [pod.namespace, pod.labels] : [pod.metadata?.namespace ?? "", pod.metadata?.labels ?? {}];
  return (term.namespaces.has(namespace) || term.namespaceSelector !== undefined) && term.selector.matches(labels);
}

function meansAll(terms: readonly AffinityTerm[], pod: Pod): boolean {
  return terms.length > 0 && terms.every((term) => mayMean(term, pod));
}

function meansAny(terms: readonly AffinityTerm[], pod: Pod | PodInfo): boolean {
  return terms.some((term) => mayMean(term, pod));
}

/** Another pod came, went, or changed its labels. */
function podHelps(waiting: PodInfo, { pod, oldPod }: ClusterEvent): boolean {
  const { required, requiredAnti } = waiting.terms;
  if (pod !== undefined && oldPod !== undefined) {
    if (!meansAll(required, oldPod) && meansAll(required, pod)) return true;
    return meansAny(requiredAnti, oldPod) && !meansAny(requiredAnti, pod);
  }
  if (pod !== undefined) return meansAll(required, pod);
  if (oldPod === undefined) return true;
  return meansAny(requiredAnti, oldPod) || meansAny(affinityTermsOf(oldPod).requiredAnti, waiting);
}

/** A node joined, or is in another domain now. */
function nodeHelps(waiting: PodInfo, { node, oldNode }: ClusterEvent): boolean {
  if (node === undefined) return true;
  const { required, requiredAnti } = waiting.terms;
  const value = (one: typeof node, key: string): string | undefined => one.metadata?.labels?.[key];
  const terms = [...required, ...requiredAnti];
  if (terms.length === 0) return true;
  if (oldNode !== undefined) {
    return terms.some(({ topologyKey }) => value(oldNode, topologyKey) !== value(node, topologyKey));
  }
  return requiredAnti.length > 0 || required.some(({ topologyKey }) => value(node, topologyKey) !== undefined);
}

/** A namespace has come, or has other labels: other pods are meant by selectors of namespaces, those who wait among them. */
function namespaceHelps(waiting: PodInfo, { object }: ClusterEvent): boolean {
  if (object?.metadata?.name === waiting.namespace) return true;
  const { required, requiredAnti } = waiting.terms;
  return [...required, ...requiredAnti].some(({ namespaceSelector }) => namespaceSelector !== undefined);
}

export const affinityEvents: readonly EventRegistration[] = [
  { resource: "AssignedPod", actions: ["Add", "Delete", "UpdatePodLabel"], hint: podHelps },
  { resource: "Node", actions: ["Add", "UpdateNodeLabel"], hint: nodeHelps },
  { resource: "Namespace", actions: ["Add", "Update"], hint: namespaceHelps },
  { resource: "TargetPod", actions: ["UpdatePodLabel"] },
];
