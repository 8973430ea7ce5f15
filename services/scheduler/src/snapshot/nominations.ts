// Pods that wait for room on a node which others have to leave first. Their room counts for pods that are not more important.
import type { PodInfo } from "../pod-info.ts";

export class Nominations {
  readonly #nodes = new Map<string, string>();
  readonly #byNode = new Map<string, Map<string, PodInfo>>();
  readonly #changed: (node: string) => void;

  /** `changed` hears of each node whose nominated pods change. */
  constructor(changed: (node: string) => void) {
    this.#changed = changed;
  }

  get size(): number {
    return this.#nodes.size;
  }
  /** The node that a pod is nominated to. */
  nodeOf(key: string): string | undefined {
    return this.#nodes.get(key);
  }
  countOn(node: string): number {
    return this.#byNode.get(node)?.size ?? 0;
  }
  on(node: string): PodInfo[] {
    return [...(this.#byNode.get(node)?.values() ?? [])];
  }

  add(info: PodInfo, node: string): void {
    if (this.#nodes.get(info.key) !== node) this.remove(info.key);
    this.#nodes.set(info.key, node);
    const pods = this.#byNode.get(node) ?? new Map<string, PodInfo>();
    pods.set(info.key, info);
    this.#byNode.set(node, pods);
    this.#changed(node);
  }

  /** A newer version of a pod that may be nominated. */
  refresh(info: PodInfo): void {
    const node = this.#nodes.get(info.key);
    if (node === undefined) return;
    this.#byNode.get(node)!.set(info.key, info);
    this.#changed(node);
  }

  remove(key: string): void {
    const node = this.#nodes.get(key);
    if (node === undefined) return;
    this.#nodes.delete(key);
    const pods = this.#byNode.get(node)!;
    pods.delete(key);
    if (pods.size === 0) this.#byNode.delete(node);
    this.#changed(node);
  }
}
