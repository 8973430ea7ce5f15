// An example of a plugin that does not come with the scheduler: cheap nodes first, and none that costs more than `limit`. A node
// tells its price by the label example.com/price; one without a price costs nothing.
import type { Plugin } from "@coxswain/scheduler";

const PRICE = "example.com/price";

interface Args {
  /** Pods go to no node that costs more. */
  readonly limit?: number;
}

export const plugins = {
  NodePrice(args: unknown): Plugin {
    const { limit = Infinity } = (args ?? {}) as Args;
    if (typeof limit !== "number" || limit < 0) throw new RangeError("limit: must be a number of at least 0");
    const tooDear = { code: "UnschedulableAndUnresolvable", reasons: ["node(s) were too expensive"] } as const;
    const priceOf = (labels: Readonly<Record<string, string>> = {}): number => Number(labels[PRICE] ?? 0);
    return {
      name: "NodePrice",
      ignoresPods: true,
      filter({ snapshot }, column, from, to) {
        for (let row = from; row < to; row++) {
          if (column.open(row) && priceOf(snapshot.nodes[row]!.metadata?.labels) > limit) column.reject(row, tooDear);
        }
      },
      score({ snapshot }, rows, count, scores) {
        for (let at = 0; at < count; at++) scores[at] = priceOf(snapshot.nodes[rows[at]!]!.metadata?.labels);
      },
      // Scores end up between 0 and 100, the cheapest highest.
      normalizeScore(_cycle, _rows, count, scores) {
        const most = Math.max(...scores.subarray(0, count));
        for (let at = 0; at < count; at++) scores[at] = most === 0 ? 0 : Math.round(100 - (100 * scores[at]!) / most);
      },
      events: () => [{ resource: "Node", actions: ["Add", "UpdateNodeLabel"] }],
    };
  },
};
