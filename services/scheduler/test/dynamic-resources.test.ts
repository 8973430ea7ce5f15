// Claims of devices and placement: where devices let a pod be, what is taken meanwhile, and what is written before it is bound.
import {
  DEVICE_CLASSES,
  EVENTS,
  NODES,
  PODS,
  RESOURCE_CLAIMS,
  RESOURCE_SLICES,
  type DeviceResourceClaim,
  type Event,
  type Node,
  type Pod,
} from "@coxswain/api";
import { CLAIM_FINALIZER } from "@coxswain/api/resource-v1/pod-device-claims";
import { newConflict, objectKey, type KubeObject } from "@coxswain/apimachinery";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { createSeededRandom, VirtualEnv } from "@coxswain/env";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mayHelpPod } from "../src/devices/pod-device-claims.ts";
import { explainPod } from "../src/explain.ts";
import { Framework } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { dynamicResources } from "../src/plugins/dynamic-resources.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { ClusterDevices } from "../src/snapshot/cluster-devices.ts";
import type { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { deviceClaim, deviceClass, DRIVER, exactly, slice } from "./device-fixtures.ts";
import { node, planOn, pod, snapshotOf } from "./fixtures.ts";
import { answerOf, schedulerOn } from "./whole-scheduler.ts";

const uses = (...names: string[]) => ({ resourceClaims: names.map((name) => ({ name, resourceClaimName: name })) });
const FROM_TEMPLATE = { resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "gpus" }] };

function scene(
  nodes: readonly string[],
  slices: readonly ReturnType<typeof slice>[],
  claims: readonly DeviceResourceClaim[],
  classes = [deviceClass("gpu")],
): ClusterSnapshot {
  const snapshot = snapshotOf(nodes.map((name) => node(name)));
  for (const one of slices) snapshot.devices.pools.set(one.metadata?.name ?? "", one);
  for (const one of claims) snapshot.devices.setClaim(objectKey(one), one);
  for (const one of classes) snapshot.devices.classes.set(one.metadata?.name ?? "", one);
  return snapshot;
}

function outcome(snapshot: ClusterSnapshot, wanted: Pod): string {
  const plan = planOn(snapshot, wanted);
  return plan.kind === "node" ? `-> ${plan.node}` : plan.message;
}

const allocatedOn = (name: string, device: string) => ({
  devices: { results: [{ request: "r", driver: DRIVER, pool: name, device }] },
  nodeSelector: {
    nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [name] }] }],
  },
});
const consumer = (name: string) => ({ resource: "pods", name, uid: `uid-${name}` });
const ON_A = slice("sa", ["d1"]);
const ON_B = slice("sb", ["d1"], { nodeName: "b" });
const PREEMPTION = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";

describe("a pod with claims", () => {
  test.each<[string, ClusterSnapshot, Pod, string]>([
    ["goes where a device is", scene(["a", "b"], [ON_B], [deviceClaim("c")]), pod("p", uses("c")), "-> b"],
    [
      "goes where its allocated claim is",
      scene(["a", "b"], [ON_A, ON_B], [deviceClaim("c", undefined, { allocation: allocatedOn("b", "d1") })]),
      pod("p", uses("c")),
      "-> b",
    ],
    [
      "fits nowhere without a device",
      scene(["a", "b"], [], [deviceClaim("c")]),
      pod("p", uses("c")),
      `0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, ${PREEMPTION}`,
    ],
    [
      "does not get what another claim has",
      scene(
        ["a", "b"],
        [ON_A],
        [
          deviceClaim("c"),
          deviceClaim("e", undefined, { allocation: allocatedOn("a", "d1"), reservedFor: [consumer("x")] }),
        ],
      ),
      pod("p", uses("c")),
      `0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, ${PREEMPTION}`,
    ],
    [
      "needs a class that is there",
      scene(["a", "b"], [ON_A], [deviceClaim("c")], []),
      pod("p", uses("c")),
      `0/2 nodes are available: request r: device class gpu does not exist. no new claims to deallocate, ${PREEMPTION}`,
    ],
    [
      "has its own idle claim given back where that keeps it from the only node",
      scene(
        ["a", "b"],
        [ON_A],
        [deviceClaim("c", undefined, { allocation: allocatedOn("gone", "d1"), reservedFor: [consumer("p")] })],
      ),
      pod("p", uses("c")),
      `0/2 nodes are available: 2 resourceclaim not available on the node. deallocation of ResourceClaim completed, ${PREEMPTION}`,
    ],
    [
      "does not take one from others",
      scene(
        ["a", "b"],
        [ON_A],
        [deviceClaim("c", undefined, { allocation: allocatedOn("gone", "d1"), reservedFor: [consumer("x")] })],
      ),
      pod("p", uses("c")),
      `0/2 nodes are available: 2 resourceclaim not available on the node. still not schedulable, ${PREEMPTION}`,
    ],
    [
      "goes where it gets the better alternative",
      scene(
        ["a", "b"],
        [
          slice("sa", [{ name: "d1", attributes: { kind: { string: "good" } } }]),
          slice("sb", [{ name: "d1", attributes: { kind: { string: "best" } } }], { nodeName: "b" }),
        ],
        [deviceClaim("c", [firstOf("best", "good")])],
      ),
      pod("p", uses("c")),
      "-> b",
    ],
  ])("%s", (_, snapshot, wanted, expected) => expect(outcome(snapshot, wanted)).toBe(expected));

  test.each<[string, readonly DeviceResourceClaim[], Pod, string | undefined]>([
    ["whose claim is not there", [], pod("p", uses("c")), 'could not find ResourceClaim "default/c"'],
    ["whose claim is not made yet", [], pod("p", FROM_TEMPLATE), 'pod "default/p": ResourceClaim not created yet'],
    [
      "whose claim is going away",
      [deviceClaim("c", undefined, {}, { deletionTimestamp: "2026-01-01T00:00:00Z" })],
      pod("p", uses("c")),
      'resourceclaim "c" is being deleted',
    ],
    [
      "whose generated claim is another's",
      [deviceClaim("c")],
      { ...pod("p", FROM_TEMPLATE), status: { resourceClaimStatuses: [{ name: "gpu", resourceClaimName: "c" }] } },
      "ResourceClaim default/c was not created for pod default/p (pod is not owner)",
    ],
    [
      "that needs no claim",
      [],
      { ...pod("p", FROM_TEMPLATE), status: { resourceClaimStatuses: [{ name: "gpu" }] } },
      undefined,
    ],
    ["that has none", [], pod("p"), undefined],
  ])("waits before it is tried, %s", (_, claims, wanted, expected) => {
    const snapshot = scene(["a"], [], claims);
    const framework = new Framework(DEFAULT_PROFILES[0]!);
    expect(framework.heldBack(makePodInfo(wanted), snapshot)?.reason).toBe(expected);
  });

  test("is explained, node by node", () => {
    const snapshot = scene(["a", "b"], [ON_B], [deviceClaim("c")]);
    const info = makePodInfo(pod("p", uses("c")));
    const options = { random: createSeededRandom(1), percentageOfNodesToScore: 100 };
    const decision = explainPod(new Framework(DEFAULT_PROFILES[0]!), info, snapshot, options);
    const verdicts = decision.nodes?.map((one) => [
      one.node,
      ...(one.verdicts ?? []).filter(({ plugin }) => plugin === "DynamicResources").map(({ reasons }) => reasons),
    ]);
    expect(decision.outcome).toBe("Schedulable");
    expect(verdicts).toEqual([
      ["a", ["cannot allocate all claims"]],
      ["b", []],
    ]);
  });
});

test("an expression that has no answer is explained, too", () => {
  const selectors = [{ cel: { expression: `device.attributes["${DRIVER}"].kind == "x"` } }];
  const snapshot = scene(["a"], [ON_A], [deviceClaim("c", [exactly("r", { selectors })])]);
  const options = { random: createSeededRandom(1), percentageOfNodesToScore: 100 };
  const wanted = makePodInfo(pod("p", uses("c")));
  const decision = explainPod(new Framework(DEFAULT_PROFILES[0]!), wanted, snapshot, options);
  const message =
    'running "DynamicResources" filter plugin: claim default/c: selector #0: CEL runtime error: no such key: kind';
  expect(decision).toMatchObject({ outcome: "Unschedulable", message });
  expect(decision.nodes?.[0]?.verdicts).toContainEqual({
    plugin: "DynamicResources",
    extensionPoint: "Filter",
    code: "Error",
    reasons: [message],
  });
});

function firstOf(...kinds: string[]) {
  const firstAvailable = kinds.map((kind) => ({
    name: kind,
    deviceClassName: "gpu",
    allocationMode: "ExactCount",
    count: 1,
    selectors: [{ cel: { expression: `device.attributes["${DRIVER}"].kind == "${kind}"` } }],
  }));
  return { name: "r", firstAvailable };
}

test("what is given to one pod is not there for the next, until it is taken back", () => {
  const snapshot = scene(["a"], [ON_A], [deviceClaim("c"), deviceClaim("e")]);
  const first = planOn(snapshot, pod("p", uses("c")));
  if (first.kind !== "node") throw new Error(first.message);
  expect(dynamicResources.reserve!(first.cycle, "a")).toBeUndefined();
  expect(outcome(snapshot, pod("q", uses("e")))).toContain("1 cannot allocate all claims");
  expect(outcome(snapshot, pod("r", uses("c")))).toContain(
    "resource claim default/c is in the process of being allocated",
  );
  dynamicResources.unreserve!(first.cycle, "a");
  expect(outcome(snapshot, pod("q", uses("e")))).toBe("-> a");
});

test("the devices that count as given are those of claims, decisions and assumptions, whatever their order", () => {
  const claims = ["c0", "c1", "c2"].map((name) => deviceClaim(name));
  const given = (at: number, device: string) => ({
    ...claims[at]!,
    status: { allocation: allocatedOn("a", device) },
  });
  const step = fc.record({
    at: fc.nat({ max: 2 }),
    device: fc.constantFrom("d1", "d2"),
    what: fc.constantFrom("show", "free", "gone", "pending", "clear", "assume", "restore"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const devices = new ClusterDevices();
      const [shown, assumed, pending] = [
        new Map<number, string>(),
        new Map<number, string>(),
        new Map<number, string>(),
      ];
      const there = new Set<number>();
      let version = 0;
      for (const { at, device, what } of steps) {
        const key = objectKey(claims[at]!);
        const versioned = <T extends KubeObject>(one: T): T => ({
          ...one,
          metadata: { ...one.metadata, resourceVersion: String(++version) },
        });
        if (what === "show" || what === "free") {
          devices.setClaim(key, versioned(what === "show" ? given(at, device) : claims[at]!));
          there.add(at);
          assumed.delete(at);
          if (what === "show") shown.set(at, device);
          else shown.delete(at);
        } else if (what === "gone") {
          devices.setClaim(key, undefined);
          for (const map of [shown, assumed]) map.delete(at);
          there.delete(at);
        } else if (what === "pending") {
          devices.setPending(given(at, device));
          pending.set(at, device);
        } else if (what === "clear") {
          devices.clearPending(claims[at]!);
          pending.delete(at);
        } else if (what === "assume") {
          devices.assume(versioned(given(at, device)));
          if (there.has(at)) assumed.set(at, device);
        } else {
          devices.restore(claims[at]!);
          assumed.delete(at);
        }
      }
      const taken = new Set([...new Map([...shown, ...assumed]).values(), ...pending.values()]);
      for (const device of ["d1", "d2"]) expect(devices.isAllocated(`${DRIVER}/a/${device}`)).toBe(taken.has(device));
    }),
  );
});

describe("a change of a claim helps", () => {
  const allocated = deviceClaim("e", undefined, { allocation: allocatedOn("a", "d1") });
  const mine = deviceClaim("c");
  const inUse = deviceClaim("c", undefined, { allocation: allocatedOn("a", "d1") });
  test.each<[string, DeviceResourceClaim, DeviceResourceClaim | undefined, boolean]>([
    ["where another claim gives its devices back", deviceClaim("e"), allocated, true],
    ["not where another claim gets some", allocated, deviceClaim("e"), false],
    ["where the pod's own appears", mine, undefined, true],
    ["not where another appears", deviceClaim("e"), undefined, false],
    ["where the pod's own gets devices", inUse, mine, true],
    [
      "not where the pod's own is labelled",
      { ...mine, metadata: { ...mine.metadata, labels: { a: "b" } } },
      mine,
      false,
    ],
  ])("%s", (_, now, old, helps) => {
    const { devices } = scene(["a"], [], [mine]);
    expect(mayHelpPod(pod("p", uses("c")), devices, now, old)).toBe(helps);
  });
  test("no pod that has to wait anyway", () => {
    const { devices } = scene(["a"], [], []);
    expect(mayHelpPod(pod("p", uses("c")), devices, deviceClaim("e"), allocated)).toBe(false);
  });
});

describe("the whole scheduler", () => {
  function setup(nodes: readonly string[] = ["a"]) {
    const env = new VirtualEnv({ seed: 7 });
    const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
    for (const one of nodes) cluster.seed<Node>(NODES, { apiVersion: "v1", kind: "Node", ...node(one) });
    cluster.seed(DEVICE_CLASSES, deviceClass("gpu"));
    void schedulerOn(env, cluster).run(new AbortController().signal);
    const admin = cluster.client();
    const settle = <T>(call: Promise<T>): Promise<T> => answerOf(env, call);
    const podNamed = (name: string) => cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name);
    return {
      env,
      cluster,
      admin,
      settle,
      until: (done: () => boolean, ms = 60_000) => env.runUntil(done, env.elapsedMs + ms),
      nodeOf: (name: string) => podNamed(name)?.spec?.nodeName,
      uidOf: (name: string) => podNamed(name)?.metadata?.uid,
      claimNamed: (name: string) =>
        cluster.objects<DeviceResourceClaim>(RESOURCE_CLAIMS).find((one) => one.metadata?.name === name),
      events: () => cluster.objects<Event>(EVENTS).map((one) => `${one.reason}: ${one.message}`),
      seedPod: (name: string, spec: object) =>
        cluster.seed(PODS, { apiVersion: "v1", kind: "Pod", ...pod(name, spec) }),
    };
  }
  const at = (name: string) => ({ namespace: "default", name });

  test("writes devices, finalizer and pod into a claim before the pod is bound, and lets others share it", async () => {
    const { cluster, until, nodeOf, uidOf, claimNamed, seedPod } = setup();
    cluster.seed(RESOURCE_SLICES, ON_A);
    cluster.seed(RESOURCE_CLAIMS, deviceClaim("c"));
    seedPod("p", uses("c"));
    expect(await until(() => nodeOf("p") === "a")).toBe(true);
    expect(claimNamed("c")).toMatchObject({
      metadata: { finalizers: [CLAIM_FINALIZER] },
      status: {
        allocation: allocatedOn("a", "d1"),
        reservedFor: [{ resource: "pods", name: "p", uid: uidOf("p") }],
      },
    });
    seedPod("q", uses("c"));
    expect(await until(() => nodeOf("q") === "a")).toBe(true);
    expect(claimNamed("c")?.status?.reservedFor?.map(({ name }) => name)).toEqual(["p", "q"]);
  });

  test("gives no device twice, and places who waits as soon as one is given back", async () => {
    const { cluster, admin, settle, until, nodeOf, claimNamed, events, seedPod } = setup();
    cluster.seed(RESOURCE_SLICES, slice("s", ["d1", "d2"]));
    for (const name of ["c1", "c2", "c3"]) {
      cluster.seed(RESOURCE_CLAIMS, deviceClaim(name));
      seedPod(`p-${name}`, uses(name));
    }
    const placed = () => ["c1", "c2", "c3"].filter((name) => nodeOf(`p-${name}`) !== undefined);
    expect(await until(() => placed().length === 2)).toBe(true);
    const failed = () => events().filter((one) => one.startsWith("FailedScheduling"));
    expect(await until(() => failed().length > 0)).toBe(true);
    expect(failed()[0]).toBe(
      "FailedScheduling: 0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    );
    const [first] = placed();
    const used = ["c1", "c2", "c3"].flatMap(
      (name) => claimNamed(name)?.status?.allocation?.devices?.results?.map(({ device }) => device) ?? [],
    );
    expect(used.toSorted()).toEqual(["d1", "d2"]);
    // What the controller does once the pod is done.
    const claim = claimNamed(first!)!;
    await settle(admin.update(RESOURCE_CLAIMS, { ...claim, status: {} }, { subresource: "status" }));
    expect(await until(() => placed().length === 3, 15_000)).toBe(true);
  });

  test("waits for claim, class and slice, in any order", async () => {
    const { cluster, until, nodeOf, events, seedPod, env } = setup();
    seedPod("p", { resourceClaims: [{ name: "x", resourceClaimName: "c" }] });
    await until(() => false, 5_000);
    // A pod without its claim is not even tried.
    expect(events()).toEqual([]);
    cluster.seed(RESOURCE_CLAIMS, deviceClaim("c", [exactly("r", { deviceClassName: "tpu" })]));
    expect(await until(() => events().some((one) => one.includes("device class tpu does not exist")))).toBe(true);
    cluster.seed(DEVICE_CLASSES, deviceClass("tpu"));
    expect(await until(() => events().some((one) => one.includes("cannot allocate all claims")))).toBe(true);
    const before = env.elapsedMs;
    cluster.seed(RESOURCE_SLICES, ON_A);
    expect(await until(() => nodeOf("p") === "a")).toBe(true);
    expect(env.elapsedMs - before).toBeLessThan(15_000);
  });

  test("tries a generated claim once the pod names it", async () => {
    const { cluster, admin, settle, until, nodeOf, uidOf, seedPod } = setup();
    cluster.seed(RESOURCE_SLICES, ON_A);
    seedPod("p", FROM_TEMPLATE);
    const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: uidOf("p"), controller: true };
    cluster.seed(RESOURCE_CLAIMS, deviceClaim("p-gpu-x", undefined, {}, { ownerReferences: [owner] }));
    await until(() => nodeOf("p") !== undefined, 5_000);
    expect(nodeOf("p")).toBeUndefined();
    const status = { resourceClaimStatuses: [{ name: "gpu", resourceClaimName: "p-gpu-x" }] };
    await settle(admin.patch(PODS, at("p"), "application/merge-patch+json", { status }, { subresource: "status" }));
    expect(await until(() => nodeOf("p") === "a", 2_000)).toBe(true);
  });

  test("writes again what met a conflict, and gives up what does not work", async () => {
    const { cluster, until, nodeOf, claimNamed, events, seedPod } = setup();
    cluster.seed(RESOURCE_SLICES, ON_A);
    cluster.seed(RESOURCE_CLAIMS, deviceClaim("c"));
    const conflict = newConflict({ group: "resource.k8s.io", resource: "resourceclaims" }, "c", "changed");
    const twice = cluster.inject({ verb: "update", resource: "resourceclaims", times: 2, error: conflict });
    seedPod("p", uses("c"));
    expect(await until(() => nodeOf("p") === "a")).toBe(true);
    expect(twice.fired).toBe(2);
    expect(events().filter((one) => one.startsWith("FailedScheduling"))).toEqual([]);

    cluster.seed(RESOURCE_CLAIMS, deviceClaim("e"));
    cluster.seed(RESOURCE_SLICES, slice("t", ["d9"], { pool: { name: "more" } }));
    cluster.inject({ verb: "update", resource: "resourceclaims", subresource: "status", times: 1 });
    seedPod("q", uses("e"));
    expect(await until(() => nodeOf("q") === "a")).toBe(true);
    const failed =
      'FailedScheduling: running PreBind plugin "DynamicResources": add allocation and reservation to claim';
    expect(events().some((one) => one.startsWith(failed))).toBe(true);
    expect(claimNamed("e")?.status?.allocation?.devices?.results?.[0]?.device).toBe("d9");
  });

  test("gives back a claim of nobody's that is on a node that is gone", async () => {
    const { cluster, until, nodeOf, claimNamed, seedPod } = setup();
    cluster.seed(RESOURCE_SLICES, ON_A);
    cluster.seed(RESOURCE_CLAIMS, deviceClaim("c", undefined, { allocation: allocatedOn("gone", "d1") }));
    seedPod("p", uses("c"));
    expect(await until(() => nodeOf("p") === "a")).toBe(true);
    expect(claimNamed("c")?.status?.allocation).toEqual(allocatedOn("a", "d1"));
  });

  test("takes the pod off its claims where it cannot be bound after all", async () => {
    const { cluster, until, claimNamed, seedPod, nodeOf } = setup();
    cluster.seed(RESOURCE_SLICES, ON_A);
    cluster.seed(RESOURCE_CLAIMS, deviceClaim("c"));
    const fault = cluster.inject({ verb: "create", resource: "pods", subresource: "binding" });
    seedPod("p", uses("c"));
    expect(await until(() => claimNamed("c")?.status?.allocation !== undefined)).toBe(true);
    expect(await until(() => (claimNamed("c")?.status?.reservedFor ?? []).length === 0)).toBe(true);
    expect(fault.fired).toBeGreaterThan(0);
    fault.remove();
    expect(await until(() => nodeOf("p") === "a")).toBe(true);
    expect(claimNamed("c")?.status?.reservedFor).toHaveLength(1);
  });
});
