// The containerd configuration of a node: pure. The same text on every node, because inside a node all paths are standard.
import type { NodePrograms } from "../node-programs.ts";

export type Snapshotter = "overlayfs" | "native";

export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";
/** Inside a node. */
export const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
const PAUSE_IMAGE = "coxswain.local/pause:1";

/** Plugins that no pod needs: each costs start-up time, warns on this kernel, or (opt) makes folders outside the node's own. */
const DISABLED_PLUGINS = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
];

/** TOML, version 2. */
export function containerdConfig(programs: NodePrograms, snapshotter: Snapshotter): string {
  const text = (value: string): string => JSON.stringify(value);
  const cri = '[plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [${DISABLED_PLUGINS.map(text).join(", ")}]

[grpc]
  address = ${text(CONTAINERD_SOCKET)}

${cri}]
  sandbox_image = ${text(PAUSE_IMAGE)}
  # Without CAP_SYS_RESOURCE a lower oom_score_adj than one's own cannot be set.
  restrict_oom_score_adj = true
  # The node's own /run: so that the pods' namespaces are the node's, too.
  netns_mounts_under_state_dir = true
  # Streams go over the loopback of the node, to its kubelet.
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

${cri}.cni]
  bin_dir = ${text(programs.cniBinDir)}
  conf_dir = "/etc/cni/net.d"

${cri}.containerd]
  snapshotter = ${text(snapshotter)}
  default_runtime_name = "runc"

${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

${cri}.containerd.runtimes.runc.options]
  BinaryName = ${text(programs.runc)}
  SystemdCgroup = false
`;
}
