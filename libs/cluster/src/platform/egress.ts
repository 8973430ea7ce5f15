// A way out for pods, where a cluster was started with one: a user-mode network stack a node, that speaks to the outside with
// ordinary sockets of the machine. So even then the root namespace has no interface, route or rule of the cluster.
import path from "node:path";
import type { Command } from "./create-platform.ts";
import { joiningShell } from "./enter-member.ts";
import { PlatformError, type PlatformPlan, runDir } from "./platform-plan.ts";

/** The node's end, 10.0.2.100; the stack itself is 10.0.2.2. */
export const EGRESS_INTERFACE = "tap0";

/** Pods leave under the node's address. Of the interface's name alone, so that the rules may come before it. */
export const EGRESS_RULES = `table ip coxswain-egress {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${EGRESS_INTERFACE}" masquerade
  }
}`;

/**
 * The process that is a node's way out, in the foreground, to be kept running. While it runs the node has a default route.
 * Loopback services of the machine stay out of reach. Throws PlatformError where the plan has no egress.
 */
export function egressCommand(plan: PlatformPlan, nodeName: string): Command {
  const node = plan.nodes.find(({ name }) => name === nodeName);
  if (node === undefined) throw new PlatformError(`the cluster has no node ${nodeName}`);
  const { slirp4netns } = plan.programs;
  if (!plan.egress || slirp4netns === undefined) throw new PlatformError("the cluster has no way out");
  const { command, args } = joiningShell(node.cgroup);
  const pin = path.join(runDir(plan.id), "net", nodeName);
  const flags = ["--configure", "--mtu=1400", "--disable-host-loopback", "--netns-type=path"];
  return { command, args: [...args, slirp4netns, ...flags, pin, EGRESS_INTERFACE] };
}
