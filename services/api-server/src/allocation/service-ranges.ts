// The ranges that the addresses of Services come from: those of ServiceCIDRs that are ready, and while there is none, that of the
// command line. Guarantee: a range that is being deleted gives no more addresses.
// https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/
import { SERVICE_CIDRS, type ServiceCIDR } from "@coxswain/api";
import { cidrFamily } from "@coxswain/api/validation/ip";
import type { ObjectSource } from "../pipeline/extension.ts";
import { ipRange, type Range } from "./ranges.ts";

function isReady({ metadata, status }: ServiceCIDR): boolean {
  const ready = status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;
  return ready && metadata?.deletionTimestamp === undefined;
}

/** The IPv4 ranges of the ServiceCIDRs, by their names. */
export function rangesOf(cidrs: readonly ServiceCIDR[]): string[] {
  const name = ({ metadata }: ServiceCIDR): string => metadata?.name ?? "";
  const ready = cidrs.filter(isReady).toSorted((a, b) => (name(a) < name(b) ? -1 : 1));
  return [...new Set(ready.flatMap(({ spec }) => spec?.cidrs ?? []))].filter((cidr) => cidrFamily(cidr) === "IPv4");
}

/** Gives the ranges of the moment. */
export function createServiceRanges(source: ObjectSource, fallback: Range): () => readonly Range[] {
  const known = new Map<string, Range>([[fallback.text, fallback]]);
  let ranges: readonly Range[] | undefined;
  source.onChange(SERVICE_CIDRS, () => (ranges = undefined));
  return () => {
    ranges ??= rangesOf(source.list(SERVICE_CIDRS).map(({ object }): ServiceCIDR => object as ServiceCIDR)).map(
      (text) => {
        const range = known.get(text) ?? ipRange(text);
        known.set(text, range);
        return range;
      },
    );
    return ranges.length === 0 ? [fallback] : ranges;
  };
}
