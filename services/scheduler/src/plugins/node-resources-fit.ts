// Filter: what the pod requests must be free on the node, and there must be room for one more pod.
// Score: how full the node would be, by a strategy: LeastAllocated, MostAllocated or RequestedToCapacityRatio.
import type { Node, Pod } from "@coxswain/api";
import type { CycleState, Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import { freedRequests, type ClusterEvent } from "../queue/cluster-event.ts";
import { parseAmount, podRequests, type PodInfo, type ResourceAmounts } from "../pod-info.ts";
import { DerivedColumn, ShapeCache } from "../snapshot/derived-column.ts";
import { checkStrategy, DEFAULT_RESOURCES, rowScoreOf, sharesOf, type ScoringStrategy } from "./resource-scores.ts";

const NAME = "NodeResourcesFit";
/** Extended resources are told apart from these by name alone. */
const NATIVE = ["cpu", "memory", "ephemeral-storage"];

export interface NodeResourcesFitArgs {
  /** LeastAllocated over cpu and memory where unset. */
  readonly scoringStrategy?: ScoringStrategy;
  /** Extended resources that are not looked at. */
  readonly ignoredResources?: readonly string[];
  /** The same, by what stands before the slash. */
  readonly ignoredResourceGroups?: readonly string[];
}

interface Want {
  readonly resource: string;
  readonly amount: number;
  readonly allocatable: Float64Array;
  readonly requested: Float64Array;
}

/** What is wrong with a row, as bits: 1 no room for a pod; then two a resource: not free, and more than the node has. */
type Findings = number;
const FULL = 1;
/** With more resources than this, bits stand for several of them, and rejections are not shared. */
const MAX_SHARED_WANTS = 14;

interface Kept {
  readonly findings: DerivedColumn;
  readonly rejections: Map<Findings, Rejection>;
}

interface FitState {
  readonly wants: readonly Want[];
  /** Resources that no node has. */
  readonly unknown: readonly string[];
  readonly rejections: Map<Findings, Rejection>;
  /** Of all rows; undefined where they are not kept. */
  readonly findings: DerivedColumn | undefined;
}

function order(resource: string): number {
  const at = NATIVE.indexOf(resource);
  return at < 0 ? NATIVE.length : at;
}

function findingsOf(wants: readonly Want[], cycle: CycleState, row: number): Findings {
  const { allowedPods, podCount } = cycle.snapshot;
  let findings = podCount.values[row]! + 1 > allowedPods.values[row]! ? FULL : 0;
  for (let at = 0; at < wants.length; at++) {
    const { amount, allocatable, requested } = wants[at]!;
    if (amount <= allocatable[row]! - requested[row]!) continue;
    findings |= (amount > allocatable[row]! ? 3 : 1) << (1 + 2 * at);
  }
  return findings;
}

function isShared({ wants }: FitState): boolean {
  return wants.length <= MAX_SHARED_WANTS;
}

/** One shared object per distinct finding. */
function rejectionFor(fit: FitState, findings: Findings, cycle: CycleState, row: number): Rejection {
  const shared = isShared(fit);
  const known = shared ? fit.rejections.get(findings) : undefined;
  if (known !== undefined) return known;
  const { podCount, allowedPods } = cycle.snapshot;
  const reasons = podCount.values[row]! + 1 > allowedPods.values[row]! ? ["Too many pods"] : [];
  let unresolvable = fit.unknown.length > 0;
  for (const { resource, amount, allocatable, requested } of fit.wants) {
    if (amount <= allocatable[row]! - requested[row]!) continue;
    reasons.push(`Insufficient ${resource}`);
    unresolvable ||= amount > allocatable[row]!;
  }
  for (const resource of fit.unknown) reasons.push(`Insufficient ${resource}`);
  const rejection: Rejection = { code: unresolvable ? "UnschedulableAndUnresolvable" : "Unschedulable", reasons };
  if (shared) fit.rejections.set(findings, rejection);
  return rejection;
}

function couldEverFit(info: PodInfo, node: Node | undefined): boolean {
  const allocatable = node?.status?.allocatable ?? {};
  if (parseAmount("pods", allocatable["pods"] ?? "0") < 1) return false;
  for (const [resource, amount] of info.requests) {
    if (amount > 0 && amount > parseAmount(resource, allocatable[resource] ?? "0")) return false;
  }
  return true;
}

/** An update of a node's allocatable helps where more of something that the pod asks for is there than before. */
function nodeHelps(info: PodInfo, node: Node | undefined, old: Node | undefined): boolean {
  if (!couldEverFit(info, node)) return false;
  if (old === undefined) return true;
  const amount = (one: Node | undefined, resource: string): number =>
    parseAmount(resource, one?.status?.allocatable?.[resource] ?? "0");
  return ["pods", ...info.requests.keys()].some((resource) => amount(node, resource) > amount(old, resource));
}

/** Throws RangeError where the strategy makes no sense. */
export function createNodeResourcesFit(args: NodeResourcesFitArgs = {}): Plugin {
  const strategy: ScoringStrategy = args.scoringStrategy ?? { type: "LeastAllocated" };
  checkStrategy(strategy);
  const resources = strategy.resources ?? DEFAULT_RESOURCES;
  const rowScore = rowScoreOf(strategy);
  const ignored = new Set(args.ignoredResources ?? []);
  const ignoredGroups = new Set(args.ignoredResourceGroups ?? []);
  const kept = new ShapeCache<Kept>(() => ({ findings: new DerivedColumn(), rejections: new Map() }));
  const scored = new ShapeCache(() => new DerivedColumn());

  function isIgnored(resource: string): boolean {
    if (!resource.includes("/")) return false;
    return ignored.has(resource) || ignoredGroups.has(resource.slice(0, resource.indexOf("/")));
  }

  function fitState(cycle: CycleState): FitState {
    const { info, snapshot } = cycle;
    const wants: Want[] = [];
    const unknown: string[] = [];
    const requests = [...info.requests].toSorted(([a], [b]) => order(a) - order(b) || (a < b ? -1 : 1));
    for (const [resource, amount] of requests) {
      if (amount <= 0 || isIgnored(resource)) continue;
      const columns = snapshot.resource(resource);
      if (columns === undefined) unknown.push(resource);
      else wants.push({ resource, amount, ...columns });
    }
    // What no node has may be there tomorrow: nothing is kept that says so.
    const own = unknown.length === 0 ? kept.get(snapshot, info.shape) : undefined;
    return { wants, unknown, rejections: own?.rejections ?? new Map(), findings: own?.findings };
  }

  return {
    name: NAME,
    filterKey: ({ shape }) => shape,
    preFilter(cycle): PreFilterOutcome {
      cycle.state.set(NAME, fitState(cycle));
      return { kind: "success" };
    },
    filter(cycle, column, from, to) {
      const fit = cycle.state.get(NAME) as FitState;
      const never = fit.unknown.length > 0;
      // A single row is a question of what would be if pods were elsewhere.
      const known =
        to - from === 1 ? undefined : fit.findings?.refresh(cycle.snapshot, (row) => findingsOf(fit.wants, cycle, row));
      // Neighbours mostly lack the same.
      let last = -1;
      let rejection: Rejection | undefined;
      for (let row = from; row < to; row++) {
        const findings = known === undefined ? findingsOf(fit.wants, cycle, row) : known[row]!;
        if ((findings === 0 && !never) || !column.open(row)) continue;
        if (findings !== last || rejection === undefined || !isShared(fit)) {
          rejection = rejectionFor(fit, findings, cycle, row);
          last = findings;
        }
        column.reject(row, rejection);
      }
    },
    scoreKey: ({ shape }) => shape,
    score({ info, snapshot }, rows, count, scores) {
      const shares = sharesOf(info, snapshot, resources, true);
      if (count === 1) {
        scores[0] = rowScore(shares, rows[0]!);
        return;
      }
      const own = scored.get(snapshot, info.shape)?.refresh(snapshot, (row) => rowScore(shares, row));
      if (own === undefined) for (let at = 0; at < count; at++) scores[at] = rowScore(shares, rows[at]!);
      else for (let at = 0; at < count; at++) scores[at] = own[rows[at]!]!;
    },
    events: () => [
      {
        resource: "AssignedPod",
        actions: ["Delete", "UpdatePodScaleDown"],
        hint: (waiting, event) => {
          if (event.oldPod === undefined) return true;
          const freed = freedBy(event, event.oldPod);
          return event.pod === undefined ? freesSomething(waiting, freed) : frees(waiting, freed);
        },
      },
      {
        resource: "Node",
        actions: ["Add", "UpdateNodeAllocatable"],
        hint: (waiting, event) => nodeHelps(waiting, event.node, event.oldNode),
      },
      { resource: "TargetPod", actions: ["UpdatePodScaleDown"] },
    ],
  };
}

/** Worked out once an event, however many pods wait. */
const freed = new WeakMap<ClusterEvent, ResourceAmounts>();

/** What a pod that leaves gives back, or one that stays and takes less. */
function freedBy(event: ClusterEvent, oldPod: Pod): ResourceAmounts {
  let amounts = freed.get(event);
  if (amounts === undefined) {
    amounts = event.pod === undefined ? podRequests(oldPod) : freedRequests(oldPod, event.pod);
    freed.set(event, amounts);
  }
  return amounts;
}

/** Any pod that leaves makes room for one more pod; it helps a waiting pod that asks for nothing, too. */
function freesSomething(waiting: PodInfo, freed: ReadonlyMap<string, number>): boolean {
  if (waiting.requests.size === 0 || freed.size === 0) return true;
  return frees(waiting, freed);
}

function frees(waiting: PodInfo, freed: ReadonlyMap<string, number>): boolean {
  return [...waiting.requests].some(([resource, amount]) => amount > 0 && (freed.get(resource) ?? 0) > 0);
}

export const nodeResourcesFit = createNodeResourcesFit();
