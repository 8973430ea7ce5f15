// The text that says why a pod fits nowhere, as events and `kubectl describe` show it. Users and tools read this wording.
import type { NodeVerdicts, Rejection } from "./contract.ts";

export const NO_NODES_AVAILABLE = "no nodes available to schedule pods";

/** "2 Insufficient cpu" for each reason, sorted as text. */
function histogram(reasons: ReadonlyMap<string, number>): string[] {
  return [...reasons].map(([reason, nodes]) => `${nodes} ${reason}`).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function tally(rejections: Iterable<Rejection | undefined>): Map<string, number> {
  const reasons = new Map<string, number>();
  for (const rejection of rejections) {
    for (const reason of rejection?.reasons ?? []) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  return reasons;
}

function* rejectionsOf(verdicts: NodeVerdicts): Iterable<Rejection | undefined> {
  for (let row = 0; row < verdicts.rows; row++) yield verdicts.rejectionOf(row);
}

/** The sentence for a pod that a PreFilter turned down for the whole cluster. */
export function preFilterMessage(nodes: number, rejection: Rejection, postFilter: string): string {
  return withPostFilter(`0/${nodes} nodes are available: ${rejection.reasons.join(", ")}.`, postFilter);
}

/** The sentence for a pod that each node turned down, with the count of nodes a reason. */
export function fitMessage(verdicts: NodeVerdicts, postFilter: string): string {
  const reasons = histogram(tally(rejectionsOf(verdicts)));
  const head = `0/${verdicts.rows} nodes are available:`;
  return withPostFilter(reasons.length === 0 ? head : `${head} ${reasons.join(", ")}.`, postFilter);
}

/** As `fitMessage`, for reasons that are counted already: preemption speaks of nodes this way. */
export function countedMessage(nodes: number, reasons: ReadonlyMap<string, number>): string {
  return `0/${nodes} nodes are available: ${histogram(reasons).join(", ")}.`;
}

function withPostFilter(message: string, postFilter: string): string {
  return postFilter === "" ? message : `${message} ${postFilter}`;
}
