// Records core/v1 Events about objects, without ever blocking or failing its caller. Guarantees:
// - What is written follows EventCorrelator, and what happens again before it was written is written once.
// - Events give way: after each batch the server has three times as long for the writes of others, so that events trail
//   where it has much to do, and are there at once where it has not. Warnings wait for no others.
// - What waits is bounded; what does not fit is dropped and counted in the log.
import { EVENTS, type Event } from "@coxswain/api";
import { formatTime, isReason, mayHaveLanded, type KubeObject, RecentMap } from "@coxswain/apimachinery";
import { silentLogger, type Logger } from "@coxswain/component-base";
import { pause, type Env } from "@coxswain/env";
import { EventCorrelator, MAX_REMEMBERED, type Correlated } from "./event-correlator.ts";
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
  /** Events that may wait, half a kilobyte or so each; 50,000 where unset: what a storm on thousands of nodes brings. */
  readonly maxQueued?: number;
}

const MAX_QUEUED = 50_000;
/** Of those that wait when the process ends. */
const MAX_LAST = 1_000;
const MAX_BATCH = 64;
const MAX_ATTEMPTS = 12;
const RETRY_MS = 10_000;
/** After a server that has too much to do. */
const BUSY_RETRY_MS = 1_000;
/** How long others have the server to themselves, as a multiple of the time that a batch took, and at most. */
const GIVE_WAY = 3;
const MAX_PAUSE_MS = 1_000;

interface Pending {
  event: Event;
  attempts: number;
}

type Queue = Map<string, Pending>;

/** Before all others, and in their order; where the event waits again already, as that. */
function putFirst(queue: Queue, again: readonly (readonly [string, Pending])[]): void {
  const rest = [...queue];
  queue.clear();
  for (const [key, pending] of [...again, ...rest]) queue.set(key, pending);
}

class Recorder implements EventRecorder {
  readonly #deps: EventRecorderDeps;
  readonly #logger: Logger;
  readonly #correlator = new EventCorrelator();
  /** Keys of events that the server has. */
  readonly #written = new RecentMap<string, true>(MAX_REMEMBERED);
  /** By key, in the order in which they happened. */
  readonly #warnings: Queue = new Map();
  readonly #others: Queue = new Map();
  #sending: Promise<void> | undefined;
  #endPause: AbortController | undefined;
  #flushing = 0;
  #dropped = 0;
  #lastMicros = 0n;

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
    if (this.#size >= (this.#deps.maxQueued ?? MAX_QUEUED)) {
      this.#dropped++;
      return;
    }
    const made = this.#make(about, { type, reason, message }, options);
    const correlated = this.#correlator.correlate(made, this.#deps.env.clock.now());
    if (correlated === undefined) return;
    this.#enqueue(correlated);
    this.#sending ??= this.#sendAll();
  }

  get #size(): number {
    return this.#warnings.size + this.#others.size;
  }

  #queueOf({ type }: Event): Queue {
    return type === "Warning" ? this.#warnings : this.#others;
  }

  /** What waits already has its name, and counts, however much the correlator has had to remember since. */
  #enqueue({ event, key }: Correlated): void {
    const queue = this.#queueOf(event);
    const waiting = queue.get(key);
    if (waiting === undefined) queue.set(key, { event, attempts: 0 });
    else if (waiting.event.metadata.name === event.metadata.name) waiting.event = event;
    else
      waiting.event = { ...waiting.event, lastTimestamp: event.lastTimestamp, count: (waiting.event.count ?? 1) + 1 };
  }

  async flush(): Promise<void> {
    this.#flushing++;
    try {
      this.#dropOver(MAX_LAST);
      this.#endPause?.abort();
      while (this.#sending !== undefined) await this.#sending;
    } finally {
      this.#flushing--;
    }
  }

  #dropOver(most: number): void {
    let kept = 0;
    for (const queue of [this.#warnings, this.#others]) {
      for (const key of queue.keys()) {
        if (++kept <= most) continue;
        queue.delete(key);
        this.#dropped++;
      }
    }
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
    const now = formatTime(env.clock.now());
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
    const { env } = this.#deps;
    try {
      while (this.#size > 0) {
        const startMs = env.clock.monotonic();
        const retryMs = await this.#sendSome();
        const tookMs = env.clock.monotonic() - startMs;
        if (retryMs > 0) await env.timers.sleep(retryMs * env.random.float());
        else if (this.#size > 0) await this.#pause(Math.min(MAX_PAUSE_MS, tookMs * GIVE_WAY));
      }
    } catch (error) {
      this.#logger.error({ err: error, events: this.#size }, "events could not be sent");
      this.#warnings.clear();
      this.#others.clear();
    } finally {
      this.#sending = undefined;
    }
    if (this.#dropped > 0) this.#logger.warn({ dropped: this.#dropped }, "events were dropped, the queue was full");
    this.#dropped = 0;
  }

  async #pause(ms: number): Promise<void> {
    if (ms <= 0 || this.#flushing > 0) return;
    this.#endPause = new AbortController();
    await pause(this.#deps.env.timers, ms, this.#endPause.signal);
  }

  /** The events of the next batch, which wait no more. */
  #take(): [string, Pending][] {
    const batch: [string, Pending][] = [];
    for (const queue of [this.#warnings, this.#others]) {
      for (const entry of queue) {
        if (batch.length >= MAX_BATCH) return batch;
        batch.push(entry);
        queue.delete(entry[0]);
      }
    }
    return batch;
  }

  /** How long to wait before those are tried again that failed; 0 where none did. */
  async #sendSome(): Promise<number> {
    const batch = this.#take();
    const outcomes = await this.#deps.client.batch<Event>(batch.map(([key, { event }]) => this.#operation(key, event)));
    const again: (readonly [string, Pending])[] = [];
    let retryMs = 0;
    for (const [at, [key, pending]] of batch.entries()) {
      const outcome = outcomes[at];
      if (outcome === undefined || !this.#settle(key, pending, outcome)) continue;
      again.push([key, pending]);
      const busy = !outcome.ok && isReason(outcome.error, "TooManyRequests");
      retryMs = Math.max(retryMs, busy ? BUSY_RETRY_MS : RETRY_MS);
    }
    // What has happened again meanwhile counts those that failed.
    for (const queue of [this.#warnings, this.#others]) {
      const own = again.filter(([, { event }]) => this.#queueOf(event) === queue);
      if (own.length > 0) putFirst(queue, own);
    }
    return retryMs;
  }

  #operation(key: string, event: Event): BatchOperation {
    const { namespace = "default", name = "" } = event.metadata;
    if (this.#written.get(key) === undefined) return { op: "create", ref: EVENTS, namespace, object: event };
    const { count, lastTimestamp, message } = event;
    const patch = { count, lastTimestamp, message };
    const target = { namespace, name };
    return { op: "patch", ref: EVENTS, target, type: "application/strategic-merge-patch+json", patch };
  }

  /** True where the event should be sent again. */
  #settle(key: string, pending: Pending, outcome: BatchOutcome<Event>): boolean {
    if (outcome.ok) {
      this.#written.set(key, true);
      return false;
    }
    const { error } = outcome;
    const known = this.#written.get(key) !== undefined;
    pending.attempts++;
    const left = pending.attempts < MAX_ATTEMPTS;
    if (isReason(error, "NotFound") && known) {
      // The counted event has expired on the server: make it anew.
      this.#written.delete(key);
      return left;
    }
    if (isReason(error, "AlreadyExists") && !known) {
      // An attempt whose answer was lost has landed; what has happened since is not counted in it.
      this.#written.set(key, true);
      return left && (pending.event.count ?? 1) > 1;
    }
    if ((mayHaveLanded(error) || isReason(error, "TooManyRequests")) && left) return true;
    this.#logger.warn({ err: error, reason: pending.event.reason }, "the server rejected an event");
    return false;
  }
}

/** A recorder that reports as `component`. */
export function createEventRecorder(deps: EventRecorderDeps): EventRecorder {
  return new Recorder(deps);
}
