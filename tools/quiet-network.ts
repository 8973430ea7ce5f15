// A network namespace in which nothing but the given command runs, whose only way out leads nowhere: there, one packet
// that leaves by another interface than lo is one packet too many, and the interface's counter shows it.
import { findProgram } from "@coxswain/cluster/external-programs";
import path from "node:path";
import { root } from "./run-step.ts";

const OUTSIDE = [
  "link set lo up",
  "link add outside type veth peer name nowhere",
  "link set outside address 02:00:00:00:00:01",
  "link set nowhere address 02:00:00:00:00:02",
  "address add 192.0.2.1/24 dev outside",
  "link set nowhere up",
  "link set outside up",
  // With a default route, as a machine has: a leaking packet must find its way out, and be counted.
  "neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev outside nud permanent",
  "route add default via 192.0.2.2",
];

/** `command` with its arguments, to be run in such a namespace as root on Linux. It finds COXSWAIN_QUIET_NETWORK=1 in its environment. */
export function inQuietNetwork(command: string, args: readonly string[]): { command: string; args: string[] } {
  const tools = path.join(root, ".tools");
  const ip = findProgram("ip", tools) ?? "ip";
  // No neighbour discovery of IPv6: those packets would be counted, and are nobody's.
  const script = `for f in /proc/sys/net/ipv6/conf/default/disable_ipv6; do [ -e $f ] && echo 1 > $f; done
${ip} -batch - <<'END' && COXSWAIN_QUIET_NETWORK=1 exec "$@"
${OUTSIDE.join("\n")}
END`;
  return {
    command: findProgram("unshare", tools) ?? "unshare",
    args: ["--net", "/bin/sh", "-c", script, "quiet-network", command, ...args],
  };
}
