// Records core/v1 Events about objects, without ever blocking or failing its caller. Guarantees:
// - The same event again raises count and lastTimestamp of the first instead of making another.
// - More than 10 similar events (other messages) within 10 minutes become one combined event.
// - A source may say at most 25 things at once about an object, then one in 5 minutes.
// - The queue is bounded; what does not fit is dropped and counted in the log.
import { EVENTS, type Event } from "@coxswain/api";
import { isReason, mayHaveLanded, type KubeObject } from "@coxswain/apimachinery";
import { silentLogger, type Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { BatchOperation, BatchOutcome, ResourceClient } from "./resource-client.ts";
import type { EventOptions, EventRecorder } from "./runtime-contract.ts";

export interface EventRecorderDeps {
  readonly env: Env;
  readonly client: ResourceClient;
  /** Who reports, as in "kubelet". */
  readonly component: string;
  /** The node, for components that run on one. */
  readonly host?: string;
  readonly logger?: Logger;
}

const MAX_QUEUED = 1_000;
const MAX_BATCH = 64;
const MAX_ATTEMPTS = 12;
const RETRY_MS = 10_000;
/** After a server that has too much to do. */
const BUSY_RETRY_MS = 1_000;
const MAX_REMEMBERED = 4_096;
const SIMILAR_LIMIT = 10;
const SIMILAR_WINDOW_MS = 600_000;
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;

const second = (ms: number): string => new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");

/** A map that forgets what was used longest ago. */
class RecentMap<V> {
  readonly #entries = new Map<string, V>();
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
  delete(key: string): void {
    this.#entries.delete(key);
  }
}

/** Decides what becomes of a reported event; knows nothing of the network. */
export class EventCorrelator {
  readonly #similar = new RecentMap<{ messages: Set<string>; lastMs: number }>();
  readonly #buckets = new RecentMap<{ tokens: number; atMs: number }>();

  /** The event to write (its message may be combined) and the key under which it counts; undefined where it is spam. */
  correlate(event: Event, nowMs: number): { event: Event; key: string } | undefined {
    const { involvedObject: about, source, type, reason } = event;
    const subject = [
      source?.component,
      source?.host,
      about.kind,
      about.namespace,
      about.name,
      about.uid,
      about.apiVersion,
    ];
    const group = JSON.stringify([...subject, type, reason, event.reportingComponent]);
    const known = this.#similar.get(group);
    const similar =
      known !== undefined && nowMs - known.lastMs <= SIMILAR_WINDOW_MS
        ? known
        : { messages: new Set<string>(), lastMs: nowMs };
    similar.lastMs = nowMs;
    similar.messages.add(event.message ?? "");
    this.#similar.set(group, similar);
    const combined = similar.messages.size >= SIMILAR_LIMIT;
    if (combined) {
      // The set must stay bounded: dropping one keeps it at the limit.
      const [oldest] = similar.messages;
      similar.messages.delete(oldest ?? "");
      similar.messages.add(event.message ?? "");
    }
    if (!this.#allow(JSON.stringify(subject), nowMs)) return undefined;
    const message = combined ? `(combined from similar events): ${event.message}` : event.message;
    const key = combined ? group : JSON.stringify([...subject, about.fieldPath, type, reason, event.message]);
    return { event: { ...event, message }, key };
  }

  #allow(source: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(source) ?? { tokens: SPAM_BURST, atMs: nowMs };
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + (nowMs - bucket.atMs) / SPAM_REFILL_MS);
    bucket.atMs = nowMs;
    const allowed = bucket.tokens >= 1;
    if (allowed) bucket.tokens--;
    this.#buckets.set(source, bucket);
    return allowed;
  }
}

interface Pending {
  readonly event: Event;
  readonly key: string;
  attempts: number;
  /** The event as it is once the write that is on its way has succeeded. */
  written?: Event;
}

class Recorder implements EventRecorder {
  readonly #deps: EventRecorderDeps;
  readonly #logger: Logger;
  readonly #correlator = new EventCorrelator();
  /** The event as last written, by key. */
  readonly #written = new RecentMap<Event>();
  #queue: Pending[] = [];
  #sending: Promise<void> | undefined;
  #dropped = 0;

  constructor(deps: EventRecorderDeps) {
    this.#deps = deps;
    this.#logger = deps.logger ?? silentLogger;
  }

  event(
    about: KubeObject,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    options: EventOptions = {},
  ): void {
    // Before anything is computed: it is in a storm that the time counts.
    if (this.#queue.length >= MAX_QUEUED) {
      this.#dropped++;
      return;
    }
    const made = this.#make(about, { type, reason, message }, options);
    const correlated = this.#correlator.correlate(made, this.#deps.env.clock.now());
    if (correlated === undefined) return;
    this.#queue.push({ ...correlated, attempts: 0 });
    this.#sending ??= this.#sendAll();
  }

  #lastMicros = 0n;

  async flush(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  /**
   * 16 hex digits: microseconds, then chance. Events carry whole seconds, and lists come in order of names, so that events of
   * one second show in the order in which they happened.
   */
  #suffix(): string {
    const { clock, random } = this.#deps.env;
    const micros = BigInt(clock.now()) * 1000n + BigInt(Math.floor((clock.monotonic() % 1) * 1000));
    this.#lastMicros = micros > this.#lastMicros ? micros : this.#lastMicros + 1n;
    return this.#lastMicros.toString(16).padStart(13, "0") + random.bytes(2).toString("hex").slice(0, 3);
  }

  #make(
    about: KubeObject,
    { type, reason, message }: { type: string; reason: string; message: string },
    options: EventOptions,
  ): Event {
    const { component, env } = this.#deps;
    const host = options.host ?? this.#deps.host ?? "";
    const { name = "", namespace = "", uid, resourceVersion } = about.metadata ?? {};
    const now = second(env.clock.now());
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: `${name}.${this.#suffix()}`,
        namespace: namespace === "" ? "default" : namespace,
      },
      involvedObject: {
        kind: about.kind,
        apiVersion: about.apiVersion,
        name,
        ...(namespace === "" ? {} : { namespace }),
        uid,
        resourceVersion,
        ...(options.fieldPath === undefined ? {} : { fieldPath: options.fieldPath }),
      },
      reason,
      message,
      type,
      source: { component, ...(host === "" ? {} : { host }) },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      reportingComponent: component,
      reportingInstance: host,
    };
  }

  async #sendAll(): Promise<void> {
    // Reports of the same turn go out together.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) await this.#sendSome();
    } catch (error) {
      this.#logger.error({ err: error, events: this.#queue.length }, "events could not be sent");
      this.#queue = [];
    } finally {
      this.#sending = undefined;
    }
    if (this.#dropped > 0) this.#logger.warn({ dropped: this.#dropped }, "events were dropped, the queue was full");
    this.#dropped = 0;
  }

  async #sendSome(): Promise<void> {
    const batch = this.#takeDistinct();
    const outcomes = await this.#deps.client.batch<Event>(batch.map((pending) => this.#operation(pending)));
    let retryMs = 0;
    for (const [at, pending] of batch.entries()) {
      const outcome = outcomes[at];
      if (outcome === undefined || !this.#settle(pending, outcome)) continue;
      this.#queue.unshift(pending);
      const busy = !outcome.ok && isReason(outcome.error, "TooManyRequests");
      retryMs = Math.max(retryMs, busy ? BUSY_RETRY_MS : RETRY_MS);
    }
    if (retryMs > 0) await this.#deps.env.timers.sleep(retryMs * this.#deps.env.random.float());
  }

  /** Up to a batch of events with different keys: a second write to one key must see the first. */
  #takeDistinct(): Pending[] {
    const taken: Pending[] = [];
    const keys = new Set<string>();
    const kept: Pending[] = [];
    let looked = 0;
    for (; looked < this.#queue.length && taken.length < MAX_BATCH; looked++) {
      const pending = this.#queue[looked]!;
      if (keys.has(pending.key)) {
        kept.push(pending);
        continue;
      }
      keys.add(pending.key);
      taken.push(pending);
    }
    // In a storm the queue is long: what was not looked at is moved, not looked at.
    this.#queue = kept.concat(this.#queue.slice(looked));
    return taken;
  }

  #operation(pending: Pending): BatchOperation {
    const { event, key } = pending;
    const { namespace = "default", name = "" } = event.metadata;
    const last = this.#written.get(key);
    pending.written = event;
    if (last === undefined) return { op: "create", ref: EVENTS, namespace, object: event };
    const target = { namespace: last.metadata.namespace ?? namespace, name: last.metadata.name ?? name };
    const { lastTimestamp, message } = event;
    const patch = { count: (last.count ?? 1) + 1, lastTimestamp, message };
    pending.written = { ...last, ...patch };
    return { op: "patch", ref: EVENTS, target, type: "application/strategic-merge-patch+json", patch };
  }

  /** True where the event should be sent again. */
  #settle(pending: Pending, outcome: BatchOutcome<Event>): boolean {
    if (outcome.ok) {
      // As it was asked for: the answer need not be read.
      this.#written.set(pending.key, pending.written ?? pending.event);
      return false;
    }
    const { error } = outcome;
    pending.attempts++;
    if (isReason(error, "NotFound") && this.#written.get(pending.key) !== undefined) {
      // The counted event has expired on the server: start another.
      this.#written.delete(pending.key);
      return pending.attempts < MAX_ATTEMPTS;
    }
    if (isReason(error, "AlreadyExists") && pending.attempts > 1) {
      this.#written.set(pending.key, pending.event);
      return false;
    }
    const again = mayHaveLanded(error) || isReason(error, "TooManyRequests");
    if (again && pending.attempts < MAX_ATTEMPTS) return true;
    this.#logger.warn({ err: error, reason: pending.event.reason }, "the server rejected an event");
    return false;
  }
}

/** A recorder that reports as `component`. */
export function createEventRecorder(deps: EventRecorderDeps): EventRecorder {
  return new Recorder(deps);
}
