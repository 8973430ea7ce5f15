// What a containerd cluster needs of the machine, as data: pure. Every kernel-visible name holds the cluster's id.
import { createHash } from "node:crypto";
import path from "node:path";
import type { NodePrograms } from "../node-programs.ts";

export const POD_CIDR = "10.244.0.0/16";
export const SERVICE_CIDR = "10.96.0.0/16";
/** All fabrics lie in here. */
export const FABRIC_CIDR = "198.18.0.0/15";
const FIRST_CONTROL_OCTET = 10;
const FIRST_NODE_OCTET = 100;
const MAX_CONTROL_MEMBERS = 90;
export const MAX_CONTAINERD_NODES = 100;

export class PlatformError extends Error {
  override readonly name = "PlatformError";
}

/** The name of the cluster `name` of the folder `home` in the kernel: `<name>-<6 hex digits>`. */
export function platformId(name: string, home: string): string {
  const digest = createHash("sha256").update(`${home}/${name}`).digest("hex");
  return `${name}-${digest.slice(0, 6)}`;
}

/** Where a cluster's pins, sockets and node-local /run folders are. */
export const runDir = (id: string): string => `/run/coxswain/${id}`;
/** The cluster's cgroup, relative to each hierarchy's root. */
export const clusterCgroup = (id: string): string => `/coxswain-${id}`;
export const FABRIC = "fabric";
/** Where a member with a way out asks for names: the resolver of its user-mode network stack. */
export const EGRESS_RESOLVER = "10.0.2.3";

export interface PlanOptions {
  readonly id: string;
  readonly dataDir: string;
  /** One for each process of the control plane and each add-on: "etcd-0", "api-server-0", "gateway", … */
  readonly controlMembers: readonly string[];
  readonly nodes: number;
  readonly programs: NodePrograms;
  /** Host folders that nodes see, writable, at the same path, besides `dataDir`. Mounted where a node has its own: under /tmp, /var, /run or /etc. */
  readonly visible?: readonly string[];
  /** Whether members and pods may have a way out (see egress.ts). Needs `programs` with slirp4netns. */
  readonly egress?: boolean;
}

export interface MemberPlan {
  readonly name: string;
  /** On the fabric. */
  readonly address: string;
  /** Its interface's other end, in the fabric's namespace. */
  readonly port: string;
  /** What `ip` is to do in the member's network namespace, a line each. */
  readonly network: readonly string[];
  /** Absolute under /proc/sys → value. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Where its processes belong, relative to the hierarchy's root. */
  readonly cgroup: string;
}

export interface NodePlan extends MemberPlan {
  readonly podCidr: string;
  /** The kubelet's --cgroup-root. */
  readonly podCgroupRoot: string;
  /** The node's part of the data folder: root, etc, var, tmp. */
  readonly dir: string;
  /** What the node sees as /run. */
  readonly run: string;
  /** Path inside the node → text. */
  readonly files: Readonly<Record<string, string>>;
}

export interface PlatformPlan {
  readonly id: string;
  readonly dataDir: string;
  readonly subnet: string;
  readonly controlMembers: readonly MemberPlan[];
  readonly nodes: readonly NodePlan[];
  readonly visible: readonly string[];
  readonly egress: boolean;
  readonly programs: NodePrograms;
}

/** The plan of a cluster's platform. Throws PlatformError for more nodes or members than there are addresses. */
export function planPlatform(options: PlanOptions): PlatformPlan {
  const { id, nodes: count, controlMembers, programs } = options;
  if (count > MAX_CONTAINERD_NODES)
    throw new PlatformError(`${count} nodes with containerd: at most ${MAX_CONTAINERD_NODES} fit one machine's fabric`);
  if (controlMembers.length > MAX_CONTROL_MEMBERS)
    throw new PlatformError(`${controlMembers.length} control plane processes: at most ${MAX_CONTROL_MEMBERS}`);
  const prefix = fabricPrefix(id);
  const control = controlMembers.map((name, at) => planControlMember(id, prefix, name, at, count));
  const nodes = Array.from({ length: count }, (_, at) => planNode(options, prefix, at + 1));
  const names = [...control, ...nodes].map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined || names.includes(FABRIC))
    throw new PlatformError(`two members are called ${twice ?? FABRIC}`);
  const hosts = hostsFile([...control, ...nodes]);
  return {
    id,
    dataDir: options.dataDir,
    subnet: `${prefix}.0/24`,
    controlMembers: control,
    nodes: nodes.map((node) => ({ ...node, files: { ...node.files, "/etc/hosts": hosts } })),
    visible: [
      ...new Set([options.dataDir, ...[...programFolders(programs), ...(options.visible ?? [])].filter(hiddenInNodes)]),
    ],
    egress: options.egress ?? false,
    programs,
  };
}

/** The first three octets of the fabric: one of the 512 /24s of 198.18.0.0/15. Two clusters may share it: fabrics are not connected. */
function fabricPrefix(id: string): string {
  const pick = createHash("sha256").update(id).digest().readUInt16BE(0) % 512;
  return `198.${18 + (pick >> 8)}.${pick & 255}`;
}

const nodeAddress = (prefix: string, node: number): string => `${prefix}.${FIRST_NODE_OCTET + node}`;
const podCidrOf = (node: number): string => `10.244.${node}.0/24`;

/** Of the address alone: neighbours know where a member is that went and came back. Locally administered. */
function hardwareAddress(prefix: string, octet: number): string {
  const bytes = [...prefix.split(".").map(Number), octet].map((byte) => byte.toString(16).padStart(2, "0"));
  return ["02", "00", ...bytes].join(":");
}

function link(prefix: string, octet: number, fabricPin: string): string[] {
  return [
    "link set lo up",
    `link add eth0 address ${hardwareAddress(prefix, octet)} type veth peer name m${octet} netns ${fabricPin}`,
    `address add ${prefix}.${octet}/24 broadcast ${prefix}.255 dev eth0`,
    "link set eth0 up",
  ];
}

function podRoutes(prefix: string, nodes: number, except: number): string[] {
  const routes = Array.from({ length: nodes }, (_, at) => at + 1)
    .filter((node) => node !== except)
    .map((node) => `route add ${podCidrOf(node)} via ${nodeAddress(prefix, node)}`);
  // An address that nobody has fails at once, and never looks for another way out, not even where there is one.
  return [...routes, `route add unreachable ${POD_CIDR}`, `route add unreachable ${FABRIC_CIDR}`];
}

const fabricPin = (id: string): string => `${runDir(id)}/net/${FABRIC}`;

function planControlMember(id: string, prefix: string, name: string, at: number, nodes: number): MemberPlan {
  const octet = FIRST_CONTROL_OCTET + at;
  return {
    name,
    address: `${prefix}.${octet}`,
    port: `m${octet}`,
    network: [
      ...link(prefix, octet, fabricPin(id)),
      ...podRoutes(prefix, nodes, 0),
      // No kube-proxy here: an api-server resolves a Service itself.
      `route add unreachable ${SERVICE_CIDR}`,
    ],
    sysctls: {},
    cgroup: `${clusterCgroup(id)}/${name}`,
  };
}

function planNode({ id, dataDir, nodes, egress }: PlanOptions, prefix: string, number: number): NodePlan {
  const octet = FIRST_NODE_OCTET + number;
  const name = `node-${number}`;
  const podCgroupRoot = `${clusterCgroup(id)}/${name}`;
  return {
    name,
    address: `${prefix}.${octet}`,
    port: `m${octet}`,
    network: [
      ...link(prefix, octet, fabricPin(id)),
      ...podRoutes(prefix, nodes, number),
      // Translation of a Service address happens after the first look at the routes: there must be one.
      `route add ${SERVICE_CIDR} dev eth0`,
    ],
    sysctls: {
      "net/ipv4/ip_forward": "1",
      // Replies of translated connections come from another interface than routes would say.
      "net/ipv4/conf/all/rp_filter": "0",
      "net/ipv4/conf/default/rp_filter": "0",
      "net/ipv4/conf/eth0/rp_filter": "0",
      // A redirect would teach pods a way around the node that translates for them.
      "net/ipv4/conf/all/send_redirects": "0",
      "net/ipv4/conf/default/send_redirects": "0",
      "net/ipv4/conf/eth0/send_redirects": "0",
    },
    // A leaf: cgroup v2 allows no process beside the pods' cgroups.
    cgroup: `${podCgroupRoot}/daemons`,
    podCidr: podCidrOf(number),
    podCgroupRoot,
    dir: path.join(dataDir, "nodes", name),
    run: `${runDir(id)}/nodes/${name}`,
    files: {
      "/etc/hostname": `${name}\n`,
      "/etc/machine-id": `${createHash("sha256").update(`${id}/${name}`).digest("hex").slice(0, 32)}\n`,
      "/etc/resolv.conf": egress
        ? `nameserver ${EGRESS_RESOLVER}\n`
        : "# Nodes have no resolver: there is no way out.\n",
    },
  };
}

function hostsFile(members: readonly MemberPlan[]): string {
  return ["127.0.0.1 localhost", "::1 localhost", ...members.map(({ address, name }) => `${address} ${name}`), ""].join(
    "\n",
  );
}

function programFolders(programs: NodePrograms): string[] {
  const files = [programs.containerd, programs.runc, programs.nft, programs.iptables, programs.busybox];
  const folders = [...files.map((file) => path.dirname(file)), programs.cniBinDir];
  const libraries = [programs.env["LD_LIBRARY_PATH"], programs.env["PATH"]].flatMap((list) => list?.split(":") ?? []);
  return [...folders, ...libraries];
}

/** True of a folder in whose place a node has its own. */
function hiddenInNodes(folder: string): boolean {
  return /^\/(tmp|var|run|etc)\//.test(folder);
}
