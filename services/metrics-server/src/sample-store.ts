// The latest two samples of every node and container, and the use that they tell. Guarantees: CPU is what was used between two
// samples of the same life, divided by the time between them; a figure that is not known is left out, never told as 0.
import type { ContainerPoint, NodeSample, Point } from "./stats-source.ts";

/** Use over a window of time that ended at `timeMs`. */
export interface Usage {
  readonly cpuNanoCores: number;
  readonly workingSetBytes: number;
  readonly timeMs: number;
  readonly windowMs: number;
}

export interface ContainerUsage extends Usage {
  readonly name: string;
}

/** A container that is younger has had too little time to be judged by what it has used since its start. */
const FRESH_CONTAINER_MS = 10_000;

/** The use that two points of a life tell, or a single one of a life that is old enough; undefined where they do not. Pure. */
export function usageOf(last: Point, before: Point | undefined, simulated: boolean): Usage | undefined {
  const { workingSetBytes, timeMs, startMs } = last;
  const sameLife = before !== undefined && before.startMs === startMs && before.cpuNanos <= last.cpuNanos;
  const from = sameLife ? before : { cpuNanos: 0, timeMs: startMs };
  const windowMs = timeMs - from.timeMs;
  if (simulated) return { cpuNanoCores: last.cpuNanoCores, workingSetBytes, timeMs, windowMs: Math.max(windowMs, 1) };
  if (windowMs <= 0 || (!sameLife && windowMs < FRESH_CONTAINER_MS)) return undefined;
  const cpuNanoCores = Math.round(((last.cpuNanos - from.cpuNanos) / windowMs) * 1000);
  return { cpuNanoCores, workingSetBytes, timeMs, windowMs };
}

interface Entry<P extends Point> {
  readonly last: P;
  readonly before: P | undefined;
}

interface NodeEntry {
  readonly simulated: boolean;
  readonly usage: Entry<Point> | undefined;
  /** By namespace/pod, then by container. */
  readonly pods: ReadonlyMap<string, ReadonlyMap<string, Entry<ContainerPoint>>>;
}

/** A sample that is not newer than the last one tells nothing new. */
function follow<P extends Point>(known: Entry<P> | undefined, next: P): Entry<P> {
  if (known !== undefined && next.timeMs <= known.last.timeMs) return known;
  return { last: next, before: known?.last };
}

export class SampleStore {
  readonly #nodes = new Map<string, NodeEntry>();
  /** namespace/pod → node. */
  readonly #places = new Map<string, string>();

  get nodes(): number {
    return this.#nodes.size;
  }

  put({ node, simulated, usage, containers }: NodeSample): void {
    const known = this.#nodes.get(node);
    const pods = new Map<string, Map<string, Entry<ContainerPoint>>>();
    for (const point of containers) {
      const key = `${point.namespace}/${point.pod}`;
      let pod = pods.get(key);
      if (pod === undefined) pods.set(key, (pod = new Map()));
      pod.set(point.container, follow(known?.pods.get(key)?.get(point.container), point));
    }
    for (const key of known?.pods.keys() ?? []) {
      if (!pods.has(key) && this.#places.get(key) === node) this.#places.delete(key);
    }
    for (const key of pods.keys()) this.#places.set(key, node);
    const own = usage === undefined ? known?.usage : follow(known?.usage, usage);
    this.#nodes.set(node, { simulated, usage: own, pods });
  }

  /** Forgets all nodes but these. */
  keep(nodes: ReadonlySet<string>): void {
    for (const [node, { pods }] of this.#nodes) {
      if (nodes.has(node)) continue;
      for (const key of pods.keys()) if (this.#places.get(key) === node) this.#places.delete(key);
      this.#nodes.delete(node);
    }
  }

  has(node: string): boolean {
    return this.#nodes.has(node);
  }

  isSimulated(node: string): boolean {
    return this.#nodes.get(node)?.simulated ?? false;
  }

  nodeUsage(node: string): Usage | undefined {
    const entry = this.#nodes.get(node);
    if (entry?.usage === undefined) return undefined;
    return usageOf(entry.usage.last, entry.usage.before, entry.simulated);
  }

  /** Undefined unless every container of the pod that was seen is known. */
  podUsage(namespace: string, pod: string): readonly ContainerUsage[] | undefined {
    const key = `${namespace}/${pod}`;
    const entry = this.#nodes.get(this.#places.get(key) ?? "");
    const containers: ContainerUsage[] = [];
    for (const [name, { last, before }] of entry?.pods.get(key) ?? []) {
      const usage = usageOf(last, before, entry?.simulated ?? false);
      if (usage === undefined) return undefined;
      containers.push({ name, ...usage });
    }
    return containers.length === 0 ? undefined : containers;
  }
}
