// The text of a container's /etc/hosts. Pure.
// https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/
import type { HostAlias } from "@coxswain/api";

const LOOPBACK = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "fe00::0\tip6-mcastprefix",
  "fe00::1\tip6-allnodes",
  "fe00::2\tip6-allrouters",
];

/** Of a pod with an address of its own; `names` are the pod's, the full one first. */
export function podHosts(ip: string, names: readonly string[], aliases: readonly HostAlias[]): string {
  const own = ip === "" ? [] : [[ip, ...names].join("\t")];
  return `${["# Kubernetes-managed hosts file.", ...LOOPBACK, ...own].join("\n")}\n${aliasLines(aliases)}`;
}

/** Of a pod on its node's network, from the node's own file. */
export function nodeHosts(nodeFile: string, aliases: readonly HostAlias[]): string {
  return `# Kubernetes-managed hosts file (host network).\n${nodeFile}${aliasLines(aliases)}`;
}

function aliasLines(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return "";
  const lines = aliases.map(({ ip, hostnames = [] }) => [ip, ...hostnames].join("\t"));
  return `\n# Entries added by HostAliases.\n${lines.join("\n")}\n`;
}
