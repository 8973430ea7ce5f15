// Which allocation keys the known Services hold, kept up to date from the watch cache; and the repair of keys and Services
// that do not match, which only a defect or a restored backup can bring about.
import type { Service } from "@coxswain/api";
import type { Logger } from "@coxswain/component-base";
import type { Storage } from "@coxswain/storage";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { ownerValue } from "./service-allocator.ts";
import { ALLOCATIONS_PREFIX, heldKeys } from "./service-needs.ts";

const SERVICES = { group: "", resource: "services" };

/** True where a known Service holds the key. */
export function createAllocationIndex(cache: WatchCache): (key: string) => boolean {
  let built: object | undefined;
  let held = new Map<string, number>();
  const count = (service: unknown, by: number): void => {
    for (const key of heldKeys(service as Service)) {
      const holders = (held.get(key) ?? 0) + by;
      if (holders > 0) held.set(key, holders);
      else held.delete(key);
    }
  };
  cache.tap((events) => {
    if (built === undefined) return;
    for (const event of events) {
      if (event.object.kind.group !== "" || event.object.kind.resource !== SERVICES.resource) continue;
      if (event.old !== undefined) count(event.old.object, -1);
      if (event.type !== "DELETED") count(event.object.object, 1);
    }
  });
  return (key) => {
    const services = cache.resource(SERVICES);
    if (built !== services) {
      // First use, or the cache was filled anew.
      built = services;
      held = new Map();
      for (const service of services.list()) count(service.object, 1);
    }
    return held.has(key);
  };
}

/** Releases keys that no Service holds and claims those that a Service holds without. Returns how many it mended. */
export async function repairAllocations(cache: WatchCache, storage: Storage, logger: Logger): Promise<number> {
  await cache.consistent();
  const rv = cache.throughRv;
  const page = await storage.list({ prefix: ALLOCATIONS_PREFIX, rv });
  const owners = new Map<string, Service>();
  for (const { object } of cache.resource(SERVICES).listAt(rv)) {
    for (const key of heldKeys(object)) owners.set(key, object);
  }
  let mended = 0;
  const stored = new Set<string>();
  for (const item of page.items) {
    stored.add(item.key);
    if (owners.has(item.key)) continue;
    const done = await storage.commit({
      conditions: [{ key: item.key, is: "at", rv: item.rv }],
      mutations: [{ op: "delete", key: item.key }],
    });
    if (done.committed) mended++;
  }
  for (const [key, service] of owners) {
    if (stored.has(key)) continue;
    const done = await storage.commit({
      conditions: [{ key, is: "absent" }],
      mutations: [{ op: "put", key, value: ownerValue(service) }],
    });
    if (done.committed) mended++;
  }
  if (mended > 0) logger.warn({ mended }, "repaired service allocations");
  return mended;
}
