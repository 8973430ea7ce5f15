// The pods that wait for a node. Guarantees:
// - A pod is in one place: active (to be tried next, best first), backoff (tried, waits 1 s doubling to 10 s),
//   unschedulable (waits for an event that may help, or five minutes), gated, or in flight.
// - Where nothing else is to be done, pods that wait for the end of their backoff are tried early; those that failed by an
//   error are not.
// - An event that happens while a pod is in flight counts when it comes back: it is not lost between decision and return.
// Pure but for the clock that is passed in.
import type { Clock } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import type { QueueOrder } from "../framework/contract.ts";
import { concerns, mayHelp, type ClusterEvent, type EventRegistration } from "./cluster-event.ts";
import { EventLog } from "./event-log.ts";
import { KeyedHeap } from "./heap.ts";
import { UnschedulablePool } from "./unschedulable-pool.ts";

export type QueueName = "active" | "backoff" | "unschedulable" | "gated";

export interface QueuedPod extends QueueOrder {
  info: PodInfo;
  addedMs: number;
  readonly order: number;
  attempts: number;
  /** When the last attempt began, and the first; ms of the monotonic clock. */
  poppedAt: number;
  firstPoppedAt: number | undefined;
  /** Attempts that found no node, and attempts in a row that failed by an error: the length of the backoff. */
  misses: number;
  errors: number;
  /** The PreEnqueue plugin that holds it back. */
  gatedBy: string | undefined;
  /** Of the last return to the queue, ms. */
  returnedMs: number;
  backoffUntilMs: number;
  unschedulablePlugins: ReadonlySet<string>;
  queue: QueueName | "in-flight";
}

export interface QueueOptions {
  readonly clock: Clock;
  readonly less: (a: QueueOrder, b: QueueOrder) => number;
  /** The plugin that says that a pod must not be tried now; undefined lets it in. */
  readonly heldBack: (info: PodInfo) => string | undefined;
  /** Undefined for a plugin that says nothing about events: each may help. */
  readonly registrations: (plugin: string) => readonly EventRegistration[] | undefined;
  readonly initialBackoffMs?: number;
  readonly maxBackoffMs?: number;
  readonly maxUnschedulableMs?: number;
}

export class SchedulingQueue {
  readonly #options: QueueOptions;
  readonly #pods = new Map<string, QueuedPod>();
  readonly #active: KeyedHeap<QueuedPod>;
  readonly #backoff: KeyedHeap<QueuedPod>;
  /** Backoff after errors. */
  readonly #errors: KeyedHeap<QueuedPod>;
  readonly #unschedulable = new UnschedulablePool();
  readonly #gated = new Set<QueuedPod>();
  readonly #log = new EventLog();
  #order = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#active = new KeyedHeap<QueuedPod>((pod) => pod.info.key, options.less);
    const sooner = (a: QueuedPod, b: QueuedPod): number =>
      a.backoffUntilMs - b.backoffUntilMs || options.less(a, b) || a.order - b.order;
    this.#backoff = new KeyedHeap<QueuedPod>((pod) => pod.info.key, sooner);
    this.#errors = new KeyedHeap<QueuedPod>((pod) => pod.info.key, sooner);
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
    return {
      active: this.#active.size,
      backoff: this.#backoff.size + this.#errors.size,
      unschedulable: this.#unschedulable.size,
      gated: this.#gated.size,
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
      poppedAt: 0,
      firstPoppedAt: undefined,
      misses: 0,
      errors: 0,
      gatedBy: undefined,
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
      this.#log.note(event, info.key);
      return;
    }
    const from = pod.queue;
    const wasError = this.#errors.has(info.key);
    if (from === "unschedulable") {
      pod.info = info;
      if (!this.#helped(pod, event)) return;
      this.#leave(pod);
      this.#requeue(pod);
      return;
    }
    this.#leave(pod);
    pod.info = info;
    this.#put(pod, from === "gated" ? "active" : from, wasError);
  }

  /** A newer version of a pod whose place is what it was; nothing where it is not here. */
  refresh(info: PodInfo): void {
    const pod = this.#pods.get(info.key);
    if (pod !== undefined) pod.info = info;
  }

  delete(key: string): void {
    const pod = this.#pods.get(key);
    if (pod === undefined) return;
    this.#leave(pod);
    this.#pods.delete(key);
    this.#log.land(key);
  }

  /** The best active pod, now in flight. */
  pop(): QueuedPod | undefined {
    this.flush();
    const pod = this.#active.pop() ?? this.#early();
    if (pod === undefined) return undefined;
    pod.queue = "in-flight";
    pod.attempts++;
    pod.poppedAt = this.#options.clock.monotonic();
    pod.firstPoppedAt ??= pod.poppedAt;
    this.#log.leave(pod.info.key);
    return pod;
  }

  /** A pod in flight found no node: `plugins` turned it down. */
  returnUnschedulable(key: string, plugins: ReadonlySet<string>): void {
    const pod = this.#landing(key);
    if (pod === undefined) return;
    pod.unschedulablePlugins = plugins;
    pod.misses++;
    pod.errors = 0;
    this.#setBackoff(pod, pod.misses);
    const helped = this.#log.some(
      key,
      (sample) => this.#concerned(plugins, sample),
      (event) => this.#helped(pod, event),
    );
    this.#log.land(key);
    this.#put(pod, helped ? "backoff" : "unschedulable");
  }

  /** A pod in flight failed for a reason that is not its own; it is tried again after its backoff. */
  returnFailed(key: string): void {
    const pod = this.#landing(key);
    if (pod === undefined) return;
    this.#log.land(key);
    pod.unschedulablePlugins = new Set();
    pod.errors++;
    this.#setBackoff(pod, pod.errors);
    this.#put(pod, "backoff", true);
  }

  /** Something happened: pods that it may help leave the unschedulable pool, of those that `only` lets. */
  moveOn(event: ClusterEvent, only?: (info: PodInfo) => boolean): number {
    let moved = 0;
    for (const group of this.#unschedulable.groups()) {
      const [first] = group;
      if (!this.#concerned(first!.unschedulablePlugins, event)) continue;
      for (const pod of group) {
        if (only?.(pod.info) === false || !this.#helped(pod, event)) continue;
        this.#leave(pod);
        this.#requeue(pod);
        moved++;
      }
    }
    for (const pod of this.#gated) {
      const registrations = this.#options.registrations(pod.gatedBy ?? "");
      if (registrations !== undefined && !mayHelp(registrations, pod.info, event)) continue;
      if (this.#options.heldBack(pod.info) !== undefined) continue;
      this.#leave(pod);
      this.#requeue(pod);
      moved++;
    }
    this.#log.note(event);
    return moved;
  }

  /** Moves what has waited long enough; pop does it too. */
  flush(): void {
    const now = this.#options.clock.now();
    for (const heap of [this.#backoff, this.#errors]) {
      for (let pod = heap.peek(); pod !== undefined && pod.backoffUntilMs <= now; pod = heap.peek()) {
        this.#leave(pod);
        this.#put(pod, "active");
      }
    }
    const limit = this.#options.maxUnschedulableMs ?? 300_000;
    let oldest = this.#unschedulable.oldest();
    for (; oldest !== undefined && now - oldest.returnedMs >= limit; oldest = this.#unschedulable.oldest()) {
      this.#leave(oldest);
      this.#requeue(oldest);
    }
  }

  /** When `flush` has something to do next, ms since the epoch. */
  nextFlushMs(): number | undefined {
    const until = (heap: KeyedHeap<QueuedPod>): number => heap.peek()?.backoffUntilMs ?? Number.POSITIVE_INFINITY;
    let next = Math.min(until(this.#backoff), until(this.#errors));
    const limit = this.#options.maxUnschedulableMs ?? 300_000;
    const oldest = this.#unschedulable.oldest();
    if (oldest !== undefined) next = Math.min(next, oldest.returnedMs + limit);
    return Number.isFinite(next) ? next : undefined;
  }

  /** With nothing active, the pod whose backoff ends next. */
  #early(): QueuedPod | undefined {
    for (let pod = this.#backoff.pop(); pod !== undefined; pod = this.#backoff.pop()) {
      if (this.#options.heldBack(pod.info) === undefined) return pod;
      this.#put(pod, "active");
    }
    return undefined;
  }

  /** To the active queue, or to the backoff queue where that has not ended. */
  #requeue(pod: QueuedPod): void {
    this.#put(pod, pod.backoffUntilMs > this.#options.clock.now() ? "backoff" : "active");
  }

  /** Whether an event of this kind can help any pod that these plugins turned down. */
  #concerned(plugins: ReadonlySet<string>, event: ClusterEvent): boolean {
    if (event.resource === "WildCard" || (plugins.size === 0 && event.resource === "Node")) return true;
    return [...plugins].some((plugin) => {
      const registrations = this.#options.registrations(plugin);
      return registrations === undefined || concerns(registrations, event);
    });
  }

  #helped(pod: QueuedPod, event: ClusterEvent): boolean {
    if (event.resource === "WildCard") return true;
    // Rejected by no plugin: there were no nodes at all.
    if (pod.unschedulablePlugins.size === 0) return event.resource === "Node";
    for (const plugin of pod.unschedulablePlugins) {
      const registrations = this.#options.registrations(plugin);
      if (registrations === undefined || mayHelp(registrations, pod.info, event)) return true;
    }
    return false;
  }

  /** A pod in flight that comes back; it still has to be landed in the log. */
  #landing(key: string): QueuedPod | undefined {
    const pod = this.#pods.get(key);
    if (pod === undefined || !this.#log.has(key) || pod.queue !== "in-flight") {
      this.#log.land(key);
      return undefined;
    }
    pod.returnedMs = this.#options.clock.now();
    // Who comes back stands behind those that have come meanwhile.
    pod.addedMs = pod.returnedMs;
    return pod;
  }

  #setBackoff(pod: QueuedPod, failures: number): void {
    const initial = this.#options.initialBackoffMs ?? 1000;
    const max = this.#options.maxBackoffMs ?? 10_000;
    pod.backoffUntilMs = pod.returnedMs + Math.min(max, initial * 2 ** Math.min(30, Math.max(0, failures - 1)));
  }

  #put(pod: QueuedPod, to: QueueName, afterError = false): void {
    pod.gatedBy = to === "active" || to === "gated" ? this.#options.heldBack(pod.info) : undefined;
    pod.queue = pod.gatedBy !== undefined ? "gated" : to === "gated" ? "active" : to;
    if (pod.queue === "active") this.#active.push(pod);
    else if (pod.queue === "backoff") (afterError ? this.#errors : this.#backoff).push(pod);
    else if (pod.queue === "unschedulable") this.#unschedulable.add(pod);
    else this.#gated.add(pod);
  }

  #leave(pod: QueuedPod): void {
    this.#active.delete(pod.info.key);
    this.#backoff.delete(pod.info.key);
    this.#errors.delete(pod.info.key);
    this.#unschedulable.delete(pod);
    this.#gated.delete(pod);
  }
}
