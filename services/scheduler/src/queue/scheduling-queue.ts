// The pods that wait for a node. Guarantees:
// - A pod is in one place: active (to be tried next, best first), backoff (tried, waits 1 s doubling to 10 s),
//   unschedulable (waits for an event that may help, or five minutes), gated, or in flight.
// - An event that happens while a pod is in flight counts when it comes back: it is not lost between decision and return.
// Pure but for the clock that is passed in.
import type { Clock } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import type { QueueOrder } from "../framework/contract.ts";
import { mayHelp, type ClusterEvent, type EventRegistration } from "./cluster-event.ts";
import { KeyedHeap } from "./heap.ts";

export type QueueName = "active" | "backoff" | "unschedulable" | "gated";

export interface QueuedPod extends QueueOrder {
  info: PodInfo;
  addedMs: number;
  readonly order: number;
  attempts: number;
  /** Of the last return to the queue, ms. */
  returnedMs: number;
  backoffUntilMs: number;
  unschedulablePlugins: ReadonlySet<string>;
  queue: QueueName | "in-flight";
}

export interface QueueOptions {
  readonly clock: Clock;
  readonly less: (a: QueueOrder, b: QueueOrder) => number;
  /** Why a pod must not be tried now; undefined lets it in. */
  readonly heldBack: (info: PodInfo) => string | undefined;
  readonly registrations: (plugin: string) => readonly EventRegistration[];
  readonly initialBackoffMs?: number;
  readonly maxBackoffMs?: number;
  readonly maxUnschedulableMs?: number;
}

export class SchedulingQueue {
  readonly #options: QueueOptions;
  readonly #pods = new Map<string, QueuedPod>();
  readonly #active: KeyedHeap<QueuedPod>;
  readonly #backoff: KeyedHeap<QueuedPod>;
  readonly #unschedulable = new Set<QueuedPod>();
  /** Events that came while a pod was in flight. */
  readonly #inFlight = new Map<string, ClusterEvent[]>();
  #order = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#active = new KeyedHeap<QueuedPod>((pod) => pod.info.key, options.less);
    this.#backoff = new KeyedHeap<QueuedPod>(
      (pod) => pod.info.key,
      (a, b) => a.backoffUntilMs - b.backoffUntilMs || a.order - b.order,
    );
  }

  get activeCount(): number {
    return this.#active.size;
  }
  get(key: string): QueuedPod | undefined {
    return this.#pods.get(key);
  }
  list(): QueuedPod[] {
    return [...this.#pods.values()].toSorted((a, b) => this.#options.less(a, b));
  }
  counts(): Record<QueueName, number> {
    const gated = [...this.#pods.values()].filter((pod) => pod.queue === "gated").length;
    return {
      active: this.#active.size,
      backoff: this.#backoff.size,
      unschedulable: this.#unschedulable.size,
      gated,
    };
  }

  add(info: PodInfo): void {
    const known = this.#pods.get(info.key);
    if (known !== undefined) {
      this.update(info, { resource: "TargetPod", actions: new Set() });
      return;
    }
    const now = this.#options.clock.now();
    const pod: QueuedPod = {
      info,
      addedMs: now,
      order: this.#order++,
      attempts: 0,
      returnedMs: now,
      backoffUntilMs: 0,
      unschedulablePlugins: new Set(),
      queue: "active",
    };
    this.#pods.set(info.key, pod);
    this.#put(pod, "active");
  }

  /** A waiting pod changed; `event` says how. */
  update(info: PodInfo, event: ClusterEvent): void {
    const pod = this.#pods.get(info.key);
    if (pod === undefined) return this.add(info);
    if (pod.queue === "in-flight") {
      pod.info = info;
      this.#inFlight.get(info.key)!.push(event);
      return;
    }
    const from = pod.queue;
    this.#leave(pod);
    pod.info = info;
    const helps = from !== "unschedulable" || this.#helped(pod, [event]);
    this.#put(pod, helps && from !== "backoff" ? "active" : from);
  }

  delete(key: string): void {
    const pod = this.#pods.get(key);
    if (pod === undefined) return;
    this.#leave(pod);
    this.#pods.delete(key);
    this.#inFlight.delete(key);
  }

  /** The best active pod, now in flight. */
  pop(): QueuedPod | undefined {
    this.flush();
    const pod = this.#active.pop();
    if (pod === undefined) return undefined;
    pod.queue = "in-flight";
    pod.attempts++;
    this.#inFlight.set(pod.info.key, []);
    return pod;
  }

  /** A pod in flight found no node: `plugins` turned it down. */
  returnUnschedulable(key: string, plugins: ReadonlySet<string>): void {
    const pod = this.#landing(key);
    if (pod === undefined) return;
    const { pod: queued, events } = pod;
    queued.unschedulablePlugins = plugins;
    this.#setBackoff(queued);
    this.#put(queued, this.#helped(queued, events) ? "backoff" : "unschedulable");
  }

  /** A pod in flight failed for a reason that is not its own; it is tried again after its backoff. */
  returnFailed(key: string): void {
    const pod = this.#landing(key);
    if (pod === undefined) return;
    pod.pod.unschedulablePlugins = new Set();
    this.#setBackoff(pod.pod);
    this.#put(pod.pod, "backoff");
  }

  /** Something happened: pods that it may help leave the unschedulable pool. */
  moveOn(event: ClusterEvent): number {
    let moved = 0;
    for (const pod of this.#unschedulable) {
      if (!this.#helped(pod, [event])) continue;
      this.#leave(pod);
      this.#put(pod, pod.backoffUntilMs > this.#options.clock.now() ? "backoff" : "active");
      moved++;
    }
    for (const events of this.#inFlight.values()) events.push(event);
    return moved;
  }

  /** Moves what has waited long enough; pop does it too. */
  flush(): void {
    const now = this.#options.clock.now();
    for (let pod = this.#backoff.peek(); pod !== undefined && pod.backoffUntilMs <= now; pod = this.#backoff.peek()) {
      this.#leave(pod);
      this.#put(pod, "active");
    }
    const limit = this.#options.maxUnschedulableMs ?? 300_000;
    for (const pod of this.#unschedulable) {
      if (now - pod.returnedMs < limit) continue;
      this.#leave(pod);
      this.#put(pod, "active");
    }
  }

  /** When `flush` has something to do next, ms since the epoch. */
  nextFlushMs(): number | undefined {
    let next = this.#backoff.peek()?.backoffUntilMs ?? Number.POSITIVE_INFINITY;
    const limit = this.#options.maxUnschedulableMs ?? 300_000;
    for (const pod of this.#unschedulable) next = Math.min(next, pod.returnedMs + limit);
    return Number.isFinite(next) ? next : undefined;
  }

  #helped(pod: QueuedPod, events: readonly ClusterEvent[]): boolean {
    return events.some(
      (event) =>
        event.resource === "WildCard" ||
        [...pod.unschedulablePlugins].some((plugin) => mayHelp(this.#options.registrations(plugin), pod.info, event)) ||
        // Rejected by no plugin: there were no nodes at all.
        (pod.unschedulablePlugins.size === 0 && event.resource === "Node"),
    );
  }

  #landing(key: string): { pod: QueuedPod; events: ClusterEvent[] } | undefined {
    const pod = this.#pods.get(key);
    const events = this.#inFlight.get(key);
    this.#inFlight.delete(key);
    if (pod === undefined || events === undefined || pod.queue !== "in-flight") return undefined;
    pod.returnedMs = this.#options.clock.now();
    return { pod, events };
  }

  #setBackoff(pod: QueuedPod): void {
    const initial = this.#options.initialBackoffMs ?? 1000;
    const max = this.#options.maxBackoffMs ?? 10_000;
    pod.backoffUntilMs = pod.returnedMs + Math.min(max, initial * 2 ** Math.min(30, Math.max(0, pod.attempts - 1)));
  }

  #put(pod: QueuedPod, to: QueueName): void {
    const held = to === "active" || to === "gated" ? this.#options.heldBack(pod.info) : undefined;
    pod.queue = held !== undefined ? "gated" : to === "gated" ? "active" : to;
    if (pod.queue === "active") this.#active.push(pod);
    else if (pod.queue === "backoff") this.#backoff.push(pod);
    else if (pod.queue === "unschedulable") this.#unschedulable.add(pod);
  }

  #leave(pod: QueuedPod): void {
    this.#active.delete(pod.info.key);
    this.#backoff.delete(pod.info.key);
    this.#unschedulable.delete(pod);
  }
}
