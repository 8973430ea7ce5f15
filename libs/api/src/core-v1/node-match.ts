// Whether a pod may be on a node, by the node's labels, name and taints. Pure: what the scheduler, the kubelet and controllers
// have in common. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration } from "../types.gen.ts";

const INTEGER = /^[+-]?\d+$/;

function compares(operator: string, value: string, bounds: readonly string[]): boolean {
  const bound = bounds[0] ?? "";
  if (bounds.length !== 1 || !INTEGER.test(value) || !INTEGER.test(bound)) return false;
  return operator === "Gt" ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
}

/** One requirement against one value; `undefined` is an absent label. */
export function requirementMatches(requirement: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt":
      return value !== undefined && compares(requirement.operator, value, values);
    default:
      return false;
  }
}

/** A term matches where all its requirements do; an empty term matches nothing. */
export function termMatchesNode({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata?.labels ?? {};
  return (
    matchExpressions.every((one) => requirementMatches(one, labels[one.key])) &&
    matchFields.every((one) => one.key === "metadata.name" && requirementMatches(one, node.metadata?.name))
  );
}

/** Whether a node satisfies a pod's nodeSelector and required node affinity. */
export function podMatchesNode({ spec }: Pick<Pod, "spec">, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(spec?.nodeSelector ?? {})) if (labels[key] !== value) return false;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => termMatchesNode(term, node));
}

/** Whether one toleration covers one taint. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
export function tolerates({ key = "", operator, value = "", effect = "" }: Toleration, taint: Taint): boolean {
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  const how = operator === undefined || operator === "" ? "Equal" : operator;
  return how === "Exists" || (how === "Equal" && key !== "" && value === (taint.value ?? ""));
}

/** The first taint with one of `effects` that no toleration covers. */
export function untolerated(
  taints: readonly Taint[],
  tolerations: readonly Toleration[],
  effects: readonly string[],
): Taint | undefined {
  return taints.find((taint) => effects.includes(taint.effect) && !tolerations.some((one) => tolerates(one, taint)));
}
