// The pods that wait for an event that may help, in the order in which they came back; and by the plugins that turned them
// down, so that an event which concerns none of these passes all such pods over at once.
import type { QueuedPod } from "./scheduling-queue.ts";

export class UnschedulablePool {
  readonly #pods = new Set<QueuedPod>();
  readonly #groups = new Map<string, Set<QueuedPod>>();

  get size(): number {
    return this.#pods.size;
  }
  /** Who waits longest. */
  oldest(): QueuedPod | undefined {
    return this.#pods.values().next().value;
  }
  /** The pods that the same plugins turned down; none is empty. */
  groups(): readonly ReadonlySet<QueuedPod>[] {
    return [...this.#groups.values()];
  }

  add(pod: QueuedPod): void {
    this.#pods.add(pod);
    const key = groupOf(pod);
    const group = this.#groups.get(key) ?? new Set<QueuedPod>();
    group.add(pod);
    this.#groups.set(key, group);
  }

  /** Its plugins must be those with which it came. */
  delete(pod: QueuedPod): void {
    if (!this.#pods.delete(pod)) return;
    const key = groupOf(pod);
    const group = this.#groups.get(key);
    group?.delete(pod);
    if (group?.size === 0) this.#groups.delete(key);
  }
}

function groupOf({ unschedulablePlugins }: QueuedPod): string {
  return [...unschedulablePlugins].toSorted().join(" ");
}
