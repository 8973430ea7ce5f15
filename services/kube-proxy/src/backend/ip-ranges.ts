// Whether an address lies in a range. Pure.
import ipaddr from "ipaddr.js";

/** False for what is no address, and for a range of the other family. */
export function inRange(ip: string, ranges: readonly string[]): boolean {
  if (!ipaddr.isValid(ip)) return false;
  const address = ipaddr.parse(ip);
  return ranges.some((range) => {
    const [network, bits] = ipaddr.parseCIDR(range.includes("/") ? range : `${range}/32`);
    return network.kind() === address.kind() && address.match(network, bits);
  });
}
