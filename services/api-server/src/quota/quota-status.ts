// Keeps the status of ResourceQuotas: what is in use of what there is. It is for people to read; the guard counts for itself.
// Runs in the elected process.
import { CUSTOM_RESOURCE_DEFINITIONS, type KindDefinition, RESOURCE_QUOTAS, type ResourceQuota } from "@coxswain/api";
import { groupResource, isReason, type Quantity, quantityOf } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { KindSource } from "../extensions/kind-source.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { usedOf } from "./quota-guard.ts";
import { DEVICES_OF_CLASS } from "./usage.ts";

/** Changes of this long are counted together. */
const PAUSE_MS = 200;
const RETRY_MS = 1_000;
/** Counts anew where nothing changes, for the sake of pods that are stuck on their way out; upstream's period. */
const RESYNC_MS = 300_000;

interface StatusDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly cache: WatchCache;
  readonly client: ResourceClient;
  /** Custom kinds among them: count/widgets.example.com counts those. */
  readonly kinds: Pick<KindSource, "all">;
}

/** Works until `signal` aborts. Costs nothing but a list of no quotas where there are none. */
export async function runQuotaStatus(deps: StatusDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, cache } = deps;
  while (!signal.aborted) {
    // Listening begins before counting, so that no change falls between the two.
    const next = new ChangeOfQuotas(cache, deps.kinds, signal);
    const resync = env.timers.setTimeout(() => next.wake(), RESYNC_MS);
    try {
      for (const { object } of cache.list(RESOURCE_QUOTAS)) await refresh(deps, object);
      await next.happened;
      await env.timers.sleep(PAUSE_MS, signal);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      logger.warn({ error: String(error) }, "could not refresh the status of quotas, will try again");
      await env.timers.sleep(RETRY_MS, signal).catch((stop: unknown) => {
        if (!isAbort(stop)) throw stop;
      });
    } finally {
      env.timers.clear(resync);
      next.stop();
    }
  }
}

/** The next change of a quota, or of anything that a quota counts. */
class ChangeOfQuotas {
  /** Resolves at the change, and where the signal aborts. */
  readonly happened: Promise<void>;
  readonly #stops: (() => void)[] = [];
  readonly #woken = Promise.withResolvers<void>();

  constructor(cache: WatchCache, kinds: StatusDeps["kinds"], signal: AbortSignal) {
    const counted = new Map<string, { group: string; resource: string }>([
      ["", RESOURCE_QUOTAS],
      [" ", CUSTOM_RESOURCE_DEFINITIONS],
    ]);
    for (const { object } of cache.list(RESOURCE_QUOTAS)) {
      for (const kind of countedKinds(object, kinds)) counted.set(groupResource(kind), kind);
    }
    this.happened = this.#woken.promise;
    const wake = (): void => this.wake();
    for (const kind of counted.values()) this.#stops.push(cache.onChange(kind, wake));
    signal.addEventListener("abort", wake, { once: true });
    this.#stops.push(() => signal.removeEventListener("abort", wake));
    if (signal.aborted) wake();
  }

  /** As if there had been a change. */
  wake(): void {
    this.#woken.resolve();
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }
}

/** The kinds that the names of the quota speak of. */
function countedKinds(quota: ResourceQuota, kinds: StatusDeps["kinds"]): KindDefinition[] {
  const names = Object.keys(quota.spec?.hard ?? {});
  const seen = new Set<string>();
  return kinds.all().filter((kind) => {
    const id = groupResource(kind);
    // A kind of several versions is the same objects: they count once.
    if (!kind.stored || !kind.namespaced || seen.has(id)) return false;
    seen.add(id);
    if (names.includes(`count/${id}`)) return true;
    if (id === "resourceclaims.resource.k8s.io") return names.some((name) => name.endsWith(DEVICES_OF_CLASS));
    if (kind.group !== "") return false;
    if (kind.resource === "pods") {
      return names.some((name) =>
        /^(pods|cpu|memory|ephemeral-storage|hugepages-.*|limits\..*|requests\.(?!storage$).*)$/.test(name),
      );
    }
    return names.some(
      (name) =>
        name === kind.resource ||
        name.startsWith(`${kind.resource}.`) ||
        (kind.resource === "persistentvolumeclaims" && /storage/.test(name)),
    );
  });
}

async function refresh({ env, cache, client, kinds }: StatusDeps, quota: ResourceQuota): Promise<void> {
  const { namespace = "" } = quota.metadata ?? {};
  const used = new Map<string, Quantity>();
  for (const kind of countedKinds(quota, kinds)) {
    for (const [name, amount] of usedOf(cache, quota, { kind, namespace }, env.clock.now())) {
      used.set(name, used.get(name)?.add(amount) ?? amount);
    }
  }
  const hard = quota.spec?.hard ?? {};
  const shown = Object.fromEntries(
    Object.keys(hard).map((name) => [name, (used.get(name) ?? quantityOf(0)).toString()]),
  );
  const same = JSON.stringify([quota.status?.hard ?? {}, quota.status?.used ?? {}]) === JSON.stringify([hard, shown]);
  if (same) return;
  try {
    await client.update(RESOURCE_QUOTAS, { ...quota, status: { hard, used: shown } }, { subresource: "status" });
  } catch (error) {
    // Somebody changed it meanwhile: that change wakes us again.
    if (!isReason(error, "NotFound", "Conflict")) throw error;
  }
}
