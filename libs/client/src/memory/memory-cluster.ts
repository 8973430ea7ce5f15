// An in-memory double of the api-server, for unit tests of controllers and for the simulator. Stricter than a fake that
// only stores: versions, conflicts, finalizers, graceful deletion, watches with history, fences, and injected faults.
import { compareResourceVersions, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { ResourceClient } from "../resource-client.ts";
import { createFaults, type FaultRule, type InjectedFault, type MemoryCall } from "./faults.ts";
import { createMemoryClient } from "./memory-client.ts";
import { cloneJson, MemoryStore, type ChangeListener } from "./memory-store.ts";
import { connectionLost, type MemoryWatch } from "./memory-watch.ts";
import { createObject } from "./memory-writes.ts";

export interface MemoryClusterOptions {
  readonly env: Env;
  /** Creating in a namespace that does not exist is NotFound, as on a server. False where unset. */
  readonly requireNamespaces?: boolean;
  /** Time that a call takes one way, in ms. None where unset. */
  readonly latencyMs?: () => number;
}

export interface MemoryCluster {
  client(user?: string): ResourceClient;
  /** Stores an object as given, status included; for the start of a test. Returns it as stored. */
  seed<T extends KubeObject>(ref: ResourceRef, object: T): T;
  /** All objects of a resource now, oldest change first; copies. */
  objects<T extends KubeObject>(ref: ResourceRef): T[];
  inject(rule: FaultRule): InjectedFault;
  /** Every call that clients made, failed ones too. */
  readonly calls: readonly MemoryCall[];
  /** The calls that would change something. */
  writes(): MemoryCall[];
  clearCalls(): void;
  /** Hears each commit at once, in order; objects are the store's own, do not change them. Returns the way to stop. */
  onChange(listener: ChangeListener): () => void;
  /** Breaks all watches, or those of a user: their loops throw ServiceUnavailable. */
  breakWatches(user?: string): void;
  /** Ends all watches quietly, as a server's time-out does. */
  endWatches(): void;
  /** Sends a bookmark to all watches that want some. */
  bookmark(): void;
  /** Forgets history: resuming a watch from before is Expired. */
  compact(): void;
  readonly openWatches: number;
  readonly resourceVersion: string;
}

export function createMemoryCluster(options: MemoryClusterOptions): MemoryCluster {
  const { env, requireNamespaces = false, latencyMs = () => 0 } = options;
  const store = new MemoryStore();
  const open = new Set<MemoryWatch>();
  const faults = createFaults();
  let calls: MemoryCall[] = [];
  const take = (call: MemoryCall): FaultRule | undefined => {
    calls.push(call);
    return faults.take(call);
  };
  const deps = { env, store, open, requireNamespaces, latencyMs, take };
  const rv = (object: KubeObject): string => object.metadata?.resourceVersion ?? "";
  return {
    client: (user = "system:admin") => createMemoryClient(deps, user),
    seed: (ref, object) =>
      createObject({ ...deps, requireNamespaces: false }, ref, object, { keepStatus: true }) as typeof object,
    objects: <T extends KubeObject>(ref: ResourceRef) =>
      [...store.table(ref).values()]
        .toSorted((a, b) => compareResourceVersions(rv(a), rv(b)))
        .map((o) => cloneJson(o) as T),
    inject: (rule) => faults.inject(rule),
    get calls() {
      return calls;
    },
    writes: () => calls.filter((call) => !["get", "list", "watch"].includes(call.verb)),
    clearCalls: () => {
      calls = [];
    },
    onChange: (listener) => store.onChange(listener),
    breakWatches: (user) => {
      for (const watch of open) if (user === undefined || watch.user === user) watch.end(connectionLost());
    },
    endWatches: () => {
      for (const watch of open) watch.end();
    },
    bookmark: () => {
      for (const watch of open) watch.bookmark();
    },
    compact: () => store.compact(),
    get openWatches() {
      return open.size;
    },
    get resourceVersion() {
      return store.currentRv.toString();
    },
  };
}
export type { FaultRule, InjectedFault, MemoryCall } from "./faults.ts";
export { timeoutError } from "./faults.ts";
export type { ChangeListener, MemoryChange } from "./memory-store.ts";
