// Filter: a pod that names its node fits that node alone.
import type { Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";

const REJECTION: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match the requested node name"],
};

export const nodeName: Plugin = {
  name: "NodeName",
  ignoresPods: true,
  filterKey: ({ pod }) => pod.spec?.nodeName ?? "",
  preFilter: ({ info }): PreFilterOutcome => ({ kind: info.pod.spec?.nodeName ? "success" : "skip" }),
  filter(cycle, column, from, to) {
    const wanted = cycle.info.pod.spec?.nodeName;
    if (!wanted) return;
    const row = cycle.snapshot.rowOf(wanted);
    for (let at = from; at < to; at++) if (at !== row && column.open(at)) column.reject(at, REJECTION);
  },
  events: () => [{ resource: "Node", actions: ["Add"] }],
};
