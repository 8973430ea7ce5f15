// Which flags each process gets is decided here and nowhere else: pure.
import path from "node:path";
import { nodeCapacity, type ClusterPaths, type ClusterSpec } from "./cluster-spec.ts";
import { providerId } from "./node-names.ts";
import { EGRESS_RESOLVER } from "./platform/platform-plan.ts";
import { hasPuller, planSlots, type Component, type Slot } from "./process-slots.ts";
import { pullerSocketInside, type Endpoint, type NodeFacts, type Site } from "./site.ts";

export interface FlagInput {
  readonly spec: ClusterSpec;
  readonly paths: ClusterPaths;
  readonly site: Site;
}

/** Inside a real node. */
export const CONTAINER_RUNTIME_ENDPOINT = "unix:///run/containerd/containerd.sock";
export const CLUSTER_DNS_IP = "10.96.0.10";
export const CLUSTER_DOMAIN = "cluster.local";

const url = ({ address, ports }: Endpoint): string => `https://${address}:${ports.main}`;

/** host:port of every process of a component: of their gRPC ports, or of the main ones. */
function addresses({ spec, site }: FlagInput, component: Component, port: "main" | "grpc"): string[] {
  return planSlots(spec)
    .filter((slot) => slot.component === component)
    .map((slot) => site.endpoint(slot))
    .map(({ address, ports }) => `${address}:${ports[port]}`);
}

/** Whose health a ComponentStatus tells; several of a kind are numbered, as etcd's members are. */
function componentAddresses(input: FlagInput): string[] {
  return (["scheduler", "controller-manager"] as const).flatMap((component) => {
    const all = addresses(input, component, "main");
    return all.map((address, at) => `${all.length === 1 ? component : `${component}-${at}`}=${address}`);
  });
}

/** By a socket a commit costs etcd a fifth less CPU than by TLS, and the api-server a tenth. */
function etcdAddresses(input: FlagInput): string[] {
  const all = addresses(input, "etcd", "main");
  return input.site.sockets ? all.map(() => `unix:${input.paths.etcdSocket}`) : all;
}

/** Of etcd started in the cluster's folder: that is where it makes its socket. */
export function etcdFlags(slot: Slot, { paths, site }: FlagInput): string[] {
  const endpoint = site.endpoint(slot);
  const listen = [url(endpoint), ...(site.sockets ? [`unix://${path.basename(paths.etcdSocket)}`] : [])];
  const pki = (file: string): string => path.join(paths.pki, file);
  return [
    "--name=coxswain",
    `--data-dir=${paths.etcd}`,
    `--listen-client-urls=${listen.join()}`,
    `--advertise-client-urls=${url(endpoint)}`,
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

/** The flags of one of our processes. */
export function componentFlags(slot: Slot, input: FlagInput): string[] {
  return [...sharedFlags(slot, input), ...ownFlags(slot, input)];
}

function sharedFlags(slot: Slot, input: FlagInput): string[] {
  const { spec, paths, site } = input;
  const pki = (file: string): string => path.join(paths.pki, file);
  const client = clientCertificate(slot);
  const serving = servingCertificate(slot);
  const { address, ports } = site.endpoint(slot);
  const flags = [
    `--instance=${slot.instance}`,
    `--listen-address=${address}`,
    `--port=${ports.main}`,
    `--grpc-port=${ports.grpc}`,
    `--ca-file=${pki("ca.crt")}`,
    `--cert-file=${pki(`${client}.crt`)}`,
    `--key-file=${pki(`${client}.key`)}`,
    `--tls-cert-file=${pki(`${serving}.crt`)}`,
    `--tls-private-key-file=${pki(`${serving}.key`)}`,
    ...addresses(input, "nats", "main").map((one) => `--nats=${one}`),
    `--log-level=${spec.logLevel}`,
  ];
  if (spec.enableChaos) flags.push("--enable-chaos");
  if (slot.component !== "api-server")
    flags.push(...addresses(input, "api-server", "grpc").map((one) => `--api-server=${one}`));
  return flags;
}

/** Pod addresses: a /24 a node up to 256 nodes; beyond that a wider range, and a /25 (126 addresses) a node. */
export function podAddressing(nodes: number): { clusterCidr: string; nodeMask: number } {
  return nodes <= 256 ? { clusterCidr: "10.244.0.0/16", nodeMask: 24 } : { clusterCidr: "10.240.0.0/12", nodeMask: 25 };
}

function ownFlags(slot: Slot, input: FlagInput): string[] {
  const { spec, paths, site } = input;
  const { clusterCidr, nodeMask } = podAddressing(nodeCapacity(spec));
  switch (slot.component) {
    case "api-server":
      return [
        `--storage=${spec.storage}`,
        ...etcdAddresses(input).map((one) => `--etcd=${one}`),
        `--service-account-key-file=${path.join(paths.pki, "sa.key")}`,
        `--advertise-address=${site.endpoint(slot).address}`,
        ...componentAddresses(input).map((one) => `--component=${one}`),
        ...spec.apiServerFlags,
      ];
    case "kubelet":
      return [
        `--nodes=${slot.node}`,
        ...(spec.autoscale === undefined ? [] : [`--provider-id=${providerId(spec.name, slot.node)}`]),
        ...kubeletFlags(slot.node, site.node(slot.node), spec),
        ...spec.kubeletFlags,
      ];
    case "kube-proxy":
      return [`--nodes=${slot.node}`, `--proxy-mode=${spec.proxyMode}`, `--cluster-cidr=${clusterCidr}`];
    case "controller-manager":
      return [
        `--cluster-cidr=${clusterCidr}`,
        `--node-cidr-mask-size=${nodeMask}`,
        `--service-account-private-key-file=${path.join(paths.pki, "sa.key")}`,
        `--cluster-signing-cert-file=${path.join(paths.pki, "ca.crt")}`,
        `--cluster-signing-key-file=${path.join(paths.pki, "ca.key")}`,
      ];
    case "cluster-dns":
      return [
        `--cluster-ip=${CLUSTER_DNS_IP}`,
        `--domain=${CLUSTER_DOMAIN}`,
        // Without it names of the outside are refused.
        ...(spec.egress === "nat" ? [`--upstream=${EGRESS_RESOLVER}`] : []),
      ];
    case "containerd":
    case "egress":
    case "etcd":
    case "gateway":
    case "image-puller":
    case "metrics-server":
    case "nats":
      return [];
    case "scheduler":
      return [...spec.schedulerFlags];
    case "cluster-autoscaler":
      return [
        "--cloud-provider=externalgrpc",
        `--cloud-config=${paths.cloudConfig}`,
        ...addresses(input, "scheduler", "grpc").map((one) => `--scheduler=${one}`),
        ...spec.autoscalerFlags,
      ];
    default:
      return slot.component satisfies never;
  }
}

function kubeletFlags(name: string, node: NodeFacts | undefined, spec: ClusterSpec): string[] {
  if (node === undefined) return ["--runtime=simulated"];
  return [
    "--runtime=containerd",
    `--container-runtime-endpoint=${CONTAINER_RUNTIME_ENDPOINT}`,
    "--root-dir=/var/lib/kubelet",
    "--pod-logs-dir=/var/log/pods",
    `--cgroup-root=${node.podCgroupRoot}`,
    `--cluster-dns=${CLUSTER_DNS_IP}`,
    `--cluster-domain=${CLUSTER_DOMAIN}`,
    "--cni-conf-dir=/etc/cni/net.d",
    `--pod-cidr=${node.podCidr}`,
    `--advertise-address=${node.address}`,
    `--capacity-cpu=${node.cpu}`,
    `--capacity-memory=${node.memory}`,
    ...(hasPuller(spec) ? [`--image-puller=unix://${pullerSocketInside(name)}`] : []),
  ];
}
