// Every invariant can fail: a violation is planted, and it is found; what looks like it and is allowed passes.
import type { KubeObject } from "@coxswain/apimachinery";
import { storageKey } from "@coxswain/api-server/watch-cache/stored-form";
import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Actor } from "../src/actor.ts";
import { ClusterState } from "../src/cluster-state.ts";
import { Checker } from "../src/invariants/checker.ts";
import { createSimLegacySigner } from "../src/sim-signer.ts";

/** A store that holds what it is told, checked at each commit. */
class Store {
  readonly checker = new Checker();
  readonly #state = new ClusterState();
  #rv = 1024n;
  #ms = 0;

  put(group: string, resource: string, object: KubeObject, options: { actor?: Actor; rv?: bigint } = {}): void {
    const { name = "", namespace = "" } = object.metadata ?? {};
    const key = storageKey({ group, resource }, namespace, name);
    const rv = options.rv ?? (this.#rv += 1024n);
    this.#commit(key, Buffer.from(JSON.stringify(object)), rv, options.actor);
  }

  remove(resource: string, name: string, actor?: Actor): void {
    this.#commit(storageKey({ group: "", resource }, "default", name), undefined, (this.#rv += 1024n), actor);
  }

  /** Of an object in no namespace. */
  drop(group: string, resource: string, name: string): void {
    this.#commit(storageKey({ group, resource }, "", name), undefined, (this.#rv += 1024n), undefined);
  }

  get broken(): string[] {
    return this.checker.violations.map((one) => one.invariant);
  }

  #commit(key: string, value: Buffer | undefined, rv: bigint, actor: Actor | undefined): void {
    const change = this.#state.apply(++this.#ms, { key, value, rv, actor });
    if (change !== undefined) this.checker.observe(change, this.#state);
  }
}

/** Only what the invariants read; the types ask for more. */
type Loose = KubeObject & { spec?: unknown; status?: unknown };

const meta = (name: string, owner?: string) => ({
  name,
  namespace: "default",
  uid: `uid-${name}`,
  ...(owner === undefined
    ? {}
    : { ownerReferences: [{ apiVersion: "v1", kind: "Owner", name: owner, uid: `uid-${owner}`, controller: true }] }),
});

const pod = (name: string, more: { node?: string; owner?: string; ready?: boolean; cpu?: string } = {}): Loose => ({
  metadata: meta(name, more.owner),
  spec: {
    ...(more.node === undefined ? {} : { nodeName: more.node }),
    containers: [{ name: "c", resources: { requests: { cpu: more.cpu ?? "100m" } } }],
  },
  status: { phase: "Running", conditions: [{ type: "Ready", status: more.ready === true ? "True" : "False" }] },
});

const deployment = (generation: number, observed: number, replicas: number, done = false): Loose => ({
  metadata: { ...meta("web"), generation },
  spec: { replicas, strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } },
  status: {
    observedGeneration: observed,
    ...(done ? { replicas, updatedReplicas: replicas, availableReplicas: replicas } : {}),
  },
});

const replicaSet = (name: string, generation: number, observed: number, replicas: number): Loose => ({
  metadata: { ...meta(name, "web"), generation },
  spec: { replicas },
  status: { observedGeneration: observed },
});

const lease = (holderIdentity: string, leaseTransitions: number): Loose => ({
  metadata: { ...meta("kube-scheduler"), namespace: "kube-system" },
  spec: { holderIdentity, leaseTransitions },
});

const leader = (identity: string, transitions: number): Actor => ({
  process: "scheduler-1",
  identity,
  lease: "kube-system/kube-scheduler",
  fence: { lease: "kube-system/kube-scheduler", holder: identity, transitions },
});

describe("pods and nodes", () => {
  test("a pod that is bound again breaks bound-once", () => {
    const store = new Store();
    store.put("", "pods", pod("a"));
    store.put("", "pods", pod("a", { node: "n1" }));
    expect(store.broken).toEqual([]);
    store.put("", "pods", pod("a", { node: "n2" }));
    expect(store.broken).toEqual(["bound-once"]);
  });

  test("a node that is given more than it has breaks no-overcommit", () => {
    const store = new Store();
    const allocatable = { cpu: "1", memory: "1Gi", pods: "10" };
    const node: Loose = { metadata: { name: "n1", uid: "n" }, status: { allocatable } };
    store.put("", "nodes", node);
    store.put("", "pods", pod("a", { node: "n1", cpu: "600m" }));
    store.put("", "pods", pod("b", { node: "n1", cpu: "400m" }));
    expect(store.broken).toEqual([]);
    store.put("", "pods", pod("c", { node: "n1", cpu: "1m" }));
    expect(store.broken).toEqual(["no-overcommit"]);
  });
});

describe("objects of every kind", () => {
  test("a version that does not grow breaks versions-grow", () => {
    const store = new Store();
    store.put("", "pods", pod("a"), { rv: 9_000n });
    store.put("", "pods", pod("b"), { rv: 9_000n });
    expect(store.broken).toEqual(["versions-grow"]);
  });

  test("a uid that is given twice, or changes, breaks uids-are-unique", () => {
    const again = new Store();
    again.put("", "pods", pod("a"));
    again.remove("pods", "a");
    again.put("", "pods", pod("a"));
    expect(again.broken).toEqual(["uids-are-unique"]);
    const changed = new Store();
    changed.put("", "pods", pod("a"));
    changed.put("", "pods", { ...pod("a"), metadata: { ...meta("a"), uid: "another" } });
    expect(changed.broken).toEqual(["uids-are-unique"]);
  });

  test("a write of a leader of the past breaks leaders-are-fenced", () => {
    const store = new Store();
    store.put("coordination.k8s.io", "leases", lease("one", 3));
    store.put("", "pods", pod("a"), { actor: leader("one", 3) });
    expect(store.broken).toEqual([]);
    store.put("", "pods", pod("b"), { actor: leader("one", 2) });
    store.put("", "pods", pod("c"), { actor: leader("two", 3) });
    expect(store.broken).toEqual(["leaders-are-fenced", "leaders-are-fenced"]);
  });
});

describe("workloads", () => {
  test("wishes above replicas + maxSurge break no-over-surge", () => {
    const store = new Store();
    store.put("apps", "deployments", deployment(1, 1, 4));
    store.put("apps", "replicasets", replicaSet("old", 1, 1, 4));
    store.put("apps", "replicasets", replicaSet("new", 1, 1, 1));
    expect(store.broken).toEqual([]);
    store.put("apps", "replicasets", replicaSet("new", 2, 1, 2));
    expect(store.broken).toEqual(["no-over-surge"]);
  });

  test("a ReplicaSet that a client gave up on counts towards no-over-surge once it was written again", () => {
    const store = new Store();
    const gaveUp: Actor = { process: "controller-manager-1", identity: "", lease: "", abandoned: true };
    store.put("apps", "deployments", deployment(1, 1, 4));
    store.put("apps", "replicasets", replicaSet("late", 1, 1, 4), { actor: gaveUp });
    store.put("apps", "replicasets", replicaSet("new", 1, 1, 4));
    store.put("apps", "replicasets", replicaSet("late", 1, 1, 4));
    expect(store.broken).toEqual([]);
    store.put("apps", "replicasets", replicaSet("new", 2, 1, 5));
    expect(store.broken).toEqual(["no-over-surge"]);
  });

  test("a limit that shrank counts once the controller has seen it", () => {
    const store = new Store();
    store.put("apps", "deployments", deployment(1, 1, 4));
    store.put("apps", "replicasets", replicaSet("old", 1, 1, 3));
    store.put("apps", "deployments", deployment(2, 1, 2));
    store.put("apps", "replicasets", replicaSet("old", 2, 1, 4));
    expect(store.broken).toEqual([]);
    store.put("apps", "deployments", deployment(2, 2, 2));
    store.put("apps", "replicasets", replicaSet("old", 3, 1, 5));
    expect(store.broken).toEqual(["no-over-surge"]);
  });

  test("a pod too many breaks no-over-creation", () => {
    const store = new Store();
    store.put("apps", "replicasets", replicaSet("old", 1, 1, 1));
    store.put("", "pods", pod("a", { owner: "old" }));
    expect(store.broken).toEqual([]);
    store.put("", "pods", pod("b", { owner: "old" }));
    expect(store.broken).toEqual(["no-over-creation"]);
  });

  test("a create that a thawed server carries out late is allowed, for a name that was there", () => {
    const late: Actor = { process: "controller-manager-1", identity: "", lease: "", abandoned: true };
    const store = new Store();
    store.put("apps", "replicasets", replicaSet("old", 1, 1, 1));
    store.put("", "pods", pod("a", { owner: "old" }));
    store.remove("pods", "a");
    store.put("", "pods", pod("b", { owner: "old" }));
    store.put(
      "",
      "pods",
      { ...pod("a", { owner: "old" }), metadata: { ...meta("a", "old"), uid: "uid-late" } },
      { actor: late },
    );
    expect(store.broken).toEqual([]);
    store.put("", "pods", pod("c", { owner: "old" }), { actor: late });
    expect(store.broken).toEqual(["no-over-creation"]);
  });

  test("a ready pod that goes breaks stays-available, unless its node was disturbed", () => {
    const ready = (): Store => {
      const store = new Store();
      store.put("apps", "replicasets", replicaSet("old", 1, 1, 2));
      store.put("", "pods", pod("a", { owner: "old", ready: true }));
      store.put("", "pods", pod("b", { owner: "old", ready: true }));
      store.put("apps", "deployments", deployment(1, 1, 2, true));
      return store;
    };
    const store = ready();
    store.remove("pods", "a");
    expect(store.broken).toEqual(["stays-available"]);
    const disturbed = ready();
    disturbed.checker.availability.disturb(1_000);
    disturbed.remove("pods", "a");
    expect(disturbed.broken).toEqual([]);
  });
});

describe("StatefulSets", () => {
  const stateful = (status: object): Loose => {
    const made = pod("db-0", { node: "n1", owner: "db" });
    const ownerReferences = made.metadata!.ownerReferences!.map((one) => ({ ...one, kind: "StatefulSet" }));
    return { ...made, metadata: { ...made.metadata, ownerReferences }, status };
  };
  const by = (process: string): Actor => ({ process, identity: "", lease: "" });
  const running = { phase: "Running", startTime: "2026-01-01T00:00:00Z" };

  test("a running pod that somebody but its kubelet takes away breaks stateful-identity-once", () => {
    const store = new Store();
    store.put("", "pods", stateful(running));
    store.remove("pods", "db-0", by("controller-manager-1"));
    expect(store.broken).toEqual(["stateful-identity-once"]);
  });

  test.each([
    ["its own kubelet", running, "kubelet-n1"],
    ["anybody, once it has ended", { phase: "Failed" }, "controller-manager-1"],
    ["anybody, before its kubelet has begun", { phase: "Pending" }, "controller-manager-1"],
  ])("%s may", (_, status, process) => {
    const store = new Store();
    store.put("", "pods", stateful(status));
    store.remove("pods", "db-0", by(process));
    expect(store.broken).toEqual([]);
  });
});

describe("Jobs", () => {
  const job = (spec: object, status: object): Loose => ({ metadata: meta("batch"), spec, status });
  const worker = (name: string, phase: string, index?: string): Loose => {
    const made = pod(name, { owner: "batch" });
    const ownerReferences = made.metadata!.ownerReferences!.map((one) => ({ ...one, kind: "Job" }));
    const annotations: Record<string, string> =
      index === undefined ? {} : { "batch.kubernetes.io/job-completion-index": index };
    return { ...made, metadata: { ...made.metadata, ownerReferences, annotations }, status: { phase } };
  };
  const put = (store: Store, spec: object, status: object): void => store.put("batch", "jobs", job(spec, status));

  test("a count of pods that have not ended breaks job-counts-are-exact", () => {
    const store = new Store();
    store.put("", "pods", worker("a", "Succeeded"));
    store.put("", "pods", worker("b", "Running"));
    put(store, {}, { uncountedTerminatedPods: { succeeded: ["uid-a"] } });
    put(store, {}, { succeeded: 1 });
    expect(store.broken).toEqual([]);
    put(store, {}, { succeeded: 1, uncountedTerminatedPods: { succeeded: ["uid-b"] } });
    expect(new Set(store.broken)).toEqual(new Set(["job-counts-are-exact"]));
  });

  test("a pod that is counted twice breaks job-counts-are-exact", () => {
    const store = new Store();
    store.put("", "pods", worker("a", "Failed"));
    store.put("", "pods", worker("b", "Failed"));
    put(store, {}, { failed: 1, uncountedTerminatedPods: { failed: ["uid-b"] } });
    expect(store.broken).toEqual([]);
    put(store, {}, { uncountedTerminatedPods: { failed: ["uid-b", "uid-b"] } });
    expect(store.broken).toEqual(["job-counts-are-exact"]);
  });

  test("an index counts once, however many pods it took", () => {
    const store = new Store();
    const spec = { completionMode: "Indexed" };
    store.put("", "pods", worker("a", "Succeeded", "0"));
    store.put("", "pods", worker("b", "Succeeded", "0"));
    put(store, spec, { succeeded: 1 });
    expect(store.broken).toEqual([]);
    put(store, spec, { succeeded: 2 });
    expect(store.broken).toEqual(["job-counts-are-exact"]);
  });

  test("a pod too many, or a second one of an index, breaks jobs-never-overwork", () => {
    const store = new Store();
    put(store, { parallelism: 2 }, {});
    store.put("", "pods", worker("a", "Running", "0"));
    store.put("", "pods", worker("b", "Running", "1"));
    expect(store.broken).toEqual([]);
    store.put("", "pods", worker("c", "Running", "2"));
    expect(store.broken).toEqual(["jobs-never-overwork"]);
    const indexed = new Store();
    put(indexed, { parallelism: 2 }, {});
    indexed.put("", "pods", worker("a", "Running", "0"));
    indexed.put("", "pods", worker("b", "Running", "0"));
    expect(indexed.broken).toEqual(["jobs-never-overwork"]);
  });
});

describe("owners", () => {
  const collector: Actor = { process: "controller-manager-1", identity: "", lease: "" };
  const map = (name: string, owner?: string): Loose => ({ metadata: meta(name, owner) });

  test("a child that is collected before its owner is gone breaks orphans-are-kept", () => {
    const store = new Store();
    store.put("", "configmaps", map("owner"));
    store.put("", "configmaps", map("child", "owner"));
    store.remove("configmaps", "child", collector);
    expect(store.broken).toEqual(["orphans-are-kept"]);
  });

  test("what has no owner is never collected, what lost it is, and a person may do as they please", () => {
    const store = new Store();
    store.put("", "configmaps", map("owner"));
    store.put("", "configmaps", map("child", "owner"));
    store.remove("configmaps", "owner");
    store.remove("configmaps", "child", collector);
    store.put("", "configmaps", map("alone"));
    expect(store.broken).toEqual([]);
    store.remove("configmaps", "alone", collector);
    expect(store.broken).toEqual(["orphans-are-kept"]);
  });

  test("what a namespace takes along is not collected", () => {
    const store = new Store();
    store.put("", "configmaps", map("alone"));
    store.put("", "namespaces", {
      metadata: { name: "default", uid: "ns" },
      status: { phase: "Terminating" },
    } as Loose);
    store.remove("configmaps", "alone", collector);
    expect(store.broken).toEqual([]);
  });
});

describe("endpoints", () => {
  const address = (ip: string, name: string) => ({ ip, targetRef: { kind: "Pod", uid: `uid-${name}` } });
  const endpoints = (...addresses: object[]): Loose => ({ metadata: meta("web"), subsets: [{ addresses }] }) as Loose;
  const slice = (ip: string, name: string, ready: boolean): Loose =>
    ({
      metadata: meta("web-1"),
      endpoints: [{ addresses: [ip], conditions: { ready }, targetRef: { kind: "Pod", uid: `uid-${name}` } }],
    }) as Loose;
  const at = (name: string, ip: string, ready: boolean): Loose => {
    const made = pod(name, { node: "n1", ready });
    return { ...made, status: { ...(made.status as object), podIP: ip } };
  };

  test("a pod that was never ready, or is elsewhere, breaks endpoints-are-ready-pods", () => {
    const store = new Store();
    store.put("", "pods", at("a", "10.0.0.1", true));
    store.put("", "pods", at("b", "10.0.0.2", false));
    store.put("discovery.k8s.io", "endpointslices", slice("10.0.0.1", "a", true));
    store.put("discovery.k8s.io", "endpointslices", slice("10.0.0.2", "b", false));
    store.put("", "endpoints", endpoints(address("10.0.0.1", "a")));
    expect(store.broken).toEqual([]);
    store.put("discovery.k8s.io", "endpointslices", slice("10.0.0.2", "b", true));
    store.put("", "endpoints", endpoints(address("10.0.0.9", "a")));
    expect(store.broken).toEqual(["endpoints-are-ready-pods", "endpoints-are-ready-pods"]);
  });
});

describe("claims", () => {
  const claim = (name: string, volumeName?: string): Loose => ({
    metadata: {
      ...meta(name),
      annotations: volumeName === undefined ? {} : { "pv.kubernetes.io/bind-completed": "yes" },
    },
    spec: volumeName === undefined ? {} : { volumeName },
  });
  const volume = (name: string, of?: string, node?: string): Loose => {
    const term = { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }] };
    return {
      metadata: { name, uid: `uid-volume-${name}` },
      spec: {
        ...(of === undefined ? {} : { claimRef: { name: of, uid: `uid-${of}` } }),
        ...(node === undefined ? {} : { nodeAffinity: { required: { nodeSelectorTerms: [term] } } }),
      },
    };
  };
  const user = (node?: string): Loose => {
    const made = pod("user", node === undefined ? {} : { node });
    const volumes = [{ name: "d", persistentVolumeClaim: { claimName: "c" } }];
    return { ...made, spec: { ...(made.spec as object), volumes } };
  };
  const put = (store: Store, ...claims: Loose[]): void =>
    claims.forEach((one) => store.put("", "persistentvolumeclaims", one));
  const hold = (store: Store, ...volumes: Loose[]): void =>
    volumes.forEach((one) => store.put("", "persistentvolumes", one));
  const broken = ["claims-bound-once"];

  test("a claim that changes its volume breaks claims-bound-once, and so do two with one", () => {
    const moved = new Store();
    put(moved, claim("c"), claim("c", "v"), claim("c", "v"));
    expect(moved.broken).toEqual([]);
    put(moved, claim("c", "w"));
    expect(moved.broken).toEqual(broken);
    const shared = new Store();
    put(shared, claim("c", "v"), claim("d", "v"));
    expect(shared.broken).toEqual(broken);
  });

  test("a volume that changes its claim breaks claims-bound-once, and so do two of one claim", () => {
    const moved = new Store();
    hold(moved, volume("v"), volume("v", "c"), volume("w"));
    expect(moved.broken).toEqual([]);
    hold(moved, volume("v", "d"));
    expect(moved.broken).toEqual(broken);
    const twice = new Store();
    hold(twice, volume("v", "c"), volume("w", "c"));
    expect(twice.broken).toEqual(broken);
  });

  test("a pod that is bound before its claim, or where its volume is not, breaks claims-bound-once", () => {
    const early = new Store();
    put(early, claim("c"));
    early.put("", "pods", user());
    expect(early.broken).toEqual([]);
    early.put("", "pods", user("n1"));
    expect(early.broken).toEqual(broken);
    const bind = (at: string): string[] => {
      const store = new Store();
      for (const name of ["n1", "n2"]) {
        store.put("", "nodes", { metadata: { name, uid: name, labels: { "kubernetes.io/hostname": name } } });
      }
      hold(store, volume("v", "c", "n1"));
      put(store, claim("c", "v"));
      store.put("", "pods", user(at));
      return store.broken;
    };
    expect(bind("n1")).toEqual([]);
    expect(bind("n2")).toEqual(broken);
  });
});

describe("rules of the cluster", () => {
  const labels = {
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
  };
  const said = (...ips: string[]): Loose =>
    ({ metadata: meta("web"), subsets: [{ addresses: ips.map((ip) => ({ ip })) }] }) as Loose;
  const mirror = (ip: string, ready: boolean): Loose =>
    ({ metadata: { ...meta("web-1"), labels }, endpoints: [{ addresses: [ip], conditions: { ready } }] }) as Loose;

  test("a mirror that says what was never said breaks mirrors-add-nothing", () => {
    const store = new Store();
    store.put("", "endpoints", said("192.0.2.1"));
    store.put("", "endpoints", said("192.0.2.2"));
    store.put("discovery.k8s.io", "endpointslices", mirror("192.0.2.1", true));
    expect(store.broken).toEqual([]);
    store.put("discovery.k8s.io", "endpointslices", mirror("192.0.2.2", false));
    store.put("discovery.k8s.io", "endpointslices", mirror("192.0.2.3", true));
    expect(store.broken).toEqual(["mirrors-add-nothing", "mirrors-add-nothing"]);
  });

  test("an object too many, once the quota has counted, breaks quotas-hold", () => {
    const store = new Store();
    const hard = { "count/secrets": "1" };
    const quota = (used?: string): Loose => ({
      metadata: meta("few"),
      spec: { hard },
      status: used === undefined ? {} : { used: { "count/secrets": used } },
    });
    const secret = (name: string): void => store.put("", "secrets", { metadata: meta(name) });
    store.put("", "resourcequotas", quota());
    secret("a");
    secret("b");
    store.put("", "resourcequotas", quota("2"));
    secret("b");
    store.remove("secrets", "a");
    expect(store.broken).toEqual([]);
    secret("c");
    expect(store.broken).toEqual(["quotas-hold"]);
  });

  const range = (name: string, cidr: string): Loose => ({
    metadata: { name, uid: `uid-range-${name}` },
    spec: { cidrs: [cidr] },
  });
  const service = (name: string, ip: string): Loose => ({
    metadata: meta(name),
    spec: { clusterIP: ip, clusterIPs: [ip] },
  });
  const RANGES = "networking.k8s.io";

  test("an address out of no range breaks service-addresses-are-of-a-range", () => {
    const store = new Store();
    store.put(RANGES, "servicecidrs", range("a", "10.0.0.0/24"));
    store.put("", "services", service("one", "10.0.0.7"));
    store.put("", "services", service("headless", "None"));
    expect(store.broken).toEqual([]);
    store.put("", "services", service("two", "10.0.1.7"));
    expect(store.broken).toEqual(["service-addresses-are-of-a-range"]);
  });

  test("a range that goes while a Service is in it breaks service-addresses-are-of-a-range", () => {
    const store = new Store();
    store.put(RANGES, "servicecidrs", range("a", "10.0.0.0/24"));
    store.put(RANGES, "servicecidrs", range("b", "10.0.0.0/16"));
    store.put("", "services", service("one", "10.0.0.7"));
    store.drop(RANGES, "servicecidrs", "a");
    expect(store.broken).toEqual([]);
    store.drop(RANGES, "servicecidrs", "b");
    expect(store.broken).toEqual(["service-addresses-are-of-a-range"]);
  });

  test("an address of two Services breaks service-addresses-are-unique", () => {
    const store = new Store();
    store.put(RANGES, "servicecidrs", range("a", "10.0.0.0/24"));
    store.put("", "services", service("one", "10.0.0.7"));
    store.put("", "services", service("one", "10.0.0.7"));
    expect(store.broken).toEqual([]);
    store.put("", "services", service("two", "10.0.0.7"));
    expect(store.broken).toEqual(["service-addresses-are-unique"]);
  });
});

describe("devices", () => {
  const result = (device: string, adminAccess = false) => ({
    request: "r",
    driver: "a.example",
    pool: "p",
    device,
    ...(adminAccess ? { adminAccess } : {}),
  });
  const claim = (name: string, results?: readonly object[], consumers: readonly string[] = []): Loose => ({
    metadata: meta(name),
    spec: {},
    status: {
      ...(results === undefined ? {} : { allocation: { devices: { results } } }),
      reservedFor: consumers.map((one) => ({ resource: "pods", name: one, uid: `uid-${one}` })),
    },
  });
  const put = (store: Store, object: Loose): void => store.put("resource.k8s.io", "resourceclaims", object);

  test("a device of two claims breaks devices-given-once; admin access and a device that was given back do not", () => {
    const store = new Store();
    put(store, claim("a", [result("d1")]));
    put(store, claim("b", [result("d1", true)]));
    put(store, claim("c"));
    put(store, claim("a"));
    put(store, claim("c", [result("d1")]));
    expect(store.broken).toEqual([]);
    put(store, claim("d", [result("d1")]));
    expect(store.broken).toEqual(["devices-given-once"]);
  });

  test("other devices than a claim had, and devices taken from a pod that runs, break it too", () => {
    const changed = new Store();
    put(changed, claim("a", [result("d1")]));
    put(changed, claim("a", [result("d2")]));
    expect(changed.broken).toEqual(["devices-given-once"]);
    const taken = new Store();
    taken.put("", "pods", pod("p", { node: "n1" }));
    put(taken, claim("a", [result("d1")], ["p"]));
    put(taken, claim("a"));
    expect(taken.broken).toEqual(["devices-given-once"]);
  });
});

describe("papers", () => {
  const manager: Actor = { process: "controller-manager-1", identity: "", lease: "" };
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const request = (types: readonly string[], certificate?: string): Loose => ({
    metadata: { name: "jane", uid: "uid-jane" },
    status: { conditions: types.map((type) => ({ type })), certificate },
  });
  const put = (store: Store, object: Loose): void =>
    store.put("certificates.k8s.io", "certificatesigningrequests", object);

  test("a certificate of what is denied, another one, and a decision that is undone break certificates-follow-decisions", () => {
    const good = new Store();
    put(good, request([]));
    put(good, request(["Approved"]));
    put(good, request(["Approved"], "one"));
    expect(good.broken).toEqual([]);
    put(good, request(["Approved"], "two"));
    expect(good.broken).toEqual(["certificates-follow-decisions"]);
    const denied = new Store();
    put(denied, request(["Denied"]));
    put(denied, request(["Denied"], "one"));
    expect(denied.broken).toEqual(["certificates-follow-decisions"]);
    const undone = new Store();
    put(undone, request(["Denied"]));
    put(undone, request([]));
    expect(undone.broken).toEqual(["certificates-follow-decisions"]);
  });

  const bootstrap = (id: string, rest: object = {}): Loose & { type: string; data: object } => ({
    metadata: meta(`bootstrap-token-${id}`),
    type: "bootstrap.kubernetes.io/token",
    data: { "token-id": base64(id), "token-secret": base64("secret"), ...rest },
  });
  const info = (kubeconfig: string, signed: string, secret = "secret"): Loose & { data: object } => {
    const header = Buffer.from('{"alg":"HS256","kid":"a"}').toString("base64url");
    const content = Buffer.from(signed).toString("base64url");
    const end = createHmac("sha256", secret).update(`${header}.${content}`).digest("base64url");
    return { metadata: meta("cluster-info"), data: { kubeconfig, "jws-kubeconfig-a": `${header}..${end}` } };
  };

  test("a signature over other words or by another secret breaks bootstrap-tokens-are-true", () => {
    const store = new Store();
    store.put("", "secrets", bootstrap("a"));
    store.put("", "configmaps", info("one", "one"), { actor: manager });
    store.put("", "configmaps", info("two", "one"));
    expect(store.broken).toEqual([]);
    store.put("", "configmaps", info("two", "one"), { actor: manager });
    expect(store.broken).toEqual(["bootstrap-tokens-are-true"]);
    const other = new Store();
    other.put("", "secrets", bootstrap("a"));
    other.put("", "configmaps", info("one", "one", "another"), { actor: manager });
    expect(other.broken).toEqual(["bootstrap-tokens-are-true"]);
  });

  test("a token without an end that is taken away breaks bootstrap-tokens-are-true", () => {
    const store = new Store();
    store.put("", "secrets", bootstrap("a", { expiration: base64("2026-01-01T00:00:00Z") }));
    store.remove("secrets", "bootstrap-token-a", manager);
    store.put("", "secrets", bootstrap("b"));
    expect(store.broken).toEqual([]);
    store.remove("secrets", "bootstrap-token-b", manager);
    expect(store.broken).toEqual(["bootstrap-tokens-are-true"]);
  });

  const token = (text: string, more: { uid?: string; labels?: Record<string, string> } = {}): Loose => {
    const annotations = {
      "kubernetes.io/service-account.name": "robot",
      "kubernetes.io/service-account.uid": more.uid ?? "uid-robot",
    };
    return {
      metadata: { ...meta("robot-token"), annotations, labels: more.labels ?? {} },
      type: "kubernetes.io/service-account-token",
      data: { token: base64(text) },
    } as Loose;
  };
  const sign = (uid: string): Promise<string> =>
    createSimLegacySigner().sign({
      namespace: "default",
      serviceAccount: { name: "robot", uid },
      secret: "robot-token",
    });

  test("a token of another account, and one that is replaced, break account-tokens-are-kept", async () => {
    const store = new Store();
    store.put("", "secrets", token(""));
    store.put("", "secrets", token(await sign("uid-robot")));
    expect(store.broken).toEqual([]);
    store.put("", "secrets", token("legacy.another.sim"));
    expect(store.broken).toEqual(["account-tokens-are-kept"]);
    const foreign = new Store();
    foreign.put("", "secrets", token(await sign("uid-before")));
    expect(foreign.broken).toEqual(["account-tokens-are-kept"]);
  });

  test("a token that is taken away while its account is there, unless it was marked, breaks account-tokens-are-kept", () => {
    const idle = { "kubernetes.io/legacy-token-invalid-since": "2025-01-01" };
    const store = new Store();
    store.put("", "secrets", token("x"));
    store.remove("secrets", "robot-token", manager);
    store.put("", "serviceaccounts", { metadata: meta("robot") });
    store.put("", "secrets", {
      ...token("x", { labels: idle }),
      metadata: { ...token("x", { labels: idle }).metadata, uid: "u2" },
    });
    store.remove("secrets", "robot-token", manager);
    expect(store.broken).toEqual([]);
    store.put("", "secrets", { ...token("x"), metadata: { ...token("x").metadata, uid: "u3" } });
    store.remove("secrets", "robot-token", manager);
    expect(store.broken).toEqual(["account-tokens-are-kept"]);
  });

  test("a token that is marked though it is in use breaks account-tokens-are-kept", () => {
    const labels = (used: string): Record<string, string> => ({
      "kubernetes.io/legacy-token-invalid-since": "2026-01-01",
      "kubernetes.io/legacy-token-last-used": used,
    });
    const store = new Store();
    store.put("", "secrets", token("x"));
    store.put("", "secrets", token("x", { labels: labels("2024-12-30") }));
    expect(store.broken).toEqual([]);
    const used = new Store();
    used.put("", "secrets", token("x"));
    used.put("", "secrets", token("x", { labels: labels("2025-12-30") }));
    expect(used.broken).toEqual(["account-tokens-are-kept"]);
  });

  test("a status ahead of its policy, or of one before, breaks policy-status-keeps-up", () => {
    const policy = (generation: number, observedGeneration: number): Loose => ({
      metadata: { name: "p", uid: "uid-p", generation },
      status: { observedGeneration },
    });
    const write = (store: Store, object: Loose): void =>
      store.put("admissionregistration.k8s.io", "validatingadmissionpolicies", object);
    const store = new Store();
    write(store, policy(1, 0));
    write(store, policy(2, 1));
    write(store, policy(2, 2));
    expect(store.broken).toEqual([]);
    write(store, policy(2, 1));
    write(store, policy(2, 3));
    expect(store.broken).toEqual(["policy-status-keeps-up", "policy-status-keeps-up"]);
  });
});

describe("disks and lost nodes", () => {
  const manager: Actor = { process: "controller-manager-1", identity: "", lease: "" };
  const disk = (mode: string): Loose => ({
    metadata: { name: "disk", uid: "uid-disk" },
    spec: { accessModes: [mode], csi: { driver: "d.example", volumeHandle: "h" } },
  });
  const attachment = (nodeName: string, attached = false): Loose => ({
    metadata: { name: `on-${nodeName}`, uid: `uid-on-${nodeName}` },
    spec: { attacher: "d.example", nodeName, source: { persistentVolumeName: "disk" } },
    status: { attached },
  });
  const attach = (store: Store, object: Loose, actor?: Actor): void =>
    store.put("storage.k8s.io", "volumeattachments", object, actor === undefined ? {} : { actor });

  test("a disk that is asked for on two nodes breaks disks-are-attached-once, unless it may be shared", () => {
    const store = new Store();
    store.put("", "persistentvolumes", disk("ReadWriteOnce"));
    attach(store, attachment("n1"));
    attach(store, attachment("n1", true));
    store.drop("storage.k8s.io", "volumeattachments", "on-n1");
    attach(store, attachment("n2"));
    expect(store.broken).toEqual([]);
    attach(store, { ...attachment("n1"), metadata: { name: "on-n1", uid: "uid-again" } });
    expect(store.broken).toEqual(["disks-are-attached-once"]);
    const shared = new Store();
    shared.put("", "persistentvolumes", disk("ReadWriteMany"));
    for (const node of ["n1", "n2"]) attach(shared, attachment(node));
    expect(shared.broken).toEqual([]);
  });

  test("a pod that runs where its disk is not attached breaks pods-run-with-their-disks", () => {
    const user = (phase: string): Loose => ({
      metadata: meta("user"),
      spec: { nodeName: "n1", volumes: [{ name: "d", persistentVolumeClaim: { claimName: "mine" } }] },
      status: { phase },
    });
    const started = (attached: boolean): string[] => {
      const store = new Store();
      store.put("", "persistentvolumes", disk("ReadWriteOnce"));
      store.put("", "persistentvolumeclaims", { metadata: meta("mine"), spec: { volumeName: "disk" } } as Loose);
      attach(store, attachment("n1", attached));
      store.put("", "pods", user("Pending"));
      store.put("", "pods", user("Running"));
      return store.broken.filter((name) => name === "pods-run-with-their-disks");
    };
    expect(started(true)).toEqual([]);
    expect(started(false)).toEqual(["pods-run-with-their-disks"]);
  });

  test("a pod that a controller ends on a node in service breaks pods-end-on-their-nodes", () => {
    const taints = [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }];
    const node = (status: string, given: readonly object[]): Loose => ({
      metadata: { name: "n1", uid: "n" },
      spec: { taints: given },
      status: { conditions: [{ type: "Ready", status }] },
    });
    const failed: Loose = { ...pod("a", { node: "n1" }), status: { phase: "Failed" } };
    const ended = (of: Loose | undefined): string[] => {
      const store = new Store();
      if (of !== undefined) store.put("", "nodes", of);
      store.put("", "pods", pod("a", { node: "n1" }));
      store.put("", "pods", failed, { actor: manager });
      store.remove("pods", "a", manager);
      store.put("", "pods", { ...pod("b", { node: "n1" }), metadata: meta("b") });
      store.remove("pods", "b", manager);
      return store.broken;
    };
    expect(ended(undefined)).toEqual([]);
    expect(ended(node("Unknown", taints))).toEqual([]);
    const twice = ["pods-end-on-their-nodes", "pods-end-on-their-nodes"];
    expect(ended(node("True", taints))).toEqual(twice);
    expect(ended(node("Unknown", []))).toEqual(twice);
  });
});
