// Watches of the in-memory double. Guarantees: every change after the given version, once, in order; an object that
// leaves the selection is DELETED with its last matching state; a version from before compaction is Expired.
import {
  compareResourceVersions,
  StatusError,
  type KubeObject,
  type ResourceRef,
  groupResource,
  newExpired,
} from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { WatchEvent, WatchOptions } from "../resource-client.ts";
import { memoryKind } from "./memory-kinds.ts";
import { cloneJson, type MemoryChange, type MemoryStore } from "./memory-store.ts";
import { selectionTest } from "../selection.ts";

const BOOKMARK_EVERY_MS = 60_000;

export interface MemoryWatch {
  readonly ref: ResourceRef;
  readonly user: string;
  /** Ends the stream; with an error the reader's loop throws it. */
  end(error?: Error): void;
  bookmark(): void;
}

type Event = WatchEvent<KubeObject>;

function select(test: (object: KubeObject) => boolean, change: MemoryChange): Event | undefined {
  const now = change.type !== "DELETED" && test(change.object);
  const before = change.previous !== undefined && test(change.previous);
  if (now) return { type: before ? "MODIFIED" : "ADDED", object: change.object };
  if (!before) return undefined;
  if (change.type === "DELETED") return { type: "DELETED", object: change.object };
  const last = cloneJson(change.previous ?? change.object);
  last.metadata = { ...last.metadata, resourceVersion: change.rv.toString() };
  return { type: "DELETED", object: last };
}

/** A queue between the store, which pushes, and the reader, who pulls. */
class EventStream {
  readonly #events: Event[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: Error | undefined;

  push(event: Event): void {
    if (this.#ended) return;
    this.#events.push(event);
    this.#wake?.();
  }
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }
  /** What came before an end is still read; after an abort nothing is. */
  async *read(signal: AbortSignal): AsyncGenerator<Event> {
    while (!signal.aborted) {
      const next = this.#events.shift();
      if (next !== undefined) yield { type: next.type, object: cloneJson(next.object) };
      else if (this.#ended) {
        if (this.#error !== undefined) throw this.#error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }
}

export interface WatchDeps {
  readonly env: Env;
  readonly store: MemoryStore;
  readonly open: Set<MemoryWatch>;
}

/** Starts a watch at once, so that nothing is missed before the first read. */
export function openWatch(
  deps: WatchDeps,
  ref: ResourceRef,
  user: string,
  options: WatchOptions,
  signal: AbortSignal,
): AsyncIterable<Event> {
  const { env, store } = deps;
  const test = selectionTest(options);
  const stream = new EventStream();
  const name = groupResource(ref);
  const push = (change: MemoryChange): void => {
    if (groupResource(change.ref) !== name) return;
    const event = select(test, change);
    if (event !== undefined) stream.push(event);
  };
  const from = options.resourceVersion ?? "";
  if (from === "" || from === "0") {
    const present = [...store.table(ref).values()].filter(test);
    present.sort((a, b) =>
      compareResourceVersions(a.metadata?.resourceVersion ?? "", b.metadata?.resourceVersion ?? ""),
    );
    for (const object of present) stream.push({ type: "ADDED", object });
  } else {
    if (BigInt(from) < store.compactedRv) throw tooOld(from, store.compactedRv);
    for (const change of store.since(ref, BigInt(from))) push(change);
  }
  const stopListening = store.onChange(push);
  const bookmark = (): void => {
    const object = { kind: memoryKind(ref).kind, metadata: { resourceVersion: store.currentRv.toString() } };
    if (options.allowBookmarks === true) stream.push({ type: "BOOKMARK", object });
  };
  const bookmarks = options.allowBookmarks === true ? env.timers.setInterval(bookmark, BOOKMARK_EVERY_MS) : undefined;
  const seconds = options.timeoutSeconds ?? 0;
  const timeout = seconds > 0 ? env.timers.setTimeout(() => end(), seconds * 1000) : undefined;
  const end = (error?: Error): void => {
    stopListening();
    env.timers.clear(bookmarks);
    env.timers.clear(timeout);
    deps.open.delete(watch);
    signal.removeEventListener("abort", onAbort);
    stream.end(error);
  };
  const onAbort = (): void => end();
  const watch: MemoryWatch = { ref, user, end, bookmark };
  deps.open.add(watch);
  if (signal.aborted) end();
  else signal.addEventListener("abort", onAbort, { once: true });
  return endAfter(stream.read(signal), end);
}

async function* endAfter(events: AsyncGenerator<Event>, end: () => void): AsyncGenerator<Event> {
  try {
    yield* events;
  } finally {
    end();
  }
}

/** A version whose history has been forgotten. */
export function tooOld(asked: string, oldest: bigint): StatusError {
  return newExpired(`too old resource version: ${asked} (${oldest})`);
}

/** What a watcher sees when its connection breaks. */
export function connectionLost(): StatusError {
  return new StatusError("ServiceUnavailable", 503, "the connection to the server was lost");
}
