// Filter: nodeSelector and required node affinity. Score: the weights of the preferred terms that match.
import type { NodeAffinity, Pod, PreferredSchedulingTerm } from "@coxswain/api";
import { podMatchesNode } from "@coxswain/api/core-v1/node-match";
import type { CycleState, Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import { defaultNormalize } from "../framework/plan-schedule.ts";
import { compileRequired, compileTerm, type RowMatcher } from "./node-selector.ts";

const NAME = "NodeAffinity";
const REJECTION: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match Pod's node affinity/selector"],
};
const NOT_ENFORCED: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match scheduler-enforced node affinity"],
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

export interface NodeAffinityArgs {
  /** Holds for every pod besides its own. */
  readonly addedAffinity?: NodeAffinity;
}

interface FilterState {
  readonly own: RowMatcher | undefined;
  readonly added: RowMatcher | undefined;
}

function preferredTerms({ info }: CycleState, args: NodeAffinityArgs): PreferredSchedulingTerm[] {
  const own = info.pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return [...(args.addedAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []), ...own];
}

export function createNodeAffinity(args: NodeAffinityArgs = {}): Plugin {
  const added: Pod = args.addedAffinity === undefined ? {} : addedAsPod(args.addedAffinity);
  return {
    name: NAME,
    ignoresPods: true,
    filterKey: ({ pod }) => JSON.stringify([pod.spec?.nodeSelector, pod.spec?.affinity?.nodeAffinity]),
    preFilter(cycle): PreFilterOutcome {
      const { pod } = cycle.info;
      const state = { own: compileRequired(pod, cycle.snapshot), added: compileRequired(added, cycle.snapshot) };
      if (state.own === undefined && state.added === undefined) return { kind: "skip" };
      cycle.state.set(NAME, state);
      const names = namedNodes(pod);
      if (names === undefined) return { kind: "success" };
      if (names.size === 0) return { kind: "reject", rejection: CONFLICT };
      return { kind: "success", nodeNames: names };
    },
    filter(cycle, column, from, to) {
      const state = cycle.state.get(NAME) as FilterState;
      for (let row = from; row < to; row++) {
        if (!column.open(row)) continue;
        if (state.added?.(row) === false) column.reject(row, NOT_ENFORCED);
        else if (state.own?.(row) === false) column.reject(row, REJECTION);
      }
    },
    scoresNothing: (cycle) => preferredTerms(cycle, args).length === 0,
    preScore: (cycle) => (preferredTerms(cycle, args).length === 0 ? "skip" : undefined),
    score(cycle, rows, count, scores) {
      const terms = preferredTerms(cycle, args).map((one) => ({
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
        hint: ({ pod }, { node, oldNode }) => {
          const matches = (one: typeof node): boolean =>
            one !== undefined && podMatchesNode(pod, one) && podMatchesNode(added, one);
          // A node that matched before cannot help by matching still.
          return node === undefined || (matches(node) && !matches(oldNode));
        },
      },
    ],
  };
}

function addedAsPod(nodeAffinity: NodeAffinity): Pod {
  return { spec: { containers: [], affinity: { nodeAffinity } } };
}

export const nodeAffinity = createNodeAffinity();
