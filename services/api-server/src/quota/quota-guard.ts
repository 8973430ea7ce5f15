// ResourceQuota: nothing is made or enlarged beyond the quotas of its namespace. Guarantee: exact, however many requests and
// api-servers there are at once. Every write that uses more changes its namespace's fence key in its own transaction, on the
// condition that the fence is where it was when what is in use was counted, and the count was made on a cache that had seen
// that fence. So two such writes never both count on the same room.
import { type Pod, RESOURCE_QUOTAS, type ResourceQuota } from "@coxswain/api";
import { type GroupResource, type KubeObject, newForbidden, type Quantity } from "@coxswain/apimachinery";
import type { Clock } from "@coxswain/env";
import type { Condition, Mutation } from "@coxswain/storage";
import type { Contribution, ContributionInput, Contributor } from "../registry/committer.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { exceeded, quotaCounts, sumOf, unspecified, type Usage, usageOf } from "./usage.ts";

const STATE = "quota-refused";
const EMPTY = Buffer.alloc(0);
/** Beyond the objects' own keys, so that no resource's list holds it. */
const fenceKey = (namespace: string): string => `/quota-fences/${namespace}`;

export function createQuotaGuard(cache: WatchCache, clock: Pick<Clock, "now">): Contributor {
  /** Where each namespace's fence was last seen; undefined: not there yet, as far as is known. */
  const fences = new Map<string, bigint>();
  const quotasOf = (namespace: string): ResourceQuota[] =>
    cache.list(RESOURCE_QUOTAS, namespace).map(({ object }) => object as ResourceQuota);

  const isCounted = ({ context: { kind, subresource }, next }: ContributionInput): boolean =>
    kind.namespaced && next !== undefined && subresource !== "status";

  function growthOf({ context: { kind }, next, old }: ContributionInput): Usage {
    const nowMs = clock.now();
    return difference(usageOf(kind, next!, nowMs), old === undefined ? new Map() : usageOf(kind, old, nowMs));
  }

  function growing(input: ContributionInput): { quotas: ResourceQuota[]; growth: Usage } | undefined {
    if (!isCounted(input)) return undefined;
    const { kind, namespace } = input.context;
    const quotas = quotasOf(namespace).filter((quota) => quotaCounts(quota, kind, input.next!));
    if (quotas.length === 0) return undefined;
    const growth = growthOf(input);
    return growth.size === 0 ? undefined : { quotas, growth };
  }

  return {
    /** Writes that count on the same room would only refuse each other. */
    turn(input) {
      const counts =
        cache.unready() === undefined ? growing(input) !== undefined : isCounted(input) && growthOf(input).size > 0;
      return counts ? input.context.namespace : undefined;
    },
    /** A count is good only where the cache has seen the fence that the write is conditioned on. */
    async ready(input) {
      const { namespace } = input.context;
      if (cache.unready() !== undefined) await cache.caughtUp();
      const refused = input.state.delete(STATE);
      if (refused || cache.throughRv < (fences.get(namespace) ?? 0n)) await cache.consistent();
    },
    contribute(input) {
      const found = growing(input);
      if (found === undefined) return undefined;
      const { context, next } = input;
      for (const quota of found.quotas) check(cache, quota, input, found.growth, clock.now());
      return claim(fences, context.namespace, () => input.state.set(STATE, next));
    },
  };
}

function difference(after: Usage, before: Usage): Usage {
  const growth = [...after].map(([name, amount]): [string, Quantity] => {
    const was = before.get(name);
    return [name, was === undefined ? amount : amount.sub(was)];
  });
  return new Map(growth.filter(([, amount]) => amount.sign() > 0));
}

function claim(fences: Map<string, bigint>, namespace: string, onRefused: () => void): Contribution {
  const key = fenceKey(namespace);
  const known = fences.get(namespace);
  const condition: Condition = known === undefined ? { key, is: "absent" } : { key, is: "at", rv: known };
  const mutation: Mutation = { op: "put", key, value: EMPTY };
  return {
    conditions: [condition],
    mutations: [mutation],
    committed: ([rv]) => void (rv !== undefined && fences.set(namespace, rv)),
    refused([current]) {
      if (current?.rv === known) return;
      if (current === undefined) fences.delete(namespace);
      else fences.set(namespace, current.rv);
      onRefused();
    },
  };
}

function check(cache: WatchCache, quota: ResourceQuota, input: ContributionInput, growth: Usage, nowMs: number): void {
  const { context, next } = input;
  const { kind, namespace, name } = context;
  const refuse = (why: string): never => {
    throw newForbidden(kind, name || (next?.metadata?.name ?? ""), why);
  };
  const title = quota.metadata?.name ?? "";
  if (kind.group === "" && kind.resource === "pods" && input.old === undefined) {
    const missing = unspecified(quota, next as Pod);
    if (missing.length > 0) refuse(`failed quota: ${title}: must specify ${missing.join("; ")}`);
  }
  const limited = Object.keys(quota.spec?.hard ?? {}).some((each) => growth.has(each));
  if (!limited) return;
  const used = usedOf(cache, quota, { kind, namespace }, nowMs);
  const over = exceeded(quota, used, growth);
  if (over.length === 0) return;
  const list = (amount: (name: string) => string): string => over.map((each) => `${each}=${amount(each)}`).join(",");
  const requested = list((each) => growth.get(each)?.toString() ?? "0");
  const inUse = list((each) => used.get(each)?.toString() ?? "0");
  const hard = list((each) => quota.spec?.hard?.[each] ?? "0");
  refuse(`exceeded quota: ${title}, requested: ${requested}, used: ${inUse}, limited: ${hard}`);
}

/** What the present objects of a kind count for against the quota. */
export function usedOf(
  source: Pick<WatchCache, "list">,
  quota: ResourceQuota,
  { kind, namespace }: { readonly kind: GroupResource; readonly namespace: string },
  nowMs: number,
): Map<string, Quantity> {
  const objects: KubeObject[] = source.list(kind, namespace).map(({ object }) => object);
  return sumOf(
    objects.filter((object) => quotaCounts(quota, kind, object)).map((object) => usageOf(kind, object, nowMs)),
  );
}
