// Where the processes of a cluster live: on this machine's loopback (simulated nodes), or each in the namespaces of its
// member (containerd). The plan of processes asks a site and knows no difference. Pure, given the platform.
import path from "node:path";
import { egressCommand } from "./platform/egress.ts";
import { joiningShell } from "./platform/enter-member.ts";
import { nodeImageStore } from "./node-image-store.ts";
import type { NodeShare } from "./platform/node-share.ts";
import type { Platform } from "./platform/create-platform.ts";
import { clusterCgroup, runDir } from "./platform/platform-plan.ts";
import { memberOf, slotKey, type ProcessPorts, type Slot } from "./process-slots.ts";

export interface Endpoint {
  readonly address: string;
  readonly ports: ProcessPorts;
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** On top of what every process gets. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a kubelet is told about its node. */
export interface NodeFacts extends NodeShare {
  readonly podCidr: string;
  readonly podCgroupRoot: string;
  readonly address: string;
}

export interface Site {
  /**
   * Whether processes may meet at sockets in the cluster's folder. Not where each has a network of its own: what goes between them
   * is then to be seen there, and to be cut.
   */
  readonly sockets: boolean;
  /** Where the process listens, and where others find it. */
  endpoint(slot: Slot): Endpoint;
  /** The program, started where it belongs. */
  place(slot: Slot, program: Program): Program;
  containerd(node: string): Program;
  /** A member's way out. */
  egress(member: string): Program;
  /** The image puller for all nodes: on the machine itself. */
  imagePuller(program: Program): Program;
  /** Undefined where nodes are simulated. */
  node(name: string): NodeFacts | undefined;
}

/** Where a node's kubelet finds the image puller, in the node. */
export const pullerSocketInside = (node: string): string => `/run/coxswain/puller-${node}.sock`;
/** The same, as the machine sees it: one folder of sockets is in every node. */
export const pullerSocket = (id: string, node: string): string =>
  path.join(runDir(id), "host", path.basename(pullerSocketInside(node)));

const LOOPBACK = "127.0.0.1";

/** Every process listens on 127.0.0.1, on the port that it was given. */
export function loopbackSite(ports: ReadonlyMap<string, ProcessPorts>): Site {
  const none = (node: string): never => {
    throw new Error(`${node} is simulated: it runs no program of its own`);
  };
  return {
    sockets: true,
    endpoint: ({ component, instance }) => {
      const given = ports.get(slotKey(component, instance));
      if (given === undefined) throw new Error(`no ports for ${component}/${instance}`);
      return { address: LOOPBACK, ports: given };
    },
    place: (_slot, program) => program,
    containerd: none,
    egress: none,
    imagePuller: () => none("a node"),
    node: () => undefined,
  };
}

/** Every process has its member's address on the fabric, and the well-known ports. */
export function fabricSite(platform: Platform, share: NodeShare): Site {
  return {
    sockets: false,
    endpoint: (slot) => ({ address: platform.address(memberOf(slot)), ports: slot.wanted }),
    place: (slot, { command, args, env }) => {
      const entry = platform.enter(memberOf(slot));
      const given = slot.node === "" ? env : { ...platform.nodeEnv, ...env };
      return { command: entry.command, args: [...entry.args, command, ...args], env: given };
    },
    containerd: (node) => ({ ...platform.containerdCommand(node), env: platform.nodeEnv }),
    egress: (member) => ({ ...egressCommand(platform.plan, member), env: platform.nodeEnv }),
    imagePuller: ({ command, args }) => {
      const { id, nodes, programs } = platform.plan;
      const shell = joiningShell(`${clusterCgroup(id)}/image-puller`);
      const doors = nodes.map(({ name }) => {
        const { snapshotter = "" } = nodeImageStore(platform, name);
        return `--node=${[name, pullerSocket(id, name), platform.containerdSocket(name), snapshotter].join()}`;
      });
      const all = [...shell.args, command, ...args, `--ctr=${programs.ctr}`, ...doors];
      return { command: shell.command, args: all, env: platform.nodeEnv };
    },
    node: (name) => {
      const plan = platform.plan.nodes.find((node) => node.name === name);
      if (plan === undefined) throw new Error(`the platform has no node ${name}`);
      return { ...share, podCidr: plan.podCidr, podCgroupRoot: plan.podCgroupRoot, address: plan.address };
    },
  };
}
