// Answers "why is this pod Pending?": every plugin's verdict and score for every node, not just the first rejection, and where
// less important pods could make room.
import type {
  DecisionInput,
  NodeDecisionInput,
  PluginScoreInput,
  PreemptionCandidateInput,
} from "@coxswain/protos/scheduler-v1.gen";
import type { CycleState, Plugin } from "./framework/contract.ts";
import type { Framework, ScheduleOptions, SchedulePlan } from "./framework/plan-schedule.ts";
import { RowProbe } from "./framework/row-probe.ts";
import { Verdicts } from "./framework/verdicts.ts";
import { findCandidates, selectVictims } from "./plugins/default-preemption.ts";
import { compareCandidates } from "./plugins/preemption-candidates.ts";
import type { PodInfo } from "./pod-info.ts";
import type { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";

interface MutableNode extends NodeDecisionInput {
  feasible: boolean;
  verdicts: { plugin: string; extensionPoint: string; code: string; reasons: string[] }[];
  scores: PluginScoreInput[];
  totalScore: number;
}

/** A plugin that throws ends the attempt: here that is what there is to say. */
function errorOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function filterAll(plugin: Plugin, cycle: CycleState, nodes: readonly MutableNode[]): void {
  const alone = new Verdicts([plugin.name]);
  alone.reset(nodes.length);
  const error = errorOf(() => plugin.filter!(cycle, alone, 0, nodes.length));
  const failed = error === undefined ? undefined : ({ code: "Error", reasons: [error] } as const);
  for (const [row, node] of nodes.entries()) {
    const rejection = failed ?? alone.rejectionOf(row);
    node.verdicts.push({
      plugin: plugin.name,
      extensionPoint: "Filter",
      code: rejection?.code ?? "Success",
      reasons: [...(rejection?.reasons ?? [])],
    });
    if (rejection !== undefined) node.feasible = false;
  }
}

/** A node may be kept for pods that are nominated to it. */
function filterNominated(framework: Framework, probe: RowProbe, nodes: readonly MutableNode[]): void {
  for (const [row, node] of nodes.entries()) {
    const rejection = node.feasible ? probe.withNominated(row) : undefined;
    if (rejection === undefined) continue;
    node.feasible = false;
    const plugin = framework.plugins[probe.plugin]?.name ?? "";
    const reasons = rejection.reasons.map((reason) => `${reason} (with the pods that are nominated to it)`);
    node.verdicts.push({ plugin, extensionPoint: "Filter", code: rejection.code, reasons });
  }
}

/** Every node on which preemption would help, the one that would be chosen first. */
function candidatesOf(cycle: CycleState, probe: RowProbe, nodes: readonly MutableNode[]): PreemptionCandidateInput[] {
  const rows = nodes.flatMap((node, row) => {
    const codes = new Set(node.verdicts.map((one) => one.code));
    return codes.has("Unschedulable") && !codes.has("UnschedulableAndUnresolvable") ? [row] : [];
  });
  const { candidates } = findCandidates(rows, rows.length, probe.random, (row) => selectVictims(cycle, row, probe));
  return candidates.toSorted(compareCandidates).map(({ node, victims, violations }) => ({
    node,
    victims: victims.map((victim) => victim.key),
    budgetViolations: violations,
  }));
}

function scoreAll(framework: Framework, cycle: CycleState, nodes: readonly MutableNode[]): void {
  const rows = Int32Array.from(nodes.flatMap((node, row) => (node.feasible ? [row] : [])));
  if (rows.length === 0) return;
  for (const { plugin, weight } of framework.scoring) {
    const early = plugin.preScore?.(cycle, rows, rows.length);
    if (early === "skip") continue;
    const scores = new Float64Array(rows.length);
    if (early === undefined) plugin.score!(cycle, rows, rows.length, scores);
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
  const held = framework.heldBack(info, snapshot);
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
  const probe = new RowProbe(cycle, framework.filters, skipped, options.random);
  if (pre.rejection === undefined) {
    for (const { plugin } of framework.filters) {
      if (!skipped.has(plugin.name)) filterAll(plugin, cycle, nodes);
    }
    filterNominated(framework, probe, nodes);
    scoreAll(framework, cycle, nodes);
  }
  let plan: SchedulePlan | undefined;
  const error = errorOf(() => (plan = framework.planSchedule(info, snapshot, options)));
  if (plan === undefined) return { ...base, outcome: "Unschedulable", node: "", message: error ?? "", nodes };
  if (plan.kind === "node") return { ...base, outcome: "Schedulable", node: plan.node, message: "", nodes };
  const preempting = plan.victims.length > 0;
  return {
    ...base,
    outcome: "Unschedulable",
    node: "",
    message: plan.message,
    nodes,
    candidates: preempting ? candidatesOf(cycle, probe, nodes) : [],
    nominatedNode: plan.nominated ?? snapshot.nominations.nodeOf(info.key) ?? "",
  };
}
