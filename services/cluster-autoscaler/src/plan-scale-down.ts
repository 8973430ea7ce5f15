// Which nodes are not needed, since when, and which of them go now: pure, given which nodes' pods fit elsewhere.
import type { Node, Pod, PodDisruptionBudget } from "@coxswain/api";
import { planDrain, type DrainOptions } from "./drain-rules.ts";
import { allocatableOf, isReady, mayGo, nameOf } from "./node-facts.ts";
import type { AutoscalerOptions } from "./options.ts";
import { isDaemonPod, isMirrorPod, isOver, requestsOf, sum } from "./pod-facts.ts";

export interface Utilization {
  readonly cpu: number;
  readonly memory: number;
  /** The larger of both. */
  readonly share: number;
}

/** Requests of the node's pods by what it can give. */
export function utilizationOf(node: Node, pods: readonly Pod[], ignoreDaemonSets: boolean): Utilization {
  const counted = pods.filter((pod) => !isOver(pod) && !(ignoreDaemonSets && (isDaemonPod(pod) || isMirrorPod(pod))));
  const used = counted.map(requestsOf).reduce(sum, { cpuMillis: 0, memoryBytes: 0 });
  const all = allocatableOf(node);
  const share = (amount: number, of: number): number => (of > 0 ? amount / of : 0);
  const [cpu, memory] = [share(used.cpuMillis, all.cpuMillis), share(used.memoryBytes, all.memoryBytes)];
  return { cpu, memory, share: Math.max(cpu, memory) };
}

/** A node that may go if its pods fit elsewhere. */
export interface Candidate {
  readonly node: Node;
  readonly group: string;
  readonly move: readonly Pod[];
  readonly utilization: Utilization;
}

export interface CandidateInput {
  readonly node: Node;
  readonly group: string;
  readonly pods: readonly Pod[];
}

export interface Judged {
  readonly candidates: readonly Candidate[];
  /** Node → why it must stay. */
  readonly unremovable: ReadonlyMap<string, string>;
}

type CandidateOptions = DrainOptions &
  Pick<AutoscalerOptions, "scaleDownUtilizationThreshold" | "ignoreDaemonSetsUtilization">;

/** Nodes whose pods would have to be tried elsewhere: the emptiest first. */
export function planCandidates(
  nodes: readonly CandidateInput[],
  budgets: readonly PodDisruptionBudget[],
  options: CandidateOptions,
  nowMs: number,
): Judged {
  const unremovable = new Map<string, string>();
  const candidates: Candidate[] = [];
  for (const { node, group, pods } of nodes) {
    const utilization = utilizationOf(node, pods, options.ignoreDaemonSetsUtilization);
    const drain = planDrain(pods, budgets, options, nowMs);
    if (!mayGo(node)) unremovable.set(nameOf(node), "ScaleDownDisabledAnnotation");
    // What runs on a node that does not answer is no use of it.
    else if (isReady(node) && utilization.share >= options.scaleDownUtilizationThreshold)
      unremovable.set(nameOf(node), "NotUnderutilized");
    else if (drain.blocked !== undefined) unremovable.set(nameOf(node), drain.blocked.reason);
    else candidates.push({ node, group, move: drain.move, utilization });
  }
  const order = (a: Candidate, b: Candidate): number =>
    a.move.length - b.move.length ||
    a.utilization.share - b.utilization.share ||
    (nameOf(a.node) < nameOf(b.node) ? -1 : 1);
  return { candidates: candidates.toSorted(order), unremovable };
}

/** Since when each node has been unneeded; one that was needed in between starts anew. */
export function nextUnneeded(
  unneeded: readonly Candidate[],
  before: ReadonlyMap<string, number>,
  nowMs: number,
): Map<string, number> {
  return new Map(unneeded.map(({ node }) => [nameOf(node), before.get(nameOf(node)) ?? nowMs]));
}

export interface RemovalInput {
  readonly unneeded: readonly Candidate[];
  readonly since: ReadonlyMap<string, number>;
  /** Group → nodes that may still go before its minimum is reached. */
  readonly spare: ReadonlyMap<string, number>;
  /** Nodes that are going already, and how many of them with pods. */
  readonly going: { readonly all: number; readonly draining: number };
  readonly nowMs: number;
}

type RemovalOptions = Pick<
  AutoscalerOptions,
  "scaleDownUnneededMs" | "scaleDownUnreadyMs" | "maxScaleDownParallelism" | "maxDrainParallelism"
>;

/** The nodes that go now: unneeded for long enough, within their group's minimum and what may go at once. */
export function planRemovals(input: RemovalInput, options: RemovalOptions): Candidate[] {
  const spare = new Map(input.spare);
  let { all, draining } = input.going;
  const chosen: Candidate[] = [];
  for (const candidate of input.unneeded) {
    const { node, group, move } = candidate;
    const waited = input.nowMs - (input.since.get(nameOf(node)) ?? input.nowMs);
    if (waited < (isReady(node) ? options.scaleDownUnneededMs : options.scaleDownUnreadyMs)) continue;
    if ((spare.get(group) ?? 0) < 1 || all >= options.maxScaleDownParallelism) continue;
    if (move.length > 0 && draining >= options.maxDrainParallelism) continue;
    spare.set(group, (spare.get(group) ?? 0) - 1);
    all++;
    if (move.length > 0) draining++;
    chosen.push(candidate);
  }
  return chosen;
}
