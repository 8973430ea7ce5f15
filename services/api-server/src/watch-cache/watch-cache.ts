// The process's copy of all stored objects, fed by one watch over the whole keyspace. Guarantees:
// - `throughRv` only grows; all resources are at that version together.
// - A consistent read sees everything that was committed before it was asked for, by whatever process.
// - It starts from a version in the past and replays, so that watches from before a restart find their events.
import type { KindDefinition } from "@coxswain/api";
import { storedResource } from "@coxswain/api/scheme";
import {
  endOfRevision,
  groupResource,
  type KubeObject,
  revisionOf,
  StatusError,
  type ResourceRef,
} from "@coxswain/apimachinery";
import type { BaseDeps } from "@coxswain/component-base";
import { AbortError, isAbort, type TimerHandle } from "@coxswain/env";
import { CompactedError, type Storage, type StorageEvent, type StorageEventBatch } from "@coxswain/storage";
import type { ObjectSource } from "../pipeline/extension.ts";
import { type CacheEvent, ResourceCache } from "./resource-cache.ts";
import { identityOf, isCustom, opaqueKind } from "./opaque-kind.ts";
import { parseStorageKey, REGISTRY_ROOT, type ParsedKey } from "./stored-form.ts";
import { CachedObject } from "./cached-object.ts";
import { OwnWrites } from "./own-writes.ts";
import { Slab } from "./slab.ts";
import type { Watcher } from "./watcher.ts";

/** Revisions that are replayed at a start, where storage still has them. */
const REPLAY_REVISIONS = 20_000n;
const PAGE = 2_500;
/** How long a read waits for the cache to catch up. */
const CATCH_UP_MS = 3_000;
const RESTART_MS = 500;
/** Watchers that are served before other work gets its turn: each costs a write. */
const WATCHERS_A_TURN = 128;

type GroupResource = Pick<ResourceRef, "group" | "resource">;

interface Waiter {
  readonly revision: bigint;
  readonly resolve: () => void;
  readonly timer: TimerHandle;
}

export interface WatchCacheDeps extends BaseDeps {
  readonly storage: Storage;
  readonly kinds: readonly KindDefinition[];
}

/** What the resource is called here, under which further groups' forms of it are found too. */
function idOf(ref: GroupResource): string {
  return groupResource(storedResource(ref));
}

export type ChangeTap = (events: readonly CacheEvent[], throughRv: bigint) => void;

export class WatchCache implements ObjectSource {
  readonly #deps: WatchCacheDeps;
  readonly #slab = new Slab();
  readonly #ownWrites = new OwnWrites();
  #resources = new Map<string, ResourceCache>();
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #taps = new Set<ChangeTap>();
  readonly #listeners = new Map<string, Set<() => void>>();
  #waiters: Waiter[] = [];
  #dirtyWatchers = new Set<Watcher>();
  #dirtyListeners = new Set<string>();
  #flushPending = false;
  #throughRv = 0n;
  /** Where the events that the cache heard of begin. */
  #startRv = 0n;
  /** Storage's version when the cache was primed: before it is reached, the cache shows the past. */
  #primeHead = 0n;
  #headRv = 0n;
  #primed = false;
  readonly #firstPrime = Promise.withResolvers<void>();
  #connected = true;

  constructor(deps: WatchCacheDeps) {
    this.#deps = deps;
  }

  /** End-of-revision version that the cache has reached; 0 before the first list. */
  get throughRv(): bigint {
    return this.#throughRv;
  }

  /** Undefined once the cache serves; else why it does not. */
  unready(): string | undefined {
    if (!this.#primed) return "the watch cache is not primed";
    if (this.#throughRv < this.#primeHead) return "the watch cache is catching up";
    return undefined;
  }

  /** Revisions that storage is known to be ahead, and whether the watch is connected. */
  lag(): { readonly revisions: bigint; readonly connected: boolean } {
    const behind = revisionOf(this.#headRv) - revisionOf(this.#throughRv);
    return { revisions: behind > 0n ? behind : 0n, connected: this.#connected };
  }

  resource(ref: GroupResource & Partial<Pick<KindDefinition, "custom">>): ResourceCache {
    const found = this.#resources.get(idOf(ref));
    if (found !== undefined) return found;
    this.#assertPrimed();
    if (ref.custom === undefined) throw new Error(`no cache for ${groupResource(ref)}`);
    return this.#addResource(opaqueKind(ref, ref.custom.storedAs));
  }

  /** Undefined before the first list, and where nothing of the resource was ever seen. */
  find(ref: GroupResource): ResourceCache | undefined {
    return this.#resources.get(idOf(ref));
  }

  /** Nothing was heard of the resource since the cache was primed, or it would be there. */
  #addResource(kind: KindDefinition): ResourceCache {
    const resource = new ResourceCache(kind, this.#startRv, this.#slab);
    this.#resources.set(groupResource(kind), resource);
    return resource;
  }

  /** Ends all watches of a resource quietly: readers come back and find what is served now. */
  endWatches(ref: GroupResource): void {
    for (const watcher of this.#watchers.get(idOf(ref)) ?? []) {
      watcher.flush();
      watcher.end(undefined);
    }
  }

  resources(): Iterable<ResourceCache> {
    return this.#resources.values();
  }

  get(ref: GroupResource, namespace: string, name: string): ReturnType<ResourceCache["get"]> {
    return this.#resources.get(idOf(ref))?.get(namespace, name);
  }

  list(ref: GroupResource, namespace?: string): ReturnType<ResourceCache["list"]> {
    return this.#resources.get(idOf(ref))?.list(namespace) ?? [];
  }

  count(ref: GroupResource): number {
    return this.#resources.get(idOf(ref))?.size ?? 0;
  }

  /** This process is about to write those bytes, which were made of `object`; `object` stays as it is. */
  writing(kind: KindDefinition, key: string, stored: Buffer, object: KubeObject): void {
    if (kind.custom === undefined && kind.form === undefined) this.#ownWrites.add(key, stored, object);
  }

  /** What this process wrote, at the version that it got. */
  written(
    kind: KindDefinition,
    namespace: string,
    name: string,
    rv: bigint,
    stored: Buffer,
  ): CachedObject | Promise<CachedObject> {
    // The watch is mostly faster than the answer to the commit.
    const told = this.#resources.get(idOf(kind))?.get(namespace, name);
    if (told?.rv === rv && told.kind === kind) return told;
    return CachedObject.read(kind, namespace, name, rv, stored);
  }

  /** Hears of changes, a tick's all at once, and of the resource being read at a start. */
  onChange(ref: GroupResource, listener: () => void): () => void {
    const id = idOf(ref);
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** Hears every change as it is applied, and each advance of `throughRv`; returns the way to stop. */
  tap(listener: ChangeTap): () => void {
    this.#taps.add(listener);
    return () => void this.#taps.delete(listener);
  }

  /** Resolves when the cache covers `rv`; rejects with Timeout where that takes too long. */
  async reach(rv: bigint): Promise<void> {
    const revision = revisionOf(rv);
    if (endOfRevision(revision) <= this.#throughRv) return;
    await new Promise<void>((resolve, reject) => {
      const timer = this.#deps.env.timers.setTimeout(() => {
        this.#waiters = this.#waiters.filter((waiter) => waiter.timer !== timer);
        reject(tooLarge(rv, this.#throughRv));
      }, CATCH_UP_MS);
      this.#waiters.push({ revision, resolve, timer });
    });
  }

  /** Resolves once the cache serves at all; rejects with AbortError. */
  async whenPrimed(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(new AbortError());
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.#firstPrime.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves when the cache shows the present, be it a moment old. */
  async caughtUp(): Promise<void> {
    this.#assertPrimed();
    await this.reach(this.#primeHead);
  }

  #assertPrimed(): void {
    if (!this.#primed) throw unavailable("the api-server is starting: its cache is not primed yet");
  }

  /** Resolves when the cache covers everything committed before the call. */
  async consistent(): Promise<void> {
    this.#assertPrimed();
    const rv = await this.#deps.storage.currentRv();
    if (rv > this.#headRv) this.#headRv = rv;
    await this.reach(rv);
  }

  addWatcher(ref: GroupResource, watcher: Watcher): () => void {
    const id = idOf(ref);
    const watchers = this.#watchers.get(id) ?? new Set();
    this.#watchers.set(id, watchers.add(watcher));
    return () => void watchers.delete(watcher);
  }

  /** Has the watcher's queue handed over in this tick's flush. */
  schedule(watcher: Watcher): void {
    this.#dirtyWatchers.add(watcher);
    this.#scheduleFlush();
  }

  watcherCount(): number {
    let count = 0;
    for (const watchers of this.#watchers.values()) count += watchers.size;
    return count;
  }

  /** Fills the cache and follows storage until `signal` aborts; starts over where storage has forgotten too much. */
  async run(signal: AbortSignal): Promise<void> {
    const { env, logger } = this.#deps;
    while (!signal.aborted) {
      try {
        const sinceRv = await this.#prime();
        await this.#deps.storage.watch(
          sinceRv,
          { onBatch: (batch) => this.#apply(batch), onConnection: (connected) => (this.#connected = connected) },
          signal,
        );
      } catch (error) {
        if (signal.aborted) break;
        logger.warn({ error: String(error) }, "watch cache starts over");
      }
      if (!signal.aborted) await env.timers.sleep(RESTART_MS, signal).catch(rethrowUnlessAbort);
    }
    this.#endWatchers();
  }

  /** Reads all objects as they were some time ago; returns that version. */
  async #prime(): Promise<bigint> {
    const { storage, kinds } = this.#deps;
    const head = await storage.currentRv();
    const start = await this.#startingVersion(head);
    const resources = new Map(kinds.map((kind) => [groupResource(kind), new ResourceCache(kind, start, this.#slab)]));
    let startAfter: string | undefined;
    for (;;) {
      const page = await storage.list({ prefix: REGISTRY_ROOT, startAfter, limit: PAGE, rv: start });
      for (const item of page.items) {
        const key = parseStorageKey(item.key);
        if (key === undefined) continue;
        const id = groupResource(key);
        if (!resources.has(id) && isCustom(key)) {
          resources.set(id, new ResourceCache(opaqueKind(key, identityOf(item.value)), start, this.#slab));
        }
        resources.get(id)?.prime(item.key, key.namespace, key.name, item.rv, item.value);
      }
      if (!page.more) break;
      startAfter = page.items.at(-1)!.key;
    }
    this.#endWatchers();
    this.#resources = resources;
    this.#startRv = start;
    this.#primed = true;
    this.#firstPrime.resolve();
    this.#primeHead = head;
    if (head > this.#headRv) this.#headRv = head;
    this.#advance(start);
    // What was read is not told of as events, and a listener may have looked before it was there.
    for (const id of this.#listeners.keys()) this.#dirtyListeners.add(id);
    if (this.#dirtyListeners.size > 0) this.#scheduleFlush();
    return start;
  }

  /** The oldest version to replay from that storage can still list. Once serving, the cache never goes back. */
  async #startingVersion(head: bigint): Promise<bigint> {
    const oldest = revisionOf(head) > REPLAY_REVISIONS ? revisionOf(head) - REPLAY_REVISIONS : 1n;
    if (this.#primed || endOfRevision(oldest) >= head) return head;
    if (await this.#readable(oldest)) return endOfRevision(oldest);
    // etcd does not say what it has forgotten: look for the border between that and the present.
    let forgotten = oldest;
    let known = revisionOf(head);
    while (known - forgotten > 1n) {
      const middle = (known + forgotten) / 2n;
      if (await this.#readable(middle)) known = middle;
      else forgotten = middle;
    }
    return endOfRevision(known);
  }

  async #readable(revision: bigint): Promise<boolean> {
    try {
      await this.#deps.storage.list({ prefix: REGISTRY_ROOT, limit: 1, rv: endOfRevision(revision) });
      return true;
    } catch (error) {
      if (error instanceof CompactedError) return false;
      throw error;
    }
  }

  #apply(batch: StorageEventBatch): void {
    const changes: CacheEvent[] = [];
    for (const event of batch.events) {
      const key = parseStorageKey(event.key);
      const change = key === undefined ? undefined : this.#applyOne(key, event);
      if (change !== undefined) changes.push(change);
    }
    this.#advance(batch.throughRv);
    for (const tap of this.#taps) tap(changes, this.#throughRv);
  }

  #applyOne(key: ParsedKey, event: StorageEvent): CacheEvent | undefined {
    const id = groupResource(key);
    let resource = this.#resources.get(id);
    if (resource === undefined && event.value !== undefined && isCustom(key)) {
      resource = this.#addResource(opaqueKind(key, identityOf(event.value)));
    }
    const change = resource?.apply(event, key.namespace, key.name, event.rv <= this.#primeHead);
    if (change === undefined) return undefined;
    const written = event.value === undefined ? undefined : this.#ownWrites.take(event.key, event.value);
    if (written !== undefined) change.object.remember(written);
    for (const watcher of this.#watchers.get(id) ?? []) {
      if (watcher.offer(change)) this.#dirtyWatchers.add(watcher);
    }
    if (this.#listeners.has(id)) this.#dirtyListeners.add(id);
    if (this.#dirtyWatchers.size > 0 || this.#dirtyListeners.size > 0) this.#scheduleFlush();
    return change;
  }

  #advance(throughRv: bigint): void {
    if (throughRv > this.#throughRv) this.#throughRv = throughRv;
    if (this.#throughRv > this.#headRv) this.#headRv = this.#throughRv;
    if (this.#waiters.length === 0) return;
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (endOfRevision(waiter.revision) > this.#throughRv) {
        waiting.push(waiter);
        continue;
      }
      this.#deps.env.timers.clear(waiter.timer);
      waiter.resolve();
    }
    this.#waiters = waiting;
  }

  #scheduleFlush(): void {
    if (this.#flushPending) return;
    this.#flushPending = true;
    this.#deps.env.timers.defer(() => this.#flush());
  }

  #flush(): void {
    this.#flushPending = false;
    let turns = WATCHERS_A_TURN;
    for (const watcher of this.#dirtyWatchers) {
      if (turns-- === 0) break;
      this.#dirtyWatchers.delete(watcher);
      if (!watcher.flush()) watcher.end(undefined);
    }
    const changed = this.#dirtyListeners;
    this.#dirtyListeners = new Set();
    for (const id of changed) for (const listener of this.#listeners.get(id) ?? []) listener();
    // What comes meanwhile joins what the others still have to hear.
    if (this.#dirtyWatchers.size > 0) this.#scheduleFlush();
  }

  /** Readers come back with their last version and find out what became of it. */
  #endWatchers(): void {
    for (const watchers of this.#watchers.values()) {
      for (const watcher of watchers) {
        watcher.flush();
        watcher.end(undefined);
      }
      watchers.clear();
    }
  }
}

function unavailable(message: string): StatusError {
  return new StatusError("ServiceUnavailable", 503, message, { retryAfterSeconds: 1 });
}

function tooLarge(wanted: bigint, current: bigint): StatusError {
  return new StatusError("Timeout", 504, `Timeout: Too large resource version: ${wanted}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

function rethrowUnlessAbort(error: unknown): void {
  if (!isAbort(error)) throw error;
}
