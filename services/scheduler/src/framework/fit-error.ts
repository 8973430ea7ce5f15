// The text that says why a pod fits nowhere, as events and `kubectl describe` show it. Users and tools read this wording.
import type { NodeVerdicts, Rejection } from "./contract.ts";

export const NO_NODES_AVAILABLE = "no nodes available to schedule pods";

/** "2 Insufficient cpu" for each reason, sorted as text. */
function histogram(reasons: ReadonlyMap<string, number>): string[] {
  return [...reasons].map(([reason, nodes]) => `${nodes} ${reason}`).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Counts nodes by reason. Rejections are shared objects, and neighbours often have the same. */
export class RejectionTally {
  readonly #nodes = new Map<Rejection | undefined, number>();
  #last: Rejection | undefined;
  #run = 0;

  /** One more node with this rejection; undefined counts for nothing. */
  add(rejection: Rejection | undefined): void {
    if (rejection === this.#last) {
      this.#run++;
      return;
    }
    this.#flush();
    this.#last = rejection;
    this.#run = 1;
  }

  reasons(): Map<string, number> {
    this.#flush();
    this.#run = 0;
    const reasons = new Map<string, number>();
    for (const [rejection, count] of this.#nodes) {
      if (rejection !== undefined) addReasons(reasons, rejection, count);
    }
    return reasons;
  }

  #flush(): void {
    if (this.#run > 0) this.#nodes.set(this.#last, (this.#nodes.get(this.#last) ?? 0) + this.#run);
  }
}

function tally(verdicts: NodeVerdicts): Map<string, number> {
  const counted = new RejectionTally();
  for (let row = 0; row < verdicts.rows; row++) counted.add(verdicts.rejectionOf(row));
  return counted.reasons();
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
