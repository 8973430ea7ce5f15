// A way out for pods and for cluster-dns, where a cluster was started with one: a user-mode network stack a member, that speaks to the outside with
// ordinary sockets of the machine. So even then the root namespace has no interface, route or rule of the cluster.
import path from "node:path";
import type { Command } from "./create-platform.ts";
import { joiningShell } from "./enter-member.ts";
import { PlatformError, type PlatformPlan, runDir } from "./platform-plan.ts";

/** The member's end, 10.0.2.100; the stack itself is 10.0.2.2. */
export const EGRESS_INTERFACE = "tap0";

/** Pods leave under the node's address. Of the interface's name alone, so that the rules may come before it. */
export const EGRESS_RULES = `table ip coxswain-egress {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${EGRESS_INTERFACE}" masquerade
  }
}`;

/**
 * The process that is a member's way out, in the foreground, to be kept running. While it runs the member has a default
 * route, and EGRESS_RESOLVER leads to the machine's resolver. Other loopback services of the machine stay out of reach.
 * Throws PlatformError where the plan has no egress.
 */
export function egressCommand(plan: PlatformPlan, memberName: string): Command {
  const member = [...plan.controlMembers, ...plan.nodes].find(({ name }) => name === memberName);
  if (member === undefined) throw new PlatformError(`the cluster has no member ${memberName}`);
  const { slirp4netns } = plan.programs;
  if (!plan.egress || slirp4netns === undefined) throw new PlatformError("the cluster has no way out");
  const { command, args } = joiningShell(member.cgroup);
  const pin = path.join(runDir(plan.id), "net", memberName);
  const flags = ["--configure", "--mtu=1400", "--disable-host-loopback", "--netns-type=path"];
  return { command, args: [...args, slirp4netns, ...flags, pin, EGRESS_INTERFACE] };
}
