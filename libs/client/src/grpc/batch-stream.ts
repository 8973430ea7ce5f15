// Writes over one long-lived Batch stream: a message on a stream costs a sixteenth of a unary call, and what is written in one
// turn shares messages. Guarantees:
// - An operation is sent at most once; one that was not sent yet when a stream breaks goes out on the next.
// - One that was sent and not answered rejects with ServiceUnavailable or Timeout: it may have landed.
// - No more are sent at once than a server works on, and fewer to one that takes long, so that one that takes its time over
//   many answers none too late, and what others ask of it does not wait behind all that this process has to write: an
//   operation's time counts from when it was sent, and before that from the last answer to any. A process that stood still
//   itself first reads what has come meanwhile.
// - A server without Batch answers Unimplemented, has done nothing, and gets everything as unary calls from then on.
import { connectivityState, status, type Channel, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import { PassingMap, StatusError, type Status } from "@coxswain/apimachinery";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { Env, TimerHandle } from "@coxswain/env";
import type { ServiceTypes } from "@coxswain/protos";
import { Fifo } from "./fifo.ts";

type Batch = ServiceTypes["coxswain.api.v1.Resources"]["batch"];
export type BatchRequest = Batch["requestInput"];
export type BatchResponse = Batch["response"];
type Call = ClientDuplexStream<BatchRequest, BatchResponse>;

const CONNECT_WAIT_MS = 1_000;
const REOPEN_MS = 50;
/** A server works on 256 of a stream; the others are there when it is done with those. */
const MAX_SENT = 512;
/** As many are sent at once to a server that takes long. */
const MIN_SENT = 128;
/** Where an answer takes longer, fewer are sent at once. */
const ANSWER_MS = 500;

/** A timer that fires this late tells that this process stood still: its answers may be there, unread. */
const LATE_MS = 500;
/** How long it then has to read them. */
const READ_MS = 1_000;

/** Operations of one message; a larger one goes alone. The server takes 4 MiB. */
const PACK_ITEMS = 64;
const PACK_BYTES = 512 * 1024;

function sizeOf({ create, update, patch }: BatchRequest): number {
  return (create?.object ?? update?.object)?.json?.length ?? patch?.patch?.length ?? 0;
}

interface Item {
  readonly id: string;
  readonly request: BatchRequest;
  /** When it was submitted, then when it was sent. */
  sinceMs: number;
  readonly resolve: (response: BatchResponse) => void;
  readonly reject: (error: Error) => void;
}

export interface BatchStreamDeps {
  readonly env: Env;
  readonly channel: Channel;
  readonly timeoutMs: number;
  readonly open: () => Call;
  readonly unary: (request: BatchRequest) => Promise<BatchResponse>;
}

export class BatchStream {
  readonly #deps: BatchStreamDeps;
  /** Accepted, not sent. */
  readonly #queue = new Fifo<Item>();
  readonly #sent = new PassingMap<string, Item>();
  /** Sent and given up: the server may still work on them. */
  readonly #late = new Set<string>();
  #call: Call | undefined;
  #nextId = 1;
  #waiting = false;
  #flushing = false;
  #unavailable = false;
  #closed = false;
  #timer: TimerHandle | undefined;
  #answeredMs = 0;
  /** How many are sent at once, and since when. */
  #window = MAX_SENT;
  #windowSinceMs = 0;

  constructor(deps: BatchStreamDeps) {
    this.#deps = deps;
  }

  submit(request: BatchRequest): Promise<BatchResponse> {
    if (this.#closed) return Promise.reject(new StatusError("ServiceUnavailable", 503, "the client is closed"));
    if (this.#unavailable) return this.#deps.unary(request);
    return new Promise((resolve, reject) => {
      const id = String(this.#nextId++);
      const sinceMs = this.#deps.env.clock.monotonic();
      this.#queue.push({ id, request: { ...request, id }, sinceMs, resolve, reject });
      this.#arm();
      this.#flushSoon();
    });
  }

  close(): void {
    this.#closed = true;
    this.#deps.env.timers.clear(this.#timer);
    this.#call?.cancel();
    this.#call = undefined;
    const error = new StatusError("ServiceUnavailable", 503, "the client was closed before the server answered");
    for (const item of [...this.#queue.takeAll(), ...this.#sent.values()]) item.reject(error);
    this.#sent.clear();
  }

  /** One flush a turn: what is submitted together leaves together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#queue.size === 0 || this.#closed || this.#room() <= 0) return;
    // Only a connection that stands gets operations: before that, nothing counts as sent.
    const state = this.#deps.channel.getConnectivityState(true);
    if (this.#call === undefined && state !== connectivityState.READY) {
      this.#awaitConnection(state);
      return;
    }
    const call = (this.#call ??= this.#open());
    const nowMs = this.#deps.env.clock.monotonic();
    let pack: BatchRequest[] = [];
    let bytes = 0;
    const write = (): void => {
      const [first, ...more] = pack;
      if (first !== undefined) call.write({ ...first, more, together: true });
      pack = [];
      bytes = 0;
    };
    for (let item = this.#queue.peek(); item !== undefined && this.#room() > 0; item = this.#queue.peek()) {
      this.#queue.shift();
      item.sinceMs = nowMs;
      this.#sent.set(item.id, item);
      const size = sizeOf(item.request);
      if (bytes + size > PACK_BYTES) write();
      pack.push(item.request);
      bytes += size;
      if (pack.length >= PACK_ITEMS) write();
    }
    write();
  }

  #room(): number {
    return this.#window - this.#sent.size - this.#late.size;
  }

  /** What was sent with another window tells nothing of this one. */
  #adjustWindow({ sinceMs }: Item, nowMs: number): void {
    if (sinceMs < this.#windowSinceMs) return;
    const tookMs = nowMs - sinceMs;
    const fewer = Math.floor(this.#window * Math.max(0.5, ANSWER_MS / tookMs));
    this.#window = tookMs > ANSWER_MS ? Math.max(MIN_SENT, fewer) : Math.min(MAX_SENT, this.#window + PACK_ITEMS);
    this.#windowSinceMs = nowMs;
  }

  #awaitConnection(state: connectivityState): void {
    if (this.#waiting || state === connectivityState.SHUTDOWN) return;
    this.#waiting = true;
    const { channel, env } = this.#deps;
    channel.watchConnectivityState(state, env.clock.now() + CONNECT_WAIT_MS, () => {
      this.#waiting = false;
      this.#flush();
    });
  }

  #open(): Call {
    const call = this.#deps.open();
    const answered = (response: BatchResponse): void => {
      const item = this.#sent.take(response.id);
      this.#late.delete(response.id);
      item?.resolve(response);
    };
    call.on("data", (response: BatchResponse) => {
      this.#answeredMs = this.#deps.env.clock.monotonic();
      const item = this.#sent.get(response.id);
      if (item !== undefined) this.#adjustWindow(item, this.#answeredMs);
      answered(response);
      for (const other of response.more) answered(other);
      if (this.#queue.size > 0) this.#flushSoon();
    });
    call.on("error", (error: ServiceError) => this.#broken(call, error));
    call.on("end", () => this.#broken(call, undefined));
    return call;
  }

  #broken(call: Call, error: ServiceError | undefined): void {
    if (this.#call !== call) return;
    this.#call = undefined;
    const items = [...this.#sent.values()];
    this.#sent.clear();
    this.#late.clear();
    const unserved = error?.code === status.UNIMPLEMENTED;
    if (unserved) {
      this.#unavailable = true;
      for (const item of [...items, ...this.#queue.takeAll()]) {
        this.#deps.unary(item.request).then(item.resolve, item.reject);
      }
      return;
    }
    const lost =
      error === undefined
        ? new StatusError("ServiceUnavailable", 503, "the server ended the stream before it answered")
        : statusFromServiceError(error);
    for (const item of items) item.reject(lost);
    // A server that refuses the stream again and again must not be asked in a tight loop.
    if (this.#queue.size > 0) this.#deps.env.timers.setTimeout(() => this.#flush(), REOPEN_MS);
  }

  /** All operations have the same time to live, so the oldest of either kind is the next that is due. */
  #arm(): void {
    if (this.#timer !== undefined) return;
    const dueMs = this.#nextDueMs();
    if (dueMs === undefined) return;
    const { clock, timers } = this.#deps.env;
    const fireMs = Math.max(clock.monotonic() + 1, dueMs);
    const expire = (): void => {
      this.#timer = undefined;
      this.#expire();
      this.#arm();
    };
    this.#timer = timers.setTimeout(() => {
      if (clock.monotonic() - fireMs < LATE_MS) expire();
      else this.#timer = timers.setTimeout(expire, READ_MS);
    }, fireMs - clock.monotonic());
  }

  #nextDueMs(): number | undefined {
    const [sent] = this.#sent.values();
    const unsent = this.#queue.peek();
    if (sent === undefined && unsent === undefined) return undefined;
    return Math.min(this.#unsentDueMs(unsent), (sent?.sinceMs ?? Infinity) + this.#deps.timeoutMs);
  }

  #unsentDueMs(item: Item | undefined): number {
    if (item === undefined) return Infinity;
    return Math.max(item.sinceMs, this.#answeredMs) + this.#deps.timeoutMs;
  }

  #expire(): void {
    const now = this.#deps.env.clock.monotonic();
    for (const item of this.#sent.values()) {
      if (item.sinceMs + this.#deps.timeoutMs > now) break;
      this.#sent.take(item.id);
      this.#late.add(item.id);
      item.reject(
        new StatusError("Timeout", 504, "Timeout: the server did not answer in time; the write may have landed"),
      );
    }
    while (this.#unsentDueMs(this.#queue.peek()) <= now) {
      this.#queue.shift()?.reject(new StatusError("ServiceUnavailable", 503, "no api-server could be reached"));
    }
  }
}

/** Throws the StatusError that an answer carries. */
export function throwIfRefused({ status: refusal }: BatchResponse): void {
  if (refusal.length > 0) throw StatusError.fromStatus(JSON.parse(refusal.toString("utf8")) as Partial<Status>);
}

/** The answer's object as JSON, or undefined where it has none; throws the StatusError that it carries. */
export function batchAnswer(response: BatchResponse): unknown {
  throwIfRefused(response);
  const json = response.object?.json;
  return json === undefined || json.length === 0 ? undefined : JSON.parse(json.toString("utf8"));
}
