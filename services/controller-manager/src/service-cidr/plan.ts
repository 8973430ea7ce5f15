// What becomes of a ServiceCIDR: ready with a finalizer, or kept from going while addresses are in use that no other range holds.
// Pure. https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/
import type { IPAddress, ServiceCIDR } from "@coxswain/api";
import { formatTime, parseTime } from "@coxswain/apimachinery";
import { BlockList } from "node:net";
import { cidrFamily, ipFamily } from "@coxswain/api/validation/ip";

export const FINALIZER = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR = "ipallocator.k8s.io";
/** So that every api-server has heard that the range gives no more addresses. */
const GRACE_MS = 10_000;

type Condition = NonNullable<NonNullable<ServiceCIDR["status"]>["conditions"]>[number];

export type ServiceCidrPlan =
  | { readonly do: "nothing" }
  | { readonly do: "add finalizer" }
  | { readonly do: "remove finalizer" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "store"; readonly object: ServiceCIDR };

/** True where `outer` holds every address of `inner`. */
export function holdsRange(outer: string, inner: string): boolean {
  const family = cidrFamily(inner);
  if (family === undefined || cidrFamily(outer) !== family) return false;
  const [address = "", bits = ""] = inner.split("/");
  return Number(outer.split("/")[1]) <= Number(bits) && holdsAddress(outer, address);
}

function holdsAddress(cidr: string, ip: string): boolean {
  const family = cidrFamily(cidr);
  if (family === undefined || ipFamily(ip) !== family) return false;
  const [address = "", bits = ""] = cidr.split("/");
  const list = new BlockList();
  const type = family === "IPv4" ? "ipv4" : "ipv6";
  list.addSubnet(address, Number(bits), type);
  return list.check(ip, type);
}

const rangesOf = ({ spec }: ServiceCIDR): string[] => spec?.cidrs ?? [];

/** Would an address lose its range if this one went? */
export function isNeeded(cidr: ServiceCIDR, others: readonly ServiceCIDR[], addresses: readonly IPAddress[]): boolean {
  const rest = others.filter(({ metadata }) => metadata?.name !== cidr.metadata?.name).flatMap(rangesOf);
  const bare = rangesOf(cidr).filter((range) => !rest.some((other) => holdsRange(other, range)));
  return addresses
    .filter(({ metadata }) => metadata?.labels?.[MANAGED_BY] === ALLOCATOR)
    .map(({ metadata }) => metadata?.name ?? "")
    .some((ip) => bare.some((range) => holdsAddress(range, ip)) && !rest.some((range) => holdsAddress(range, ip)));
}

function withReady(
  cidr: ServiceCIDR,
  next: Omit<Condition, "type" | "lastTransitionTime">,
  nowMs: number,
): ServiceCidrPlan {
  const before = cidr.status?.conditions ?? [];
  const known = before.find(({ type }) => type === "Ready");
  if (known?.status === next.status && known.reason === next.reason && known.message === next.message) {
    return { do: "nothing" };
  }
  const lastTransitionTime = known?.status === next.status ? known.lastTransitionTime : formatTime(nowMs);
  const conditions = [...before.filter(({ type }) => type !== "Ready"), { type: "Ready", ...next, lastTransitionTime }];
  return { do: "store", object: { ...cidr, status: { ...cidr.status, conditions } } };
}

export function planServiceCidr(
  cidr: ServiceCIDR,
  all: readonly ServiceCIDR[],
  addresses: readonly IPAddress[],
  nowMs: number,
): ServiceCidrPlan {
  const held = cidr.metadata?.finalizers?.includes(FINALIZER) === true;
  const deletedMs = parseTime(cidr.metadata?.deletionTimestamp);
  if (deletedMs === undefined) {
    if (!held) return { do: "add finalizer" };
    return withReady(cidr, { status: "True", reason: "", message: "Kubernetes Service CIDR is ready" }, nowMs);
  }
  if (!held) return { do: "nothing" };
  if (isNeeded(cidr, all, addresses)) {
    const message =
      "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
    return withReady(cidr, { status: "False", reason: "Terminating", message }, nowMs);
  }
  const leftMs = deletedMs + GRACE_MS - nowMs;
  return leftMs > 0 ? { do: "wait", ms: leftMs } : { do: "remove finalizer" };
}
