// Filter: nodeSelector and required node affinity. Score: the weights of the preferred terms that match.
import type { Pod } from "@coxswain/api";
import { podMatchesNode } from "@coxswain/api/core-v1/node-match";
import type { Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import { defaultNormalize } from "../framework/plan-schedule.ts";
import { compileRequired, compileTerm, type RowMatcher } from "./node-selector.ts";

const NAME = "NodeAffinity";
const REJECTION: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match Pod's node affinity/selector"],
};
const CONFLICT: Rejection = { code: "UnschedulableAndUnresolvable", reasons: ["pod affinity terms conflict"] };

/** The nodes that matchFields leave, where every term names nodes; undefined where any term leaves all. */
function namedNodes(pod: Pod): Set<string> | undefined {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined || terms.length === 0) return undefined;
  const all = new Set<string>();
  for (const term of terms) {
    const fields = (term.matchFields ?? []).filter((one) => one.key === "metadata.name" && one.operator === "In");
    if (fields.length === 0) return undefined;
    const names = fields.map((one) => new Set(one.values ?? []));
    for (const name of names[0]!) if (names.every((set) => set.has(name))) all.add(name);
  }
  return all;
}

export const nodeAffinity: Plugin = {
  name: NAME,
  ignoresPods: true,
  preFilter(cycle): PreFilterOutcome {
    const required = compileRequired(cycle.info.pod, cycle.snapshot);
    if (required === undefined) return { kind: "skip" };
    cycle.state.set(NAME, required);
    const names = namedNodes(cycle.info.pod);
    if (names === undefined) return { kind: "success" };
    if (names.size === 0) return { kind: "reject", rejection: CONFLICT };
    return { kind: "success", nodeNames: names };
  },
  filter(cycle, column, from, to) {
    const required = cycle.state.get(NAME) as RowMatcher | undefined;
    if (required === undefined) return;
    for (let row = from; row < to; row++) if (column.open(row) && !required(row)) column.reject(row, REJECTION);
  },
  preScore(cycle) {
    const preferred = cycle.info.pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
    return preferred === undefined || preferred.length === 0 ? "skip" : undefined;
  },
  score(cycle, rows, count, scores) {
    const preferred =
      cycle.info.pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const terms = preferred.map((one) => ({
      weight: one.weight,
      matches: compileTerm(one.preference, cycle.snapshot),
    }));
    for (let at = 0; at < count; at++) {
      let sum = 0;
      for (const term of terms) if (term.matches(rows[at]!)) sum += term.weight;
      scores[at] = sum;
    }
  },
  normalizeScore: (_cycle, _rows, count, scores) => defaultNormalize(count, scores, false),
  events: () => [
    {
      resource: "Node",
      actions: ["Add", "UpdateNodeLabel"],
      hint: (waiting, event) => event.node === undefined || podMatchesNode(waiting.pod, event.node),
    },
  ],
};
