// The text that says why a pod fits nowhere, as events and `kubectl describe` show it. Users and tools read this wording.
import type { NodeVerdicts, Rejection } from "./contract.ts";

export const NO_NODES_AVAILABLE = "no nodes available to schedule pods";

/** "2 Insufficient cpu" for each reason, sorted as text. */
function histogram(reasons: ReadonlyMap<string, number>): string[] {
  return [...reasons].map(([reason, nodes]) => `${nodes} ${reason}`).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Nodes by reason. Rejections are shared objects, and neighbours often have the same. */
function tally(verdicts: NodeVerdicts): Map<string, number> {
  const nodes = new Map<Rejection, number>();
  let last: Rejection | undefined;
  let run = 0;
  const flush = (): void => {
    if (last !== undefined) nodes.set(last, (nodes.get(last) ?? 0) + run);
  };
  for (let row = 0; row < verdicts.rows; row++) {
    const rejection = verdicts.rejectionOf(row);
    if (rejection === last) {
      run++;
      continue;
    }
    flush();
    last = rejection;
    run = 1;
  }
  flush();
  const reasons = new Map<string, number>();
  for (const [rejection, count] of nodes) addReasons(reasons, rejection, count);
  return reasons;
}

/** Counts a rejection of `nodes` nodes. */
export function addReasons(reasons: Map<string, number>, rejection: Rejection, nodes: number): void {
  for (const reason of rejection.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + nodes);
}

/** The sentence for a pod that a PreFilter turned down for the whole cluster. */
export function preFilterMessage(nodes: number, rejection: Rejection, postFilter: string): string {
  return withPostFilter(`0/${nodes} nodes are available: ${rejection.reasons.join(", ")}.`, postFilter);
}

/** The sentence for a pod that each node turned down, with the count of nodes a reason. */
export function fitMessage(verdicts: NodeVerdicts, postFilter: string): string {
  const reasons = histogram(tally(verdicts));
  const head = `0/${verdicts.rows} nodes are available:`;
  return withPostFilter(reasons.length === 0 ? head : `${head} ${reasons.join(", ")}.`, postFilter);
}

/** As `fitMessage`, for reasons that are counted already: preemption speaks of nodes this way. */
export function countedMessage(nodes: number, reasons: ReadonlyMap<string, number>): string {
  return `0/${nodes} nodes are available: ${histogram(reasons).join(", ")}.`;
}

/** As `countedMessage`, for nodes that were all turned down for the same reasons. */
export function countedReasons(nodes: number, rejection: Rejection): string {
  const reasons = new Map<string, number>();
  addReasons(reasons, rejection, nodes);
  return countedMessage(nodes, reasons);
}

function withPostFilter(message: string, postFilter: string): string {
  return postFilter === "" ? message : `${message} ${postFilter}`;
}
