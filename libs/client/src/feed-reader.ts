// Reads one chain of the change feed and cuts it into segments. Guarantees: within a segment nothing is missing between
// `from` and its last message. A gap, a new epoch, a lost connection and silence past twice the
// bookmark interval close the segment; the next message opens another.
import { compareResourceVersions, type ResourceRef } from "@coxswain/apimachinery";
import type { Env, TimerHandle } from "@coxswain/env";
import {
  BOOKMARK_INTERVAL_MS,
  changePattern,
  decodeChanges,
  type BusMessage,
  type ChangeHeader,
  type EventBus,
  type HeardChange,
} from "@coxswain/event-bus";

export type SegmentEnd = "gap" | "epoch" | "disconnected" | "silence" | "stopped";

const MAX_QUEUED = 4096;
const SILENCE_MS = 2 * BOOKMARK_INTERVAL_MS;
const atMost = (a: string, b: string): boolean => compareResourceVersions(a, b) <= 0;

export class FeedSegment {
  /** Who has everything up to here may go on with this segment. */
  readonly from: string;
  readonly epoch: string;
  to: string;
  end: SegmentEnd | undefined;
  #queue: HeardChange[] = [];
  #wake: (() => void) | undefined;

  constructor(first: HeardChange, from: string) {
    this.from = from;
    this.epoch = first.header.epoch;
    this.to = first.header.rv;
    this.#queue.push(first);
  }

  /** True where nothing lies between this segment and a message of its epoch that follows `previous`. */
  continues(header: ChangeHeader, previous: string): boolean {
    return header.epoch === this.epoch && atMost(previous, this.to);
  }

  get overfull(): boolean {
    return this.#queue.length >= MAX_QUEUED;
  }

  push(message: HeardChange): void {
    this.to = message.header.rv;
    this.#queue.push(message);
    this.#wake?.();
  }

  close(end: SegmentEnd): void {
    this.end ??= end;
    this.#wake?.();
  }

  drain(): HeardChange[] {
    const queue = this.#queue;
    this.#queue = [];
    return queue;
  }

  /** Resolves when there is something to drain, or the segment has ended. */
  async wait(): Promise<void> {
    if (this.#queue.length > 0 || this.end !== undefined) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
  }
}

export interface FeedReaderDeps {
  readonly env: Env;
  readonly bus: EventBus;
  readonly ref: ResourceRef;
  readonly node: string | undefined;
}

export class FeedReader {
  readonly #deps: FeedReaderDeps;
  #segment: FeedSegment | undefined;
  #heardAtMs = 0;
  /** The publisher that was heard last, and the first version that was heard of it. */
  #epoch = { id: "", firstRv: "0" };
  #timer: TimerHandle | undefined;
  #stop: (() => void) | undefined;
  /** Called after each message. */
  onProgress: (() => void) | undefined;

  constructor(deps: FeedReaderDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { bus, ref, node } = this.#deps;
    const subscription = bus.subscribe(changePattern(ref.group, ref.resource, node), (message) => this.#hear(message));
    const stopListening = bus.onConnection((connected) => {
      if (!connected) this.#close("disconnected");
    });
    this.#stop = () => {
      subscription.unsubscribe();
      stopListening();
    };
  }

  stop(): void {
    this.#stop?.();
    this.#close("stopped");
    this.#deps.env.timers.clear(this.#timer);
  }

  /** The segment that a reader at `position` may go on with. */
  segmentFor(position: string): FeedSegment | undefined {
    const segment = this.#segment;
    return segment?.end === undefined && segment !== undefined && position !== "" && atMost(segment.from, position)
      ? segment
      : undefined;
  }

  #hear(message: BusMessage): void {
    const changes = decodeChanges(message);
    if (changes.length === 0) return;
    const { node } = this.#deps;
    // A bookmark of a single node's chain says nothing about the chain of the whole resource.
    if (node === undefined && changes[0]!.header.type === "BOOKMARK" && message.subject.includes(".node.")) return;
    this.#heardAtMs = this.#deps.env.clock.monotonic();
    this.#watchSilence();
    for (const change of changes) {
      const { prevRv, prevNodeRv } = change.header;
      this.#add(change, node === undefined ? prevRv : (prevNodeRv ?? prevRv));
    }
    this.onProgress?.();
  }

  #add(message: HeardChange, previous: string): void {
    const { header } = message;
    const segment = this.#segment?.end === undefined ? this.#segment : undefined;
    // A duplicate, or a straggler of a publisher that was replaced.
    if (segment !== undefined && atMost(header.rv, segment.to)) return;
    if (segment?.continues(header, previous) === true && !segment.overfull) {
      segment.push(message);
      return;
    }
    if (segment !== undefined) this.#close(segment.epoch === header.epoch ? "gap" : "epoch");
    if (this.#epoch.id !== header.epoch) this.#epoch = { id: header.epoch, firstRv: header.rv };
    // What a publisher says of the time before its epoch is not relied upon: only a link to a change that lies within
    // what was heard of the epoch connects; else a reader must have reached this message by itself.
    const linked = previous !== "0" && atMost(this.#epoch.firstRv, previous);
    this.#segment = new FeedSegment(message, linked ? previous : header.rv);
  }

  #close(end: SegmentEnd): void {
    this.#segment?.close(end);
    this.#segment = undefined;
  }

  #watchSilence(): void {
    if (this.#timer !== undefined) return;
    const { env } = this.#deps;
    const check = (): void => {
      this.#timer = undefined;
      const left = this.#heardAtMs + SILENCE_MS - env.clock.monotonic();
      if (left <= 0) this.#close("silence");
      else this.#timer = env.timers.setTimeout(check, left);
    };
    this.#timer = env.timers.setTimeout(check, SILENCE_MS);
  }
}
