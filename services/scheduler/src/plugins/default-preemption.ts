// PostFilter: finds a node where a pod would fit if less important pods left it, and says who has to leave. Pure: the
// scheduler evicts them and nominates the pod to the node.
// https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
import type { CycleState, NodeVerdicts, Plugin, PostFilterOutcome, Probe, Rejection } from "../framework/contract.ts";
import { addReasons, countedMessage, RejectionTally } from "../framework/fit-error.ts";
import type { Random } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import { CandidateCache, type Finding } from "./candidate-cache.ts";
import {
  isPreempted,
  moreImportant,
  pickCandidate,
  rankOf,
  splitByBudgets,
  type Candidate,
} from "./preemption-candidates.ts";

const NOT_HELPFUL: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["Preemption is not helpful for scheduling"],
};
const NO_VICTIMS: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["No preemption victims found for incoming pod"],
};

export interface DefaultPreemptionArgs {
  /** Share of the nodes in question on which victims are looked for, 0..100; 10 where unset. */
  readonly minCandidateNodesPercentage?: number;
  /** But on so many at least; 100 where unset. */
  readonly minCandidateNodesAbsolute?: number;
}

/** Why the pod must not preempt; undefined where it may. */
function ineligible(cycle: CycleState, verdicts: NodeVerdicts): string | undefined {
  const { info, snapshot } = cycle;
  if (info.pod.spec?.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
  const row = snapshot.rowOf(snapshot.nominations.nodeOf(info.key) ?? "");
  if (row < 0 || verdicts.rejectionOf(row)?.code === "UnschedulableAndUnresolvable") return undefined;
  for (const other of snapshot.pods[row]!.values()) {
    if (other.priority < info.priority && isPreempted(other)) {
      return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return undefined;
}

function resolvableRows(verdicts: NodeVerdicts): number[] {
  const rows: number[] = [];
  for (let row = 0; row < verdicts.rows; row++) {
    if (verdicts.rejectionOf(row)?.code === "Unschedulable") rows.push(row);
  }
  return rows;
}

/** The fewest and least important pods of a row that have to leave, or why that does not help. Leaves the row as it was. */
export function selectVictims(cycle: CycleState, row: number, probe: Probe): Finding {
  const { snapshot, info } = cycle;
  const lower: PodInfo[] = [];
  for (const other of snapshot.pods[row]!.values()) if (other.priority < info.priority) lower.push(other);
  if (lower.length === 0) return NO_VICTIMS;
  for (const other of lower) probe.take(row, other);
  const victims: PodInfo[] = [];
  let violations = 0;
  let budgeted = false;
  const rejection = probe.fits(row, false);
  if (rejection === undefined) {
    // Who may stay is tried from the most important on, those that a budget protects before the others.
    const spared = splitByBudgets(lower.toSorted(moreImportant), snapshot.budgets);
    budgeted = spared.budgeted;
    for (const [group, budgeted] of [
      [spared.violating, true],
      [spared.others, false],
    ] as const) {
      for (const other of group) {
        probe.put(row, other);
        if (probe.fits(row, true) === undefined) continue;
        probe.take(row, other);
        victims.push(other);
        if (budgeted) violations++;
      }
    }
  } else victims.push(...lower);
  for (const other of victims) probe.put(row, other);
  if (rejection !== undefined) return rejection;
  victims.sort(moreImportant);
  return { row, node: snapshot.names[row]!, victims, violations, budgeted, rank: rankOf(victims) };
}

const isCandidate = (found: Finding): found is Candidate => "victims" in found;

interface Found {
  readonly candidates: Candidate[];
  /** Nodes by reason. */
  readonly reasons: Map<string, number>;
}

/**
 * Tries rows from a random place on, until there are enough candidates and one of them breaks no budget. `tryRow` says
 * whether a row is one.
 */
export function findCandidates(
  rows: readonly number[],
  wanted: number,
  random: Random,
  tryRow: (row: number) => Finding,
): Found {
  const candidates: Candidate[] = [];
  const tally = new RejectionTally();
  let innocent = 0;
  const offset = rows.length === 0 ? 0 : random.int(rows.length);
  for (let at = 0; at < rows.length; at++) {
    const found = tryRow(rows[(offset + at) % rows.length]!);
    if (!isCandidate(found)) {
      tally.add(found);
      continue;
    }
    if (found.victims.length === 0) continue;
    candidates.push(found);
    if (found.violations === 0) innocent++;
    if (innocent > 0 && candidates.length >= wanted) break;
  }
  return { candidates, reasons: tally.reasons() };
}

/** Throws RangeError where an argument is out of range. */
export function createDefaultPreemption(args: DefaultPreemptionArgs = {}): Plugin {
  const percentage = args.minCandidateNodesPercentage ?? 10;
  const absolute = args.minCandidateNodesAbsolute ?? 100;
  if (!(percentage >= 0 && percentage <= 100)) {
    throw new RangeError(`minCandidateNodesPercentage: Invalid value: ${percentage}: not in valid range [0, 100]`);
  }
  if (!(absolute >= 0)) {
    throw new RangeError(`minCandidateNodesAbsolute: Invalid value: ${absolute}: not in valid range [0, inf)`);
  }
  if (percentage === 0 && absolute === 0) {
    throw new RangeError("minCandidateNodesPercentage, minCandidateNodesAbsolute: Invalid value: both are zero");
  }
  const cache = new CandidateCache();
  return {
    name: "DefaultPreemption",
    postFilter(cycle, verdicts, probe): PostFilterOutcome {
      const why = ineligible(cycle, verdicts);
      if (why !== undefined) return { code: "Unschedulable", message: `preemption: ${why}` };
      const rows = resolvableRows(verdicts);
      const wanted = Math.max(absolute, Math.trunc((rows.length * percentage) / 100));
      const { candidates, reasons } = findCandidates(
        rows,
        wanted,
        probe.random,
        cache.remembering(cycle, probe, selectVictims),
      );
      if (candidates.length === 0) {
        const rest = verdicts.rows - rows.length;
        if (rest > 0) addReasons(reasons, NOT_HELPFUL, rest);
        const message = `preemption: ${countedMessage(verdicts.rows, reasons)}`;
        return { code: "Unschedulable", message, nominated: "" };
      }
      const { node, victims } = pickCandidate(candidates);
      return { code: "Success", message: "", nominated: node, victims, candidates };
    },
  };
}

export const defaultPreemption = createDefaultPreemption();
