// QueueSort: higher priority first, then who waits longest.
import type { Plugin } from "../framework/contract.ts";

export const prioritySort: Plugin = {
  name: "PrioritySort",
  less: (a, b) => b.info.priority - a.info.priority || a.addedMs - b.addedMs || a.order - b.order,
};
