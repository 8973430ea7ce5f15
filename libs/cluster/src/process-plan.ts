// From a spec and a site to the list of processes with their command lines: pure.
import path from "node:path";
import { componentFlags, etcdFlags, type FlagInput } from "./process-flags.ts";
import { isOurs, memberOf, planSlots, slotKey, type Component, type ProcessPorts, type Slot } from "./process-slots.ts";
import { loopbackSite, type Endpoint, type Program, type Site } from "./site.ts";

export { slotKey } from "./process-slots.ts";
export type { Component } from "./process-slots.ts";

export interface ProcessSpec {
  readonly component: Component;
  /** Unique among the component's processes: "0", "1", …, or the node's name. */
  readonly instance: string;
  /** The node, or the range of nodes, that the process serves. */
  readonly node: string;
  /** On 127.0.0.1 of this machine. */
  readonly ports: ProcessPorts;
  /** Where the process itself listens, where that is not 127.0.0.1: the gateway leads there. */
  readonly inside?: Endpoint;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly log: string;
}

export interface Binaries {
  readonly node: string;
  /** The folder of the bundles. */
  readonly dist: string;
  /** Undefined where the cluster has no etcd. */
  readonly etcd: string | undefined;
  readonly natsServer: string;
}

export interface PlanInput extends Omit<FlagInput, "site"> {
  /** Where the processes live; on 127.0.0.1 where unset. */
  readonly site?: Site;
  readonly binaries: Binaries;
  /** On 127.0.0.1, one entry for every slot. */
  readonly ports: ReadonlyMap<string, ProcessPorts>;
}

/**
 * Of nats-server's heap: with the runtime's own setting two fifths of its time goes into collecting the copies of messages
 * that it makes for each listener. Measured with 700 listeners: 5.3 ms of CPU a change instead of 9, and 260 MB instead of 130.
 */
const NATS_MEMORY = { GOGC: "400", GOMEMLIMIT: "512MiB" };
/**
 * MB of room for what lives as long as a request. It is collected when it is full: with V8's 16 MB an eighth of the time of an
 * api-server with thousands of requests on their way goes there, with this half as much. Who has less to do never uses it.
 */
const YOUNG_GENERATION = "--max-semi-space-size=64";
const BUSY: readonly Component[] = ["api-server", "scheduler"];

/** Every process with its command line, those of nodes that may yet come included. */
export function planProcesses(given: PlanInput): ProcessSpec[] {
  const input = { ...given, site: given.site ?? loopbackSite(given.ports) };
  return planSlots(input.spec).map((slot) => {
    const { component, instance, node } = slot;
    const ports = input.ports.get(slotKey(component, instance));
    if (ports === undefined) throw new Error(`no ports for ${component}/${instance}`);
    // What has no port of its own listens nowhere.
    const listens = ports.main === 0 ? undefined : input.site.endpoint(slot);
    const inside = listens === undefined || listens.address === "127.0.0.1" ? {} : { inside: listens };
    const log = path.join(input.paths.logs, `${component}-${instance}.log`);
    return { component, instance, node, ports, ...inside, ...program(slot, input), log };
  });
}

function program(slot: Slot, input: FlagInput & Pick<PlanInput, "binaries">): Program {
  if (slot.component === "containerd") return input.site.containerd(slot.node);
  if (slot.component === "egress") return input.site.egress(memberOf(slot));
  if (slot.component === "image-puller") return input.site.imagePuller(pullerCommand(input));
  return input.site.place(slot, commandLine(slot, input));
}

function pullerCommand({ binaries, paths }: Pick<PlanInput, "binaries" | "paths">): Program {
  const bundle = path.join(binaries.dist, "image-puller.mjs");
  const cache = path.join(paths.dataDir, "image-blobs");
  return { command: binaries.node, args: ["--enable-source-maps", bundle, `--cache-dir=${cache}`] };
}

/** The program, started in its socket's folder: etcd makes it there, and does not start where one that was killed has left it. */
function withSocket(socket: string, { command, args }: Program): Program {
  const script = 'cd "$1" && rm -f "$2" && shift 2 && exec "$@"';
  const where = [path.dirname(socket), path.basename(socket)];
  return { command: "/bin/sh", args: ["-c", script, "with-socket", ...where, command, ...args] };
}

function commandLine(slot: Slot, input: FlagInput & Pick<PlanInput, "binaries">): Program {
  const { binaries, paths } = input;
  if (slot.component === "etcd") {
    if (binaries.etcd === undefined) throw new Error("the program etcd was not looked for");
    return withSocket(paths.etcdSocket, { command: binaries.etcd, args: etcdFlags(slot, input) });
  }
  if (slot.component === "nats") {
    return { command: binaries.natsServer, args: ["-c", paths.natsConfig], env: NATS_MEMORY };
  }
  if (!isOurs(slot.component)) throw new Error(`${slot.component} has no command line here`);
  const bundle = path.join(binaries.dist, `${slot.component}.mjs`);
  const busy = BUSY.includes(slot.component) ? [YOUNG_GENERATION] : [];
  return { command: binaries.node, args: [...busy, bundle, ...componentFlags(slot, input)] };
}
