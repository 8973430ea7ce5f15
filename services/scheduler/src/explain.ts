// Answers "why is this pod Pending?": every plugin's verdict and score for every node, not just the first rejection.
import type { DecisionInput, NodeDecisionInput, PluginScoreInput } from "@coxswain/protos/scheduler-v1.gen";
import type { CycleState, Plugin } from "./framework/contract.ts";
import type { Framework, ScheduleOptions } from "./framework/plan-schedule.ts";
import { Verdicts } from "./framework/verdicts.ts";
import type { PodInfo } from "./pod-info.ts";
import type { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";

interface MutableNode extends NodeDecisionInput {
  feasible: boolean;
  verdicts: { plugin: string; extensionPoint: string; code: string; reasons: string[] }[];
  scores: PluginScoreInput[];
  totalScore: number;
}

function filterAll(plugin: Plugin, cycle: CycleState, nodes: readonly MutableNode[]): void {
  const alone = new Verdicts([plugin.name]);
  alone.reset(nodes.length);
  plugin.filter!(cycle, alone, 0, nodes.length);
  for (const [row, node] of nodes.entries()) {
    const rejection = alone.rejectionOf(row);
    node.verdicts.push({
      plugin: plugin.name,
      extensionPoint: "Filter",
      code: rejection?.code ?? "Success",
      reasons: [...(rejection?.reasons ?? [])],
    });
    if (rejection !== undefined) node.feasible = false;
  }
}

function scoreAll(framework: Framework, cycle: CycleState, nodes: readonly MutableNode[]): void {
  const rows = Int32Array.from(nodes.flatMap((node, row) => (node.feasible ? [row] : [])));
  if (rows.length === 0) return;
  for (const { plugin, weight } of framework.profile.plugins) {
    if (plugin.score === undefined || weight === 0) continue;
    const early = plugin.preScore?.(cycle, rows, rows.length);
    if (early === "skip") continue;
    const scores = new Float64Array(rows.length);
    if (early === undefined) plugin.score(cycle, rows, rows.length, scores);
    else scores.fill(early);
    const raw = scores.slice();
    if (early === undefined) plugin.normalizeScore?.(cycle, rows, rows.length, scores);
    for (const [at, row] of rows.entries()) {
      const node = nodes[row]!;
      node.scores.push({ plugin: plugin.name, raw: raw[at]!, normalized: scores[at]!, weight });
      node.totalScore += weight * scores[at]!;
    }
  }
}

/** What would happen to the pod now. Reads only. */
export function explainPod(
  framework: Framework,
  info: PodInfo,
  snapshot: ClusterSnapshot,
  options: ScheduleOptions,
): DecisionInput {
  const base = { namespace: info.namespace, pod: info.name, queue: "none", attempts: 0 };
  const held = framework.heldBack(info);
  if (held !== undefined) return { ...base, outcome: "Gated", message: held.reason, node: "", nodes: [] };
  const nodes: MutableNode[] = snapshot.names.map((node) => ({
    node,
    feasible: true,
    verdicts: [],
    scores: [],
    totalScore: 0,
  }));
  const cycle: CycleState = { info, snapshot, state: new Map() };
  const skipped = new Set<string>();
  const pre = framework.runPreFilter(cycle, skipped);
  for (const [row, node] of nodes.entries()) {
    const out = pre.nodeNames !== undefined && !pre.nodeNames.has(snapshot.names[row]!);
    if (pre.rejection === undefined && !out) continue;
    node.feasible = false;
    node.verdicts.push({
      plugin: pre.rejection?.plugin ?? pre.narrowedBy[0] ?? "",
      extensionPoint: "PreFilter",
      code: "UnschedulableAndUnresolvable",
      reasons: [
        ...(pre.rejection?.rejection.reasons ?? [`node(s) didn't satisfy plugin(s) [${pre.narrowedBy.join(" ")}]`]),
      ],
    });
  }
  if (pre.rejection === undefined) {
    for (const plugin of framework.plugins) {
      if (plugin.filter !== undefined && !skipped.has(plugin.name)) filterAll(plugin, cycle, nodes);
    }
    scoreAll(framework, cycle, nodes);
  }
  const plan = framework.planSchedule(info, snapshot, options);
  if (plan.kind === "node") return { ...base, outcome: "Schedulable", node: plan.node, message: "", nodes };
  return { ...base, outcome: "Unschedulable", node: "", message: plan.message, nodes };
}
