// How much of the machine a node offers to pods.
import { availableParallelism, totalmem } from "node:os";

export interface NodeShare {
  /** A cpu quantity in thousandths: "1000m". */
  readonly cpu: string;
  /** A memory quantity in Ki: "4194304Ki". */
  readonly memory: string;
}

/** Below this a node could not hold the smallest pods; then the nodes together promise more than there is. */
const LEAST_CPU_MILLIS = 100;
const LEAST_MEMORY_KIB = 128 * 1024;

/**
 * The rule: a node has the machine's processors and memory divided by the number of nodes, rounded down, but at least
 * 100m and 128Mi. So the nodes of one cluster do not promise the same memory twice.
 */
export function nodeShare(
  nodes: number,
  machine: { readonly cpus: number; readonly memoryBytes: number } = {
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
  },
): NodeShare {
  const sharers = Math.max(1, nodes);
  const cpu = Math.max(LEAST_CPU_MILLIS, Math.floor((machine.cpus * 1_000) / sharers));
  const memory = Math.max(LEAST_MEMORY_KIB, Math.floor(machine.memoryBytes / 1_024 / sharers));
  return { cpu: `${cpu}m`, memory: `${memory}Ki` };
}
