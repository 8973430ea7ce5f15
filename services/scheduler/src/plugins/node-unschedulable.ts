// Filter: a cordoned node takes no pods but those that tolerate it.
import type { Taint } from "@coxswain/api";
import { tolerates } from "@coxswain/api/core-v1/node-match";
import type { Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";

const REJECTION: Rejection = { code: "UnschedulableAndUnresolvable", reasons: ["node(s) were unschedulable"] };
const CORDON: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

export const nodeUnschedulable: Plugin = {
  name: "NodeUnschedulable",
  ignoresPods: true,
  filterKey: ({ pod }) => JSON.stringify(pod.spec?.tolerations),
  preFilter: ({ snapshot }): PreFilterOutcome => ({ kind: snapshot.cordoned === 0 ? "skip" : "success" }),
  filter(cycle, column, from, to) {
    const cordoned = cycle.snapshot.unschedulable.values;
    let tolerated: boolean | undefined;
    for (let row = from; row < to; row++) {
      if (cordoned[row] === 0 || !column.open(row)) continue;
      tolerated ??= (cycle.info.pod.spec?.tolerations ?? []).some((one) => tolerates(one, CORDON));
      if (!tolerated) column.reject(row, REJECTION);
    }
  },
  events: () => [
    {
      resource: "Node",
      actions: ["Add", "UpdateNodeTaint"],
      hint: (_waiting, event) => event.node?.spec?.unschedulable !== true,
    },
    { resource: "TargetPod", actions: ["UpdatePodToleration"] },
  ],
};
