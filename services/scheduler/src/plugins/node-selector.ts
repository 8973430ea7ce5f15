// spec.nodeSelector and node affinity terms, against one node or against the columns of all.
// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
import type { NodeSelectorRequirement, NodeSelectorTerm, Pod } from "@coxswain/api";
import { requirementMatches } from "@coxswain/api/core-v1/node-match";
import { NO_LABEL, type ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

/** Says of a row whether it matches. */
export type RowMatcher = (row: number) => boolean;

function isEmptyTerm(term: NodeSelectorTerm): boolean {
  return (term.matchExpressions ?? []).length === 0 && (term.matchFields ?? []).length === 0;
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
