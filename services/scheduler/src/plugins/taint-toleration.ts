// Filter: NoSchedule and NoExecute taints that the pod does not tolerate. Score: fewer PreferNoSchedule taints win.
// Nodes share lists of taints, so each distinct list is judged once a pod.
import type { Taint } from "@coxswain/api";
import { tolerates, untolerated } from "@coxswain/api/core-v1/node-match";
import {
  MAX_NODE_SCORE,
  type CycleState,
  type Plugin,
  type PreFilterOutcome,
  type Rejection,
} from "../framework/contract.ts";
import { defaultNormalize } from "../framework/plan-schedule.ts";
import { HARD_EFFECTS, podTolerates } from "./tolerations.ts";

const REJECTION: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) had untolerated taint(s)"],
};

/** Evaluates `judge` once for each list of taints that any node has: by number of the list. */
function judgeSets({ snapshot }: CycleState, judge: (taints: readonly Taint[]) => number): Int32Array {
  const judged = new Int32Array(snapshot.taintSetCount);
  for (let set = 0; set < judged.length; set++) {
    if (snapshot.taintSetNodes(set) > 0) judged[set] = judge(snapshot.taintList(set));
  }
  return judged;
}

const all = (numbers: Int32Array, value: number): boolean => {
  for (const number of numbers) if (number !== value) return false;
  return true;
};

/** How many taints the pod would rather not have, by list of taints. */
function intolerablePreferences(cycle: CycleState): Int32Array {
  const tolerations = (cycle.info.pod.spec?.tolerations ?? []).filter(
    (one) => !one.effect || one.effect === "PreferNoSchedule",
  );
  return judgeSets(
    cycle,
    (taints) =>
      taints.filter((taint) => taint.effect === "PreferNoSchedule" && !tolerations.some((one) => tolerates(one, taint)))
        .length,
  );
}

const NAME = "TaintToleration";
const SCORES = `${NAME}/scores`;

export const taintToleration: Plugin = {
  name: NAME,
  ignoresPods: true,
  filterKey: ({ pod }) => JSON.stringify(pod.spec?.tolerations),
  preFilter(cycle): PreFilterOutcome {
    const tolerations = cycle.info.pod.spec?.tolerations ?? [];
    const rejected = judgeSets(cycle, (taints) =>
      untolerated(taints, tolerations, HARD_EFFECTS) === undefined ? 0 : 1,
    );
    if (all(rejected, 0)) return { kind: "skip" };
    cycle.state.set(NAME, rejected);
    return { kind: "success" };
  },
  filter(cycle, column, from, to) {
    const rejected = cycle.state.get(NAME) as Int32Array;
    const sets = cycle.snapshot.taintSets.values;
    for (let row = from; row < to; row++) {
      if (rejected[sets[row]!] === 1 && column.open(row)) column.reject(row, REJECTION);
    }
  },
  scoresNothing: (cycle) => all(intolerablePreferences(cycle), 0),
  preScore(cycle) {
    const intolerable = intolerablePreferences(cycle);
    if (all(intolerable, 0)) return MAX_NODE_SCORE;
    cycle.state.set(SCORES, intolerable);
    return undefined;
  },
  score(cycle, rows, count, scores) {
    const intolerable = cycle.state.get(SCORES) as Int32Array;
    const sets = cycle.snapshot.taintSets.values;
    for (let at = 0; at < count; at++) scores[at] = intolerable[sets[rows[at]!]!]!;
  },
  normalizeScore: (_cycle, _rows, count, scores) => defaultNormalize(count, scores, true),
  events: () => [
    {
      resource: "Node",
      actions: ["Add", "UpdateNodeTaint"],
      hint: (waiting, event) => event.node === undefined || podTolerates(waiting.pod, event.node),
    },
    { resource: "TargetPod", actions: ["UpdatePodToleration"] },
  ],
};
