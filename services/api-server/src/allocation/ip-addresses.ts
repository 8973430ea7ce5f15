// Keeps an IPAddress for every address of a Service, for those who ask what is in use: makes what is missing, takes away what no
// Service holds any more. Runs in the elected process. The allocations themselves are keys of their own; these objects follow them.
import { canonicalIp } from "@coxswain/api/validation/ip";
import { IP_ADDRESSES, SERVICES, type IPAddress, type Service } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";
import { needsClusterIp, NONE } from "./service-needs.ts";

const FAMILY = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY = "ipaddress.kubernetes.io/managed-by";
const MANAGER = "ipallocator.k8s.io";
const PAUSE_MS = 20;
const RETRY_MS = 1_000;

function addressesOf(service: Service): string[] {
  if (!needsClusterIp(service)) return [];
  return (service.spec?.clusterIPs ?? []).filter((ip) => ip !== "" && ip !== NONE).map(canonicalIp);
}

function addressOf(ip: string, { metadata = {} }: Service): IPAddress {
  const family = ip.includes(":") ? "IPv6" : "IPv4";
  const { namespace, name = "" } = metadata;
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: { name: ip, labels: { [FAMILY]: family, [MANAGED_BY]: MANAGER } },
    spec: { parentRef: { group: "", resource: "services", namespace, name } },
  };
}

/** Addresses that others made are theirs. */
export function planIpAddresses(
  services: readonly Service[],
  present: readonly IPAddress[],
): { readonly create: IPAddress[]; readonly remove: IPAddress[] } {
  const wanted = new Map(services.flatMap((service) => addressesOf(service).map((ip) => [ip, addressOf(ip, service)])));
  const remove: IPAddress[] = [];
  for (const address of present) {
    const ip = address.metadata?.name ?? "";
    const mine = address.metadata?.labels?.[MANAGED_BY] === MANAGER;
    const parent = ({ spec }: IPAddress): string => `${spec?.parentRef?.namespace}/${spec?.parentRef?.name}`;
    const right = wanted.get(ip);
    if (mine && (right === undefined || parent(right) !== parent(address))) remove.push(address);
    else wanted.delete(ip);
  }
  return { create: [...wanted.values()], remove };
}

/** True where somebody has an IPAddress of their own for the address. */
export function isReserved(source: ObjectSource, ip: string): boolean {
  const found = source.get(IP_ADDRESSES, "", ip)?.object;
  return found !== undefined && found.metadata?.labels?.[MANAGED_BY] !== MANAGER;
}

interface KeeperDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly source: ObjectSource;
  readonly client: ResourceClient;
}

async function reconcile({ source, client }: KeeperDeps): Promise<void> {
  const services = source.list(SERVICES).map(({ object }) => object as Service);
  const present = source.list(IP_ADDRESSES).map(({ object }) => object as IPAddress);
  const plan = planIpAddresses(services, present);
  const one = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      // Somebody was quicker; the change of theirs leads to another look.
      if (!isReason(error, "AlreadyExists", "NotFound", "Conflict")) throw error;
    }
  };
  await Promise.all(
    plan.remove.map(({ metadata = {} }) => {
      const { name = "", uid } = metadata;
      return one(() => client.delete(IP_ADDRESSES, { name }, { preconditions: { uid } }));
    }),
  );
  await Promise.all(plan.create.map((address) => one(() => client.create(IP_ADDRESSES, address))));
}

/** Works until `signal` aborts. */
export async function runIpAddresses(deps: KeeperDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, source } = deps;
  let changed = Promise.withResolvers<void>();
  const wake = (): void => changed.resolve();
  const stops = [SERVICES, IP_ADDRESSES].map((resource) => source.onChange(resource, wake));
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers<void>();
      try {
        await reconcile(deps);
        await changed.promise;
        await env.timers.sleep(PAUSE_MS, signal);
      } catch (error) {
        if (signal.aborted || isAbort(error)) return;
        logger.warn({ error: String(error) }, "could not keep the addresses of Services, will try again");
        await env.timers.sleep(RETRY_MS, signal).catch((stop: unknown) => {
          if (!isAbort(stop)) throw stop;
        });
      }
    }
  } finally {
    for (const stop of stops) stop();
    signal.removeEventListener("abort", wake);
  }
}
