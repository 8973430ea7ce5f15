// Builders of valid objects for tests: what a test does not name gets a sensible value, so that a test says only what it is
// about. Objects come without server-set metadata, ready for create.
import type {
  Container,
  Deployment,
  EndpointSlice,
  Namespace,
  Node,
  ObjectMeta,
  OwnerReference,
  Pod,
  PodSpec,
  PodStatus,
  ReplicaSet,
  Service,
  ServicePort,
  Taint,
} from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";

export const TEST_NAMESPACE = "default";

/** What all builders take. `meta` wins over what the other fields give. */
export interface Named {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly owner?: KubeObject;
  readonly meta?: ObjectMeta;
}

/** The controller reference to `owner`, which must have a name and kind. */
export function controllerRef(owner: KubeObject): OwnerReference {
  const { name = "", uid = "" } = owner.metadata ?? {};
  const { apiVersion = "v1", kind = "" } = owner;
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

function metaOf(named: Named, fallback: string, namespaced = true): ObjectMeta {
  const { name = fallback, namespace = TEST_NAMESPACE, labels, annotations, owner, meta } = named;
  return {
    name,
    ...(namespaced ? { namespace } : {}),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(owner === undefined ? {} : { ownerReferences: [controllerRef(owner)] }),
    ...meta,
  };
}

export interface PodInput extends Named {
  readonly node?: string;
  /** Requests of the one container, as in { cpu: "100m" }. */
  readonly requests?: Record<string, string>;
  readonly image?: string;
  readonly containers?: Container[];
  readonly spec?: Partial<PodSpec>;
  readonly status?: PodStatus;
}

function podSpec(input: PodInput): PodSpec {
  const { node, requests, image = "example.test/app:1" } = input;
  const container: Container = { name: "app", image, ...(requests === undefined ? {} : { resources: { requests } }) };
  return {
    containers: input.containers ?? [container],
    ...(node === undefined ? {} : { nodeName: node }),
    ...input.spec,
  };
}

export function makePod(input: PodInput = {}): Pod {
  const { status } = input;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: metaOf(input, "pod"),
    spec: podSpec(input),
    ...(status === undefined ? {} : { status }),
  };
}

/** The status of a pod whose containers run and are ready. */
export function runningStatus(pod: Pod, podIP = "10.244.0.2"): PodStatus {
  const at = "2026-01-01T00:00:00Z";
  const condition = (type: string) => ({ type, status: "True", lastProbeTime: undefined, lastTransitionTime: at });
  return {
    phase: "Running",
    podIP,
    podIPs: [{ ip: podIP }],
    startTime: at,
    conditions: ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition),
    containerStatuses: (pod.spec?.containers ?? []).map(({ name, image = "" }) => ({
      name,
      image,
      imageID: image,
      ready: true,
      started: true,
      restartCount: 0,
      state: { running: { startedAt: at } },
    })),
  };
}

export interface NodeInput extends Named {
  /** { cpu: "4", memory: "8Gi", pods: "110" } where unset. */
  readonly allocatable?: Record<string, string>;
  readonly taints?: Taint[];
  readonly unschedulable?: boolean;
  readonly ready?: boolean;
  readonly podCIDR?: string;
}

export function makeNode(input: NodeInput = {}): Node {
  const {
    allocatable = { cpu: "4", memory: "8Gi", pods: "110" },
    taints,
    unschedulable,
    ready = true,
    podCIDR,
  } = input;
  const name = input.name ?? "node";
  const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", ...input.labels };
  const at = "2026-01-01T00:00:00Z";
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: metaOf({ ...input, labels }, name, false),
    spec: {
      ...(taints === undefined ? {} : { taints }),
      ...(unschedulable === undefined ? {} : { unschedulable }),
      ...(podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] }),
    },
    status: {
      capacity: allocatable,
      allocatable,
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: at, lastHeartbeatTime: at }],
    },
  };
}

export interface WorkloadInput extends Named {
  readonly replicas?: number;
  /** Labels of the pods, and the selector; { app: <name> } where unset. */
  readonly podLabels?: Record<string, string>;
  readonly image?: string;
}

function workloadSpec(input: WorkloadInput, fallback: string) {
  const labels = input.podLabels ?? { app: input.name ?? fallback };
  const { replicas = 1, image } = input;
  const template = { metadata: { labels }, spec: podSpec({ image }) };
  return { replicas, selector: { matchLabels: labels }, template };
}

export function makeDeployment(
  input: WorkloadInput & { readonly spec?: Partial<Deployment["spec"]> } = {},
): Deployment {
  const spec = { ...workloadSpec(input, "deployment"), ...input.spec };
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: metaOf(input, "deployment"), spec };
}

export function makeReplicaSet(
  input: WorkloadInput & { readonly spec?: Partial<ReplicaSet["spec"]> } = {},
): ReplicaSet {
  const spec = { ...workloadSpec(input, "replicaset"), ...input.spec };
  return { apiVersion: "apps/v1", kind: "ReplicaSet", metadata: metaOf(input, "replicaset"), spec };
}

export interface ServiceInput extends Named {
  readonly selector?: Record<string, string>;
  readonly ports?: ServicePort[];
  readonly clusterIP?: string;
  readonly spec?: Partial<Service["spec"]>;
}

export function makeService(input: ServiceInput = {}): Service {
  const { selector, clusterIP, ports = [{ port: 80, protocol: "TCP", targetPort: 8080 }] } = input;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metaOf(input, "service"),
    spec: {
      type: "ClusterIP",
      ports,
      ...(selector === undefined ? {} : { selector }),
      ...(clusterIP === undefined ? {} : { clusterIP, clusterIPs: [clusterIP] }),
      ...input.spec,
    },
  };
}

export interface EndpointSliceInput extends Named {
  readonly service?: string;
  readonly addresses?: readonly string[];
  readonly port?: number;
  readonly portName?: string;
}

/** A slice of ready IPv4 endpoints. */
export function makeEndpointSlice(input: EndpointSliceInput = {}): EndpointSlice {
  const { service = "service", addresses = [], port = 8080, portName = "" } = input;
  const labels = { "kubernetes.io/service-name": service, ...input.labels };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: metaOf({ ...input, labels }, `${service}-slice`),
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
    })),
    ports: [{ name: portName, port, protocol: "TCP" }],
  };
}

export function makeNamespace(input: Named = {}): Namespace {
  return { apiVersion: "v1", kind: "Namespace", metadata: metaOf(input, TEST_NAMESPACE, false) };
}
