// From a spec to the list of processes: pure. Which flags each process gets is decided here and nowhere else.
import path from "node:path";
import type { ClusterPaths, ClusterSpec } from "./cluster-spec.ts";

export type Component = "etcd" | "nats" | "api-server" | "scheduler" | "controller-manager" | "kubelet" | "kube-proxy";

/** Start order; stopping goes the other way. */
export const COMPONENTS: readonly Component[] = [
  "etcd",
  "nats",
  "api-server",
  "scheduler",
  "controller-manager",
  "kubelet",
  "kube-proxy",
];

/** Which components end together, in which order: followers first, then the api-servers, then what they stand on. */
export function stopWaves(components: readonly string[]): string[][] {
  const base = ["api-server", "nats", "etcd"];
  // A supervisor goes first of all: it would start the others again.
  const followers = components.filter((component) => !base.includes(component) && component !== "supervisor");
  return [["supervisor"], followers, ...base.map((component) => [component])].filter((wave) =>
    wave.some((component) => components.includes(component)),
  );
}

export interface ProcessPorts {
  /** HTTPS for health and metrics (the REST API of the api-server, the client port of etcd and NATS). */
  readonly main: number;
  /** 0 where the process serves no gRPC of ours. */
  readonly grpc: number;
}

export interface ProcessSpec {
  readonly component: Component;
  /** Unique among the component's processes: "0", "1", …, or the node's name. */
  readonly instance: string;
  /** The node, or the range of nodes, that the process serves. */
  readonly node: string;
  readonly ports: ProcessPorts;
  readonly command: string;
  readonly args: readonly string[];
  readonly log: string;
}

export interface Binaries {
  readonly node: string;
  /** The folder of the bundles. */
  readonly dist: string;
  readonly etcd: string;
  readonly natsServer: string;
}

export interface PlanInput {
  readonly spec: ClusterSpec;
  readonly paths: ClusterPaths;
  readonly binaries: Binaries;
  readonly ports: ReadonlyMap<string, ProcessPorts>;
}

interface Slot {
  readonly component: Component;
  readonly instance: string;
  readonly node: string;
  readonly wanted: ProcessPorts;
}

/** Up to this many nodes have processes of their own; more share processes. */
export const MAX_UNPACKED_NODES = 5;
const NODES_PER_PACK = 5_000;

export const slotKey = (component: string, instance: string): string => `${component}/${instance}`;

/** Node names, or ranges of them as kubelet and kube-proxy take them: "node-1" or "node-[1-5000]". */
export function nodeGroups(nodes: number): string[] {
  if (nodes <= MAX_UNPACKED_NODES) return Array.from({ length: nodes }, (_, at) => `node-${at + 1}`);
  const groups: string[] = [];
  for (let first = 1; first <= nodes; first += NODES_PER_PACK) {
    groups.push(`node-[${first}-${Math.min(nodes, first + NODES_PER_PACK - 1)}]`);
  }
  return groups;
}

/** What the cluster consists of, with the well-known ports that each process would like. */
export function planSlots(spec: ClusterSpec): Slot[] {
  const several = (component: Component, howMany: number, wanted: ProcessPorts): Slot[] =>
    Array.from({ length: howMany }, (_, at) => ({ component, instance: String(at), node: "", wanted }));
  const groups = nodeGroups(spec.nodes);
  // A packed process is named by its first node, so that the name is easy to type.
  const onNodes = (component: Component, wanted: ProcessPorts): Slot[] =>
    groups.map((node) => ({
      component,
      instance: node.includes("[") ? `pack-${node.replace(/\D*(\d+).*/, "$1")}` : node,
      node,
      wanted,
    }));
  return [
    ...several("etcd", 1, { main: 2379, grpc: 0 }),
    ...several("nats", 1, { main: 4222, grpc: 0 }),
    ...several("api-server", spec.apiServers, { main: 6443, grpc: 6444 }),
    ...several("scheduler", spec.schedulers, { main: 10259, grpc: 10269 }),
    ...several("controller-manager", spec.controllerManagers, { main: 10257, grpc: 10267 }),
    ...onNodes("kubelet", { main: 10250, grpc: 10260 }),
    ...onNodes("kube-proxy", { main: 10256, grpc: 10266 }),
  ];
}

/** Every process with its command line. `input.ports` has an entry for every slot. */
export function planProcesses(input: PlanInput): ProcessSpec[] {
  return planSlots(input.spec).map((slot) => {
    const ports = input.ports.get(slotKey(slot.component, slot.instance));
    if (ports === undefined) throw new Error(`no ports for ${slot.component}/${slot.instance}`);
    const { command, args } = commandLine(slot, ports, input);
    return {
      component: slot.component,
      instance: slot.instance,
      node: slot.node,
      ports,
      command,
      args,
      log: path.join(input.paths.logs, `${slot.component}-${slot.instance}.log`),
    };
  });
}

function commandLine(slot: Slot, ports: ProcessPorts, input: PlanInput): { command: string; args: string[] } {
  if (slot.component === "etcd") return { command: input.binaries.etcd, args: etcdArgs(ports, input) };
  if (slot.component === "nats") return { command: input.binaries.natsServer, args: ["-c", input.paths.natsConfig] };
  const args = [...sharedArgs(slot, ports, input), ...ownArgs(slot, input)];
  return {
    command: input.binaries.node,
    args: ["--enable-source-maps", path.join(input.binaries.dist, `${slot.component}.mjs`), ...args],
  };
}

function etcdArgs(ports: ProcessPorts, { paths }: PlanInput): string[] {
  const url = `https://127.0.0.1:${ports.main}`;
  const pki = (file: string): string => path.join(paths.pki, file);
  return [
    "--name=coxswain",
    `--data-dir=${paths.etcd}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    "--listen-peer-urls=https://127.0.0.1:0",
    "--initial-advertise-peer-urls=https://127.0.0.1:0",
    "--initial-cluster=coxswain=https://127.0.0.1:0",
    `--trusted-ca-file=${pki("ca.crt")}`,
    `--cert-file=${pki("etcd.crt")}`,
    `--key-file=${pki("etcd.key")}`,
    "--client-cert-auth",
    `--peer-trusted-ca-file=${pki("ca.crt")}`,
    `--peer-cert-file=${pki("etcd.crt")}`,
    `--peer-key-file=${pki("etcd.key")}`,
    "--peer-client-cert-auth",
    "--quota-backend-bytes=8589934592",
    "--log-level=warn",
    "--logger=zap",
  ];
}

/** The certificate that a process shows to those it calls. */
export function clientCertificate(slot: Pick<Slot, "component" | "node">): string {
  if (slot.component === "api-server") return "api-server-client";
  if (slot.component !== "kubelet") return slot.component;
  return slot.node.includes("[") ? `kubelet-pack-${slot.node.replaceAll(/[[\]]/g, "")}` : `kubelet-${slot.node}`;
}

/** The certificate that a process shows to its callers. */
export function servingCertificate(slot: Pick<Slot, "component" | "node">): string {
  return slot.component === "api-server" ? "api-server" : clientCertificate(slot);
}

function sharedArgs(slot: Slot, ports: ProcessPorts, { spec, paths, ports: all }: PlanInput): string[] {
  const pki = (file: string): string => path.join(paths.pki, file);
  const client = clientCertificate(slot);
  const serving = servingCertificate(slot);
  const args = [
    `--instance=${slot.instance}`,
    "--listen-address=127.0.0.1",
    `--port=${ports.main}`,
    `--grpc-port=${ports.grpc}`,
    `--ca-file=${pki("ca.crt")}`,
    `--cert-file=${pki(`${client}.crt`)}`,
    `--key-file=${pki(`${client}.key`)}`,
    `--tls-cert-file=${pki(`${serving}.crt`)}`,
    `--tls-private-key-file=${pki(`${serving}.key`)}`,
    `--nats=127.0.0.1:${all.get(slotKey("nats", "0"))?.main ?? 0}`,
    `--log-level=${spec.logLevel}`,
  ];
  if (spec.enableChaos) args.push("--enable-chaos");
  if (slot.component !== "api-server") args.push(...apiServerArgs(spec, all));
  return args;
}

function apiServerArgs(spec: ClusterSpec, all: PlanInput["ports"]): string[] {
  return Array.from(
    { length: spec.apiServers },
    (_, at) => `--api-server=127.0.0.1:${all.get(slotKey("api-server", String(at)))?.grpc ?? 0}`,
  );
}

/** Pod addresses: a /24 a node up to 256 nodes; beyond that a wider range, and a /25 (126 addresses) a node. */
export function podAddressing(nodes: number): { clusterCidr: string; nodeMask: number } {
  return nodes <= 256 ? { clusterCidr: "10.244.0.0/16", nodeMask: 24 } : { clusterCidr: "10.240.0.0/12", nodeMask: 25 };
}

function ownArgs(slot: Slot, { spec, paths, ports: all }: PlanInput): string[] {
  const pki = (file: string): string => path.join(paths.pki, file);
  const { clusterCidr, nodeMask } = podAddressing(spec.nodes);
  switch (slot.component) {
    case "api-server":
      return [
        `--etcd=127.0.0.1:${all.get(slotKey("etcd", "0"))?.main ?? 0}`,
        `--service-account-key-file=${pki("sa.key")}`,
        "--advertise-address=127.0.0.1",
      ];
    case "kubelet":
      return [`--nodes=${slot.node}`, "--runtime=simulated"];
    case "kube-proxy":
      return [`--nodes=${slot.node}`, "--proxy-mode=simulated", `--cluster-cidr=${clusterCidr}`];
    case "controller-manager":
      return [`--cluster-cidr=${clusterCidr}`, `--node-cidr-mask-size=${nodeMask}`];
    case "etcd":
    case "nats":
    case "scheduler":
      return [];
    default:
      return slot.component satisfies never;
  }
}
