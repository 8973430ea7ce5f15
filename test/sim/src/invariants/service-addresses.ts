// Invariants of the addresses of Services: each is out of a range that is there, and one Service's alone.
import { BlockList } from "node:net";
import type { Service, ServiceCIDR } from "@coxswain/api";
import type { ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

function addressesOf({ spec }: Service): string[] {
  const all = spec?.clusterIPs ?? (spec?.clusterIP === undefined ? [] : [spec.clusterIP]);
  return all.filter((ip) => ip !== "" && ip !== "None");
}

/** Whether any ServiceCIDR, also one that is to go, has the address. */
function isInRange(state: ClusterState, ip: string): boolean {
  const family = ip.includes(":") ? "ipv6" : "ipv4";
  const ranges = new BlockList();
  for (const cidr of state.list<ServiceCIDR>("servicecidrs").flatMap(({ spec }) => spec?.cidrs ?? [])) {
    const [network = "", bits = ""] = cidr.split("/");
    ranges.addSubnet(network, Number(bits), network.includes(":") ? "ipv6" : "ipv4");
  }
  return ranges.check(ip, family);
}

export function serviceAddressesAreOfARange(): Invariant {
  return {
    name: "service-addresses-are-of-a-range",
    check({ key, ref, object }, state) {
      if (ref.resource === "servicecidrs" && object === undefined) {
        const lost = state
          .list<Service>("services")
          .flatMap(addressesOf)
          .filter((ip) => !isInRange(state, ip));
        return lost.map((ip) => `${key} went while a Service had ${ip}`);
      }
      if (ref.resource !== "services" || object === undefined) return OK;
      return addressesOf(object)
        .filter((ip) => !isInRange(state, ip))
        .map((ip) => `${key} has ${ip}, which no range has`);
    },
  };
}

export function serviceAddressesAreUnique(): Invariant {
  return {
    name: "service-addresses-are-unique",
    check({ key, ref, object }, state) {
      if (ref.resource !== "services" || object === undefined) return OK;
      const own = addressesOf(object);
      return [...state.stored("services")].flatMap(([other, stored]) =>
        other === key
          ? []
          : addressesOf(stored.object as Service)
              .filter((ip) => own.includes(ip))
              .map((ip) => `${key} and ${other} have ${ip}`),
      );
    },
  };
}
