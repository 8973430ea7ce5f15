// The nodes of a cluster that come and go, as a node provider has them. Guarantees:
// - The target size never leaves min..max; it counts nodes that are there, are being made, or wait to be made.
// - Nodes are made one at a time; one that could not be made stays listed with its error, and nothing else of it, until it is deleted.
// - Which nodes there are is on record before they are made, and until they are gone: a restart knows them.
import { newBadRequest, newConflict, newNotFound, type StatusError } from "@coxswain/apimachinery";
import type { AutoscaleRange } from "./cluster-spec.ts";
import { nodeName, nodeNumber } from "./node-names.ts";

/** Makes and removes the real thing. */
export interface NodeMaker {
  /** Resolves when the node's kubelet has been started. Where it rejects, nothing of the node stays. */
  make(node: string): Promise<void>;
  /** Ends the node and removes its disk; idempotent. */
  remove(node: string): Promise<void>;
}

export interface PoolNode {
  readonly name: string;
  readonly state: "creating" | "running" | "deleting";
  /** Why it could not be made. */
  readonly error?: string;
}

export interface NodePoolOptions {
  readonly range: AutoscaleRange;
  /** The nodes that are there already. */
  readonly nodes: readonly string[];
  readonly maker: NodeMaker;
  /** Hears which nodes there are, or are to be made, on each change. */
  readonly save: (nodes: readonly string[]) => void;
}

const NODES = { group: "", resource: "nodes" };

/**
 * The nodes that a cluster starts with: those of its last run, else the first `nodes`; filled up to the minimum, and without
 * those that the range has no more room for. Pure.
 */
export function firstNodes(range: AutoscaleRange, nodes: number, last: readonly string[] | undefined): string[] {
  const before = last ?? Array.from({ length: nodes }, (_, at) => nodeName(at + 1));
  const kept = before.filter((name) => (nodeNumber(name) ?? Infinity) <= range.max);
  while (kept.length < range.min) kept.push(freeName(kept));
  return kept.toSorted((a, b) => (nodeNumber(a) ?? 0) - (nodeNumber(b) ?? 0));
}

function freeName(taken: readonly string[]): string {
  for (let number = 1; ; number++) if (!taken.includes(nodeName(number))) return nodeName(number);
}

export class NodePool {
  readonly range: AutoscaleRange;
  readonly #options: NodePoolOptions;
  readonly #nodes = new Map<string, PoolNode>();
  #wanted = 0;
  #making: Promise<void> | undefined;
  #closed = false;

  constructor(options: NodePoolOptions) {
    this.#options = options;
    this.range = options.range;
    for (const name of options.nodes) this.#nodes.set(name, { name, state: "running" });
    this.#save();
  }

  nodes(): PoolNode[] {
    return [...this.#nodes.values()];
  }

  get targetSize(): number {
    return this.#wanted + this.nodes().filter(({ state }) => state !== "deleting").length;
  }

  /** Asks for more nodes. Throws BadRequest. */
  increase(delta: number): void {
    if (!(delta > 0)) throw newBadRequest("size increase must be positive");
    const desired = this.targetSize + delta;
    const { max } = this.range;
    if (desired > max)
      throw newBadRequest(`size increase is too large. current: ${this.targetSize} desired: ${desired} max: ${max}`);
    this.#wanted += delta;
    this.#makeNext();
  }

  /** Takes requests back that nothing was done about. `delta` is negative. Throws BadRequest. */
  decrease(delta: number): void {
    if (!(delta < 0)) throw newBadRequest("size decrease must be negative");
    if (-delta > this.#wanted) {
      const existing = this.targetSize - this.#wanted;
      throw newBadRequest(
        `attempt to delete existing nodes, targetSize: ${this.targetSize} delta: ${delta} existingNodes: ${existing}`,
      );
    }
    this.#wanted += delta;
  }

  /** Resolves when the nodes are gone. Rejects with BadRequest, NotFound or Conflict before anything is done. */
  async delete(names: readonly string[]): Promise<void> {
    const chosen = names.map((name) => this.#deletable(name));
    const whole = chosen.filter(({ error }) => error === undefined).length;
    if (whole > 0 && this.targetSize - chosen.length < this.range.min)
      throw newBadRequest(`min size reached, nodes will not be deleted`);
    for (const node of chosen) this.#nodes.set(node.name, { ...node, state: "deleting" });
    const outcomes = await Promise.allSettled(chosen.map((node) => this.#remove(node)));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Makes no more nodes. Resolves when the one that is being made is there, or has failed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#making;
  }

  #deletable(name: string): PoolNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw newNotFound(NODES, name);
    if (node.state === "creating" && node.error === undefined) throw conflict(name, "it is being created");
    if (node.state === "deleting") throw conflict(name, "it is being deleted");
    return node;
  }

  async #remove(node: PoolNode): Promise<void> {
    try {
      await this.#options.maker.remove(node.name);
    } catch (error) {
      this.#nodes.set(node.name, node);
      throw error;
    }
    this.#nodes.delete(node.name);
    this.#save();
    this.#makeNext();
  }

  #makeNext(): void {
    if (this.#making !== undefined || this.#closed || this.#wanted === 0) return;
    const name = freeName([...this.#nodes.keys()]);
    // Names are as many as the range has room for: one that is being deleted has to go first.
    if ((nodeNumber(name) ?? Infinity) > this.range.max) return;
    this.#wanted--;
    this.#nodes.set(name, { name, state: "creating" });
    this.#save();
    this.#making = this.#make(name).finally(() => {
      this.#making = undefined;
      this.#makeNext();
    });
  }

  async #make(name: string): Promise<void> {
    try {
      await this.#options.maker.make(name);
      this.#nodes.set(name, { name, state: "running" });
    } catch (error) {
      this.#nodes.set(name, { name, state: "creating", error: error instanceof Error ? error.message : String(error) });
    }
    this.#save();
  }

  #save(): void {
    this.#options.save(this.nodes().flatMap(({ name, error }) => (error === undefined ? [name] : [])));
  }
}

function conflict(name: string, why: string): StatusError {
  return newConflict(NODES, name, why);
}
