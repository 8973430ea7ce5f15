// Filter: NoSchedule and NoExecute taints that the pod does not tolerate. Score: fewer PreferNoSchedule taints win.
// Nodes share lists of taints, so each distinct list is judged once a pod.
import type { Taint } from "@coxswain/api";
import { tolerates, untolerated } from "@coxswain/api/core-v1/node-match";
import type { CycleState, Plugin, Rejection } from "../framework/contract.ts";
import { defaultNormalize } from "../framework/plan-schedule.ts";
import { HARD_EFFECTS, podTolerates } from "./tolerations.ts";

const REJECTION: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) had untolerated taint(s)"],
};

const UNKNOWN = -1;

/** Evaluates `judge` once for each list of taints among the rows. */
function perTaintSet(cycle: CycleState, judge: (taints: readonly Taint[]) => number): (row: number) => number {
  const sets = cycle.snapshot.taintSets.values;
  const judged = new Int32Array(cycle.snapshot.taintSetCount).fill(UNKNOWN);
  return (row) => {
    const set = sets[row]!;
    if (judged[set] === UNKNOWN) judged[set] = judge(cycle.snapshot.taintList(set));
    return judged[set]!;
  };
}

function intolerablePreferences(cycle: CycleState): (row: number) => number {
  const tolerations = (cycle.info.pod.spec?.tolerations ?? []).filter(
    (one) => !one.effect || one.effect === "PreferNoSchedule",
  );
  return perTaintSet(
    cycle,
    (taints) =>
      taints.filter((taint) => taint.effect === "PreferNoSchedule" && !tolerations.some((one) => tolerates(one, taint)))
        .length,
  );
}

export const taintToleration: Plugin = {
  name: "TaintToleration",
  ignoresPods: true,
  filter(cycle, column, from, to) {
    const tolerations = cycle.info.pod.spec?.tolerations ?? [];
    const rejected = perTaintSet(cycle, (taints) =>
      untolerated(taints, tolerations, HARD_EFFECTS) === undefined ? 0 : 1,
    );
    for (let row = from; row < to; row++) {
      if (rejected(row) === 1 && column.open(row)) column.reject(row, REJECTION);
    }
  },
  score(cycle, rows, count, scores) {
    const intolerable = intolerablePreferences(cycle);
    for (let at = 0; at < count; at++) scores[at] = intolerable(rows[at]!);
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
