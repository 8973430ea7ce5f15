// Keeps an informer's cache equal to the api-server's state. etcd is the truth, the change feed is a hint. Guarantees:
// - List, then follow: by the feed while its chain connects, else by a watch through the client, and back to the feed as
//   soon as the watch has caught up with it. With no bus, or a dead one, the watch alone does.
// - A version that is too old leads to a new list; what is gone by then is reported as deleted.
// - Failures are retried with backoff and jitter until `signal` aborts.
import {
  compareResourceVersions,
  isReason,
  objectKey,
  type KubeObject,
  type ResourceRef,
} from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { EventBus, HeardChange } from "@coxswain/event-bus";
import { FeedReader, type FeedSegment } from "./feed-reader.ts";
import type { InformerCache } from "./informer-cache.ts";
import type { InformerOptions } from "./informer-contract.ts";
import type { ResourceClient, Selection, WatchEvent } from "./resource-client.ts";
import { selectionTest } from "./selection.ts";

const BACKOFF_MIN_MS = 200;
const BACKOFF_MAX_MS = 10_000;
/** A watch that ends sooner than this counts as a failure. */
const SHORT_WATCH_MS = 1_000;
/** Listeners of a new publisher spread their catching up over this time. */
const EPOCH_JITTER_MS = 1_000;

export interface ReflectorDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly client: ResourceClient;
  readonly bus?: EventBus;
}

function selectionOf(options: InformerOptions): Selection {
  const fields = [options.fieldSelector ?? "", options.node === undefined ? "" : `spec.nodeName=${options.node}`];
  const fieldSelector = fields.filter((field) => field !== "").join(",");
  return { labelSelector: options.labelSelector, fieldSelector: fieldSelector === "" ? undefined : fieldSelector };
}

export class Reflector<T extends KubeObject> {
  readonly #deps: ReflectorDeps;
  readonly #ref: ResourceRef;
  readonly #cache: InformerCache<T>;
  readonly #selection: Selection;
  readonly #matches: (object: KubeObject) => boolean;
  readonly #feed: FeedReader | undefined;
  /** What follows the feed must not filter on the server by more than the feed does, or its position would lag. */
  readonly #watched: Selection;
  /** Everything up to here is in the cache; "" asks for a list. */
  #position = "";
  #failures = 0;

  constructor(deps: ReflectorDeps, ref: ResourceRef, options: InformerOptions, cache: InformerCache<T>) {
    this.#deps = deps;
    this.#ref = ref;
    this.#cache = cache;
    this.#selection = selectionOf(options);
    this.#matches = selectionTest(this.#selection);
    const { env, bus } = deps;
    this.#feed =
      bus === undefined || options.direct === true ? undefined : new FeedReader({ env, bus, ref, node: options.node });
    this.#watched = this.#feed === undefined ? this.#selection : selectionOf({ node: options.node });
  }

  /** Works until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#feed?.start();
    try {
      while (!signal.aborted) await this.#round(signal);
    } finally {
      this.#feed?.stop();
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    try {
      if (this.#position === "") await this.#list();
      const segment = this.#feed?.segmentFor(this.#position);
      if (segment !== undefined) await this.#follow(segment, signal);
      else await this.#watch(signal);
    } catch (error) {
      if (signal.aborted && isAbort(error)) return;
      await this.#recover(error, signal);
    }
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { env, logger } = this.#deps;
    const fields = { resource: this.#ref.resource, err: error };
    if (isReason(error, "Expired", "Gone")) {
      this.#position = "";
      logger.info(fields, "watch expired, listing again");
    } else logger.warn(fields, "watch failed, trying again");
    const base = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** this.#failures++);
    try {
      await env.timers.sleep(base * (0.5 + env.random.float()), signal);
    } catch (aborted) {
      if (!isAbort(aborted)) throw aborted;
    }
  }

  async #list(): Promise<void> {
    const { items, metadata } = await this.#deps.client.list<T>(this.#ref, this.#selection);
    this.#cache.replace(items, metadata.resourceVersion);
    this.#position = metadata.resourceVersion;
  }

  #advance(resourceVersion: string): void {
    if (compareResourceVersions(resourceVersion, this.#position) <= 0) return;
    this.#position = resourceVersion;
    this.#failures = 0;
    this.#cache.advance(resourceVersion);
  }

  /** Follows through the client until the stream ends, or the feed can take over. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { client, env } = this.#deps;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    const joins = (): boolean => this.#feed?.segmentFor(this.#position) !== undefined;
    if (this.#feed !== undefined) {
      this.#feed.onProgress = () => {
        if (joins()) stop.abort();
      };
    }
    const startedMs = env.clock.monotonic();
    try {
      const options = { ...this.#watched, resourceVersion: this.#position, allowBookmarks: true };
      if (signal.aborted || joins()) return;
      for await (const event of client.watch<T>(this.#ref, options, stop.signal)) {
        this.#applyWatched(event);
        if (joins() || signal.aborted) return;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      if (this.#feed !== undefined) this.#feed.onProgress = undefined;
    }
    if (stop.signal.aborted || env.clock.monotonic() - startedMs >= SHORT_WATCH_MS) return;
    await env.timers.sleep(BACKOFF_MIN_MS * (0.5 + env.random.float()), signal);
  }

  #applyWatched(event: WatchEvent<T>): void {
    const version = event.object.metadata?.resourceVersion ?? "";
    // What the feed has brought already comes again when the watch takes over from it.
    if (event.type !== "BOOKMARK" && compareResourceVersions(version, this.#position) > 0) {
      this.#apply(event.type === "DELETED", event.object, version);
    }
    this.#advance(version);
  }

  #apply(deleted: boolean, object: T, resourceVersion: string): void {
    if (deleted) this.#cache.remove(objectKey(object), resourceVersion, object);
    else if (this.#matches(object)) this.#cache.upsert(object);
    else this.#leave(object, resourceVersion);
  }

  /** The object no longer matches the selection: gone, as far as this informer goes, with the last state that matched. */
  #leave(object: T, resourceVersion: string): void {
    this.#cache.remove(objectKey(object), resourceVersion);
  }

  async #follow(segment: FeedSegment, signal: AbortSignal): Promise<void> {
    const { env, logger } = this.#deps;
    const onAbort = (): void => segment.close("stopped");
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        for (const message of segment.drain()) {
          const pending = this.#applyMessage(message);
          // Awaiting only where a fetch is due keeps the hot path within one turn.
          if (pending !== undefined) await pending;
        }
        if (segment.end !== undefined) break;
        await segment.wait();
      }
    } finally {
      // After a failure what was drained and not applied is missing, so nobody may go on with this segment.
      segment.close("gap");
      signal.removeEventListener("abort", onAbort);
    }
    if (signal.aborted) return;
    logger.debug({ resource: this.#ref.resource, end: segment.end }, "the change feed broke off, catching up");
    if (segment.end === "epoch") await env.timers.sleep(EPOCH_JITTER_MS * env.random.float(), signal);
  }

  #applyMessage({ header, data }: HeardChange): Promise<void> | undefined {
    if (compareResourceVersions(header.rv, this.#position) <= 0) return undefined;
    if (header.type === "BOOKMARK") {
      this.#advance(header.rv);
      return undefined;
    }
    const deleted = header.type === "DELETED";
    if (header.ref !== undefined && header.ref !== "") {
      if (!deleted) return this.#fetch(header.ref, header.rv);
      this.#cache.remove(header.ref, header.rv);
    } else {
      const object = JSON.parse(data.toString("utf8")) as T;
      object.metadata = { ...object.metadata, resourceVersion: header.rv };
      this.#apply(deleted, object, header.rv);
    }
    this.#advance(header.rv);
    return undefined;
  }

  /** The message came without its body. A newer state than it spoke of is as good; NotFound: its deletion follows. */
  async #fetch(key: string, resourceVersion: string): Promise<void> {
    const slash = key.indexOf("/");
    const target = slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
    try {
      const object = await this.#deps.client.get<T>(this.#ref, target);
      this.#apply(false, object, object.metadata?.resourceVersion ?? resourceVersion);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
    this.#advance(resourceVersion);
  }
}
