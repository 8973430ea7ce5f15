// Filter: what the pod requests must be free on the node, and there must be room for one more pod.
// Score: LeastAllocated over cpu and memory, counting defaults for pods that request nothing.
import type { Node } from "@coxswain/api";
import {
  MAX_NODE_SCORE,
  type CycleState,
  type Plugin,
  type PreFilterOutcome,
  type Rejection,
} from "../framework/contract.ts";
import { parseAmount, podRequests, type PodInfo } from "../pod-info.ts";

const NAME = "NodeResourcesFit";
/** Extended resources are told apart from these by name alone. */
const NATIVE = ["cpu", "memory", "ephemeral-storage"];

interface Want {
  readonly resource: string;
  readonly amount: number;
  readonly allocatable: Float64Array;
  readonly requested: Float64Array;
}

interface FitState {
  readonly wants: readonly Want[];
  /** Resources that no node has. */
  readonly unknown: readonly string[];
  readonly rejections: Map<string, Rejection>;
}

function order(resource: string): number {
  const at = NATIVE.indexOf(resource);
  return at < 0 ? NATIVE.length : at;
}

function fitState(cycle: CycleState): FitState {
  const wants: Want[] = [];
  const unknown: string[] = [];
  const requests = [...cycle.info.requests].toSorted(([a], [b]) => order(a) - order(b) || (a < b ? -1 : 1));
  for (const [resource, amount] of requests) {
    if (amount <= 0) continue;
    const columns = cycle.snapshot.resource(resource);
    if (columns === undefined) unknown.push(resource);
    else wants.push({ resource, amount, ...columns });
  }
  return { wants, unknown, rejections: new Map() };
}

/** All that is wrong with a row, as one shared object per distinct finding. */
function rejectionFor(fit: FitState, full: boolean, row: number): Rejection {
  const reasons = full ? ["Too many pods"] : [];
  let unresolvable = fit.unknown.length > 0;
  for (const want of fit.wants) {
    if (want.amount <= want.allocatable[row]! - want.requested[row]!) continue;
    reasons.push(`Insufficient ${want.resource}`);
    unresolvable ||= want.amount > want.allocatable[row]!;
  }
  for (const resource of fit.unknown) reasons.push(`Insufficient ${resource}`);
  const code = unresolvable ? "UnschedulableAndUnresolvable" : "Unschedulable";
  const key = `${code} ${reasons.join()}`;
  const shared = fit.rejections.get(key) ?? { code, reasons };
  fit.rejections.set(key, shared);
  return shared;
}

function couldEverFit(info: PodInfo, node: Node | undefined): boolean {
  const allocatable = node?.status?.allocatable ?? {};
  if (parseAmount("pods", allocatable["pods"] ?? "0") < 1) return false;
  for (const [resource, amount] of info.requests) {
    if (amount > 0 && amount > parseAmount(resource, allocatable[resource] ?? "0")) return false;
  }
  return true;
}

export const nodeResourcesFit: Plugin = {
  name: NAME,
  preFilter(cycle): PreFilterOutcome {
    cycle.state.set(NAME, fitState(cycle));
    return { kind: "success" };
  },
  filter(cycle, column, from, to) {
    const fit = cycle.state.get(NAME) as FitState;
    const allowed = cycle.snapshot.allowedPods.values;
    const there = cycle.snapshot.podCount.values;
    const wants = fit.wants;
    const never = fit.unknown.length > 0;
    for (let row = from; row < to; row++) {
      if (!column.open(row)) continue;
      const full = there[row]! + 1 > allowed[row]!;
      let fits = !full && !never;
      for (let at = 0; fits && at < wants.length; at++) {
        const want = wants[at]!;
        fits = want.amount <= want.allocatable[row]! - want.requested[row]!;
      }
      if (!fits) column.reject(row, rejectionFor(fit, full, row));
    }
  },
  score(cycle, rows, count, scores) {
    const { snapshot, info } = cycle;
    const cpu = snapshot.resource("cpu")?.allocatable;
    const memory = snapshot.resource("memory")?.allocatable;
    const usedCpu = snapshot.nonZeroCpu.values;
    const usedMemory = snapshot.nonZeroMemory.values;
    for (let at = 0; at < count; at++) {
      const row = rows[at]!;
      const hasCpu = cpu === undefined ? 0 : cpu[row]!;
      const hasMemory = memory === undefined ? 0 : memory[row]!;
      const parts = (hasCpu > 0 ? 1 : 0) + (hasMemory > 0 ? 1 : 0);
      const sum =
        least(usedCpu[row]! + info.nonZeroCpu, hasCpu) + least(usedMemory[row]! + info.nonZeroMemory, hasMemory);
      scores[at] = parts === 0 ? 0 : Math.trunc(sum / parts);
    }
  },
  events: () => [
    {
      resource: "AssignedPod",
      actions: ["Delete", "UpdatePodScaleDown"],
      hint: (waiting, event) => event.oldPod === undefined || freesSomething(waiting, podRequests(event.oldPod)),
    },
    {
      resource: "Node",
      actions: ["Add", "UpdateNodeAllocatable"],
      hint: (waiting, event) => couldEverFit(waiting, event.node),
    },
  ],
};

/** Any pod that leaves makes room for one more pod; it helps a waiting pod that asks for nothing, too. */
function freesSomething(waiting: PodInfo, freed: ReadonlyMap<string, number>): boolean {
  if (waiting.requests.size === 0 || freed.size === 0) return true;
  return [...waiting.requests].some(([resource, amount]) => amount > 0 && (freed.get(resource) ?? 0) > 0);
}

function least(requested: number, allocatable: number): number {
  if (allocatable === 0 || requested > allocatable) return 0;
  return Math.trunc(((allocatable - requested) * MAX_NODE_SCORE) / allocatable);
}
