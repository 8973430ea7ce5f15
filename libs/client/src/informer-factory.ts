// Makes shared informers: one per resource and options, each kept current by a reflector of its own.
import { apiVersionOf, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import { AbortError } from "@coxswain/env";
import { InformerCache } from "./informer-cache.ts";
import type { InformerFactory, InformerOptions, SharedInformer } from "./informer-contract.ts";
import { Reflector, type ReflectorDeps } from "./reflector.ts";

interface Entry {
  readonly cache: InformerCache<KubeObject>;
  readonly reflector: Reflector<KubeObject>;
  readonly removed: AbortController;
  started: boolean;
}

/** Rejects with AbortError when `signal` aborts first. */
function orAbort(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new AbortError());
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.finally(() => signal.removeEventListener("abort", onAbort)).then(() => resolve(), reject);
  });
}

/** Informers over `client`, and over the change feed where there is a `bus`. */
export function createInformerFactory(deps: ReflectorDeps): InformerFactory {
  const entries = new Map<string, Entry>();
  let running: AbortSignal | undefined;
  const idOf = (ref: ResourceRef, { node, labelSelector, fieldSelector, direct }: InformerOptions = {}): string =>
    JSON.stringify([apiVersionOf(ref), ref.resource, node, labelSelector, fieldSelector, direct]);
  const startEntry = (entry: Entry, signal: AbortSignal): void => {
    if (entry.started) return;
    entry.started = true;
    entry.reflector.run(AbortSignal.any([signal, entry.removed.signal])).catch((error: unknown) => {
      // The reflector retries everything by itself: what gets here is a defect, and it must not pass unseen.
      deps.logger.error({ resource: entry.cache.ref.resource, err: error }, "an informer stopped");
    });
  };
  return {
    informer<T extends KubeObject>(ref: ResourceRef, options: InformerOptions = {}): SharedInformer<T> {
      const id = idOf(ref, options);
      let entry = entries.get(id);
      if (entry === undefined) {
        const cache = new InformerCache<KubeObject>(ref, deps.logger);
        entry = {
          cache,
          reflector: new Reflector(deps, ref, options, cache),
          removed: new AbortController(),
          started: false,
        };
        entries.set(id, entry);
      }
      return entry.cache as unknown as SharedInformer<T>;
    },
    start(signal) {
      running = signal;
      for (const entry of entries.values()) startEntry(entry, signal);
    },
    startLate(ref) {
      const entry = entries.get(idOf(ref));
      if (entry !== undefined && running !== undefined) startEntry(entry, running);
    },
    remove(ref) {
      const id = idOf(ref);
      entries.get(id)?.removed.abort();
      entries.delete(id);
    },
    async waitForSync(signal) {
      const started = entries.values().filter((entry) => entry.started);
      await Promise.all(started.map((entry) => orAbort(entry.cache.synced, signal)).toArray());
    },
  };
}
