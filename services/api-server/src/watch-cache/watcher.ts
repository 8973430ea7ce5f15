// One reader of a resource's changes. Guarantees:
// - Each matching change after its start is handed over once, in order; a tick's changes in one go.
// - An object that enters the selection is ADDED, one that leaves it is DELETED.
// - A reader that cannot keep up is dropped, never waited for.
import type { Status } from "@coxswain/apimachinery";
import type { PipelineWatchEvent, WatchSink } from "../pipeline/contract.ts";
import type { CachedObject } from "./cached-object.ts";
import type { CacheEvent } from "./resource-cache.ts";

/** What of a resource a request asks for. */
export interface ObjectSelection {
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  /** Undefined: any. */
  readonly name: string | undefined;
  /** Undefined: everything matches and nothing needs to be parsed. */
  readonly matches: ((object: CachedObject) => boolean) | undefined;
}

export function selects(selection: ObjectSelection, object: CachedObject): boolean {
  if (selection.namespace !== undefined && selection.namespace !== object.namespace) return false;
  if (selection.name !== undefined && selection.name !== object.name) return false;
  return selection.matches === undefined || selection.matches(object);
}

/** The change as a reader of the selection sees it; undefined where it does not concern it. */
export function project(selection: ObjectSelection, event: CacheEvent): PipelineWatchEvent | undefined {
  if (selection.namespace !== undefined && selection.namespace !== event.object.namespace) return undefined;
  if (selection.name !== undefined && selection.name !== event.object.name) return undefined;
  const { matches } = selection;
  if (matches === undefined) return event;
  const now = event.type !== "DELETED" && matches(event.object);
  const before = event.old !== undefined && matches(event.old);
  if (now) return before ? event : event.entered();
  return before ? event.left() : undefined;
}

export class Watcher {
  readonly selection: ObjectSelection;
  readonly bookmarks: boolean;
  readonly #sinceRv: bigint;
  readonly #sink: WatchSink;
  #queue: PipelineWatchEvent[] = [];
  #ended = false;

  constructor(selection: ObjectSelection, sinceRv: bigint, sink: WatchSink, bookmarks: boolean) {
    this.selection = selection;
    this.bookmarks = bookmarks;
    this.#sinceRv = sinceRv;
    this.#sink = sink;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Queues a change; says whether the watcher now needs a flush that it did not need before. */
  offer(event: CacheEvent): boolean {
    if (event.rv <= this.#sinceRv) return false;
    const seen = project(this.selection, event);
    return seen !== undefined && this.enqueue(seen);
  }

  enqueue(event: PipelineWatchEvent): boolean {
    this.#queue.push(event);
    return this.#queue.length === 1;
  }

  /** Hands over what is queued; false where the reader is too slow and is to be dropped. */
  flush(): boolean {
    if (this.#ended || this.#queue.length === 0) return true;
    const events = this.#queue;
    this.#queue = [];
    return this.#sink.send(events);
  }

  end(error: Status | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#sink.end(error);
  }
}
