// Nodes that take only the pods that ask for them, for rows that would disturb others: tainted ones, and full ones.
import type { Part } from "./workload.ts";

export const SPARE_NODES = ["node-4", "node-5"] as const;
export const SPARE_TAINT = { key: "example.com/spare", value: "yes", effect: "NoSchedule" } as const;
export const SPARE_TOLERATION = { key: SPARE_TAINT.key, operator: "Exists" } as const;

/** Parts of a pod's spec that put it on the spare node. */
export const onSpare = (node: (typeof SPARE_NODES)[number], more: Part = {}): Part => ({
  nodeSelector: { "kubernetes.io/hostname": node },
  tolerations: [SPARE_TOLERATION],
  ...more,
});
