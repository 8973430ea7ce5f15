// The shell scripts that furnish a member's namespaces from the inside: pure text. One shell a member, so that all run at once.
// They run as root in namespaces of their own: nothing that they do is seen outside, but the fabric's end of the veth pair.
import path from "node:path";
import { EGRESS_RULES } from "./egress.ts";
import { type MemberPlan, type NodePlan, type PlatformPlan, runDir } from "./platform-plan.ts";

/** A word for the shell, whatever it holds. */
export const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

const batch = (ip: string, lines: readonly string[]): string =>
  `${quote(ip)} -batch - <<'END'\n${lines.join("\n")}\nEND`;

/** The fabric: a bridge without an address. */
export function fabricScript(ip: string): string {
  return `set -eu\n${batch(ip, ["link set lo up", "link add br0 type bridge forward_delay 0", "link set br0 up"])}\n`;
}

/** Plugs the members' veth ends into the bridge. */
export function plugScript(ip: string, members: readonly MemberPlan[]): string {
  return `set -eu\n${batch(
    ip,
    members.map(({ port }) => `link set ${port} master br0 up`),
  )}\n`;
}

/** Takes the member's end out of the fabric, where there is one. */
export function unplugScript(ip: string, { port }: MemberPlan): string {
  return `set -eu\n[ ! -e /proc/sys/net/ipv4/conf/${port} ] || ${quote(ip)} link delete ${port}\n`;
}

/** A member's network: interface, address, routes, settings. */
export function memberScript(ip: string, member: MemberPlan): string {
  const settings = Object.entries(member.sysctls).map(([name, value]) => `echo ${value} > /proc/sys/${name}`);
  return ["set -eu", batch(ip, member.network), ...settings, ""].join("\n");
}

/**
 * A node: its network, and a root of its own in its part of the data folder. Of the machine's root it sees everything but
 * /etc (changes stay its own), /run, /tmp and /var (its own) read-only; the data folder and `plan.visible` are the machine's.
 */
export function nodeScript(plan: PlatformPlan, node: NodePlan, overlay: boolean): string {
  const root = path.join(node.dir, "root");
  return [
    memberScript(plan.programs.ip, node),
    ...(plan.egress ? [`${quote(plan.programs.nft)} -f - <<'END'\n${EGRESS_RULES}\nEND`] : []),
    `echo ${quote(node.name)} > /proc/sys/kernel/hostname`,
    `root=${quote(root)}; dir=${quote(node.dir)}`,
    `mount --bind "$root" "$root"`,
    READ_ONLY_ROOT,
    overlay
      ? `mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/etc,workdir=$dir/etc-work" "$root/etc"`
      : `cp -an /etc/. "$dir/etc/"; mount --bind "$dir/etc" "$root/etc"`,
    // A network configuration of the machine's own containers must not become the node's.
    `rm -rf "$root/etc/cni/net.d"; mkdir "$root/etc/cni/net.d"`,
    `mount --bind "$dir/var" "$root/var"`,
    `mount --bind "$dir/tmp" "$root/tmp"`,
    `mount --bind ${quote(node.run)} "$root/run"`,
    // Sockets that the supervisor opens for nodes, such as the image puller's.
    `mount --bind ${quote(`${runDir(plan.id)}/host`)} "$root/run/coxswain"`,
    ...plan.visible.map((folder) => visible(folder)),
    ENTER_ROOT,
    "",
  ].join("\n");
}

/** Kernel file systems, and every other top folder of the machine, read-only. */
const READ_ONLY_ROOT = `
for entry in /* /.[!.]*; do
  case "$entry" in /proc|/sys|/dev|/etc|/run|/var|/tmp) continue ;; esac
  if [ -L "$entry" ]; then
    [ -L "$root$entry" ] || cp -P "$entry" "$root$entry"
  elif [ -d "$entry" ]; then
    [ -d "$root$entry" ] || mkdir "$root$entry"
    mount -o rbind,ro "$entry" "$root$entry"
  fi
done
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"`;

function visible(folder: string): string {
  const inside = `"$root"${quote(folder)}`;
  return `[ -d ${inside} ] || mkdir -p ${inside}; mount -o bind,rw ${quote(folder)} ${inside}`;
}

/** Makes the prepared root the namespace's, drops the machine's, and lets the mounts of a node's containers be seen by all of its processes. */
const ENTER_ROOT = `
cd "$root"
mkdir -p .machine
pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
mount --make-rshared /`;
