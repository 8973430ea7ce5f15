// spec.nodeSelector and node affinity terms, against one node or against the columns of all.
// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, Pod } from "@coxswain/api";
import { NO_LABEL, type ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

/** Says of a row whether it matches. */
export type RowMatcher = (row: number) => boolean;

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

function isEmptyTerm(term: NodeSelectorTerm): boolean {
  return (term.matchExpressions ?? []).length === 0 && (term.matchFields ?? []).length === 0;
}

/** A term matches where all its requirements do; an empty term matches nothing. */
export function termMatchesNode(term: NodeSelectorTerm, node: Node): boolean {
  if (isEmptyTerm(term)) return false;
  const labels = node.metadata?.labels ?? {};
  return (
    (term.matchExpressions ?? []).every((one) => requirementMatches(one, labels[one.key])) &&
    (term.matchFields ?? []).every((one) => one.key === "metadata.name" && requirementMatches(one, node.metadata?.name))
  );
}

/** Whether a node satisfies a pod's nodeSelector and required node affinity. */
export function podMatchesNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) if (labels[key] !== value) return false;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => termMatchesNode(term, node));
}

/** A requirement on a label column: each distinct value is judged once. */
function compileRequirement(requirement: NodeSelectorRequirement, snapshot: ClusterSnapshot): RowMatcher {
  const column = snapshot.labelColumn(requirement.key);
  if (requirement.operator === "In" && requirement.values?.length === 1) {
    const wanted = snapshot.strings.find(requirement.values[0]!);
    return (row) => wanted >= 0 && column[row] === wanted;
  }
  const judged = new Map<number, boolean>();
  return (row) => {
    const id = column[row]!;
    let verdict = judged.get(id);
    if (verdict === undefined) {
      verdict = requirementMatches(requirement, id === NO_LABEL ? undefined : snapshot.strings.text(id));
      judged.set(id, verdict);
    }
    return verdict;
  };
}

export function compileTerm(term: NodeSelectorTerm, snapshot: ClusterSnapshot): RowMatcher {
  if (isEmptyTerm(term)) return () => false;
  const matchers: RowMatcher[] = (term.matchExpressions ?? []).map((one) => compileRequirement(one, snapshot));
  for (const field of term.matchFields ?? []) {
    matchers.push((row) => field.key === "metadata.name" && requirementMatches(field, snapshot.names[row]));
  }
  return (row) => matchers.every((matches) => matches(row));
}

/** The pod's nodeSelector and required terms on columns; undefined where it has none. */
export function compileRequired(pod: Pod, snapshot: ClusterSnapshot): RowMatcher | undefined {
  const all: RowMatcher[] = Object.entries(pod.spec?.nodeSelector ?? {}).map(([key, value]) =>
    compileRequirement({ key, operator: "In", values: [value] }, snapshot),
  );
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required !== undefined) {
    const terms = required.nodeSelectorTerms.map((term) => compileTerm(term, snapshot));
    all.push((row) => terms.some((matches) => matches(row)));
  }
  if (all.length === 0) return undefined;
  return (row) => all.every((matches) => matches(row));
}
