// Endpoints of Services, and EndpointSlices that mirror Endpoints which somebody wrote by hand.
import {
  ENDPOINT_SLICES,
  ENDPOINTS,
  SERVICES,
  type Endpoints,
  type EndpointSlice,
  type EndpointSubset,
  type Pod,
  type Service,
} from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TriggerTimes, withTriggerTime } from "../src/endpoint-slice/trigger-times.ts";
import { planMirror } from "../src/endpoint-slice-mirroring/plan.ts";
import { planEndpointsObject, planSubsets, truncate } from "../src/endpoints/plan.ts";
import { makeFixture } from "./cluster-fixture.ts";

function pod(name: string, ip: string, extra: { ready?: boolean; deleting?: boolean; ports?: object[] } = {}): Pod {
  const { ready = true, deleting = false, ports = [] } = extra;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      labels: { app: "web" },
      ...(deleting ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "i", ports: ports as [] }] },
    status: {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

function service(spec: Partial<NonNullable<Service["spec"]>> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default", uid: "s1", labels: { tier: "front" } },
    spec: {
      clusterIP: "10.96.0.9",
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
      ...spec,
    },
  };
}

const target = (name: string) => ({ kind: "Pod", namespace: "default", name, uid: `uid-${name}` });
const address = (name: string, ip: string) => ({ ip, nodeName: "n1", targetRef: target(name) });

describe("the time of the change that endpoints are written for", () => {
  const timed = (name: string, lastTransitionTime: string): Pod => {
    const one = pod(name, "10.0.0.1");
    return { ...one, status: { ...one.status, conditions: [{ type: "Ready", status: "True", lastTransitionTime }] } };
  };
  const made = { ...service(), metadata: { ...service().metadata, creationTimestamp: "2026-01-01T00:00:00Z" } };

  test("is the Service's at first, then the earliest of what changed", () => {
    const times = new TriggerTimes();
    const [a, b] = [timed("a", "2026-01-01T00:00:10Z"), timed("b", "2026-01-01T00:00:20Z")];
    expect(times.next(made, [a])).toBe("2026-01-01T00:00:00Z");
    expect(times.next(made, [a])).toBeUndefined();
    expect(times.next(made, [a, b])).toBe("2026-01-01T00:00:20Z");
    const [later, latest] = [timed("a", "2026-01-01T00:00:30Z"), timed("b", "2026-01-01T00:00:40Z")];
    expect(times.next(made, [latest, later])).toBe("2026-01-01T00:00:30Z");
    // A pod that goes has no time of its own.
    expect(times.next(made, [later])).toBeUndefined();
    times.forget(made);
    expect(times.next(made, [later])).toBe("2026-01-01T00:00:00Z");
  });

  test("stands with what was written for it, and goes with the next write that has none", () => {
    const key = "endpoints.kubernetes.io/last-change-trigger-time";
    expect(withTriggerTime({ a: "b" }, "t")).toEqual({ a: "b", [key]: "t" });
    expect(withTriggerTime({ a: "b", [key]: "t" }, undefined)).toEqual({ a: "b" });
    expect(withTriggerTime({ [key]: "t" }, undefined)).toBeUndefined();
  });

  test("is written by both controllers", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    fixture.start();
    const created = await fixture.settle(fixture.admin.create(SERVICES, service()));
    const time = (ref: typeof ENDPOINTS) =>
      fixture.cluster.objects(ref)[0]?.metadata?.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"];
    expect(await fixture.until(() => time(ENDPOINTS) !== undefined && time(ENDPOINT_SLICES) !== undefined)).toBe(true);
    expect([time(ENDPOINTS), time(ENDPOINT_SLICES)]).toEqual(Array(2).fill(created.metadata?.creationTimestamp));
  });
});

describe("subsets", () => {
  test("tell ready pods from others, and leave out those that end", () => {
    const pods = [
      pod("b", "10.0.0.2"),
      pod("a", "10.0.0.1"),
      pod("slow", "10.0.0.3", { ready: false }),
      pod("going", "10.0.0.4", { deleting: true }),
      { ...pod("done", "10.0.0.5"), status: { phase: "Succeeded", podIP: "10.0.0.5" } },
    ];
    const ports = [{ name: "http", port: 8080, protocol: "TCP" }];
    expect(planSubsets(service(), pods)).toEqual([
      {
        addresses: [address("a", "10.0.0.1"), address("b", "10.0.0.2")],
        notReadyAddresses: [address("slow", "10.0.0.3")],
        ports,
      },
    ]);
    const early = planSubsets(service({ publishNotReadyAddresses: true }), pods);
    expect(early[0]?.addresses?.map(({ ip }) => ip)).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    expect(early[0]?.notReadyAddresses).toBeUndefined();
  });

  test("part pods by the ports that a name leads to", () => {
    const named = service({
      ports: [
        { name: "http", port: 80, targetPort: "web" },
        { name: "metrics", port: 9090 },
      ],
    });
    const pods = [
      pod("a", "10.0.0.1", { ports: [{ name: "web", containerPort: 8080 }] }),
      pod("b", "10.0.0.2", { ports: [{ name: "web", containerPort: 9999 }] }),
      pod("c", "10.0.0.3"),
    ];
    expect(
      planSubsets(named, pods).map(({ addresses, ports }) => [
        addresses?.map(({ ip }) => ip),
        ports?.map(({ port }) => port),
      ]),
    ).toEqual([
      [["10.0.0.1"], [8080, 9090]],
      [["10.0.0.2"], [9999, 9090]],
      [["10.0.0.3"], [9090]],
    ]);
  });

  test("without ports are for headless Services alone", () => {
    expect(planSubsets(service({ clusterIP: "None", ports: [] }), [pod("a", "10.0.0.1")])).toEqual([
      { addresses: [address("a", "10.0.0.1")] },
    ]);
    expect(planSubsets(service({ ports: [] }), [pod("a", "10.0.0.1")])).toEqual([]);
  });
});

describe("too many addresses", () => {
  const subsetArb = fc.record({ ready: fc.nat({ max: 40 }), notReady: fc.nat({ max: 40 }) });
  const make = (at: number, { ready, notReady }: { ready: number; notReady: number }): EndpointSubset => {
    const list = (kind: string, count: number) =>
      Array.from({ length: count }, (_, n) => ({ ip: `${at}-${kind}-${n}` }));
    return {
      ...(ready === 0 ? {} : { addresses: list("r", ready) }),
      ...(notReady === 0 ? {} : { notReadyAddresses: list("n", notReady) }),
    };
  };
  test("are cut to the limit exactly, ready ones last", () => {
    fc.assert(
      fc.property(
        fc.array(subsetArb, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 60 }),
        (shapes, max) => {
          const subsets = shapes.map((shape, at) => make(at, shape));
          const ready = shapes.reduce((sum, shape) => sum + shape.ready, 0);
          const total = ready + shapes.reduce((sum, shape) => sum + shape.notReady, 0);
          const cut = truncate(subsets, max);
          if (total <= max) {
            expect(cut).toBeUndefined();
            return;
          }
          const keptReady = (cut ?? []).flatMap(({ addresses = [] }) => addresses);
          const keptOthers = (cut ?? []).flatMap(({ notReadyAddresses = [] }) => notReadyAddresses);
          expect(keptReady.length + keptOthers.length).toBe(max);
          expect(keptReady.length).toBe(Math.min(ready, max));
        },
      ),
    );
  });
  test("are said in an annotation, which goes with them", () => {
    const many = Array.from({ length: 1_001 }, (_, at) => pod(`p${at}`, `10.0.${at >> 8}.${at & 255}`));
    const full = planEndpointsObject(service(), many, undefined);
    expect(full?.metadata?.annotations).toEqual({ "endpoints.kubernetes.io/over-capacity": "truncated" });
    expect(full?.subsets?.[0]?.addresses).toHaveLength(1_000);
    expect(planEndpointsObject(service(), many, full)).toBeUndefined();
    const fewer = planEndpointsObject(service(), many.slice(0, 3), full);
    expect(fewer?.metadata?.annotations).toBeUndefined();
    expect(fewer?.subsets?.[0]?.addresses).toHaveLength(3);
  });
});

test("an object carries the Service's labels, and says whose it is", () => {
  const plan = planEndpointsObject(service({ clusterIP: "None" }), [], undefined);
  expect(plan).toMatchObject({
    metadata: {
      name: "web",
      namespace: "default",
      labels: {
        tier: "front",
        "service.kubernetes.io/headless": "",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
      },
    },
  });
  expect(plan?.subsets).toBeUndefined();
});

describe("mirroring", () => {
  const endpoints = (subsets: EndpointSubset[]): Endpoints => ({
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      name: "db",
      namespace: "default",
      uid: "e1",
      labels: { a: "b" },
      annotations: { note: "x", "kubectl.kubernetes.io/last-applied-configuration": "{}" },
    },
    subsets,
  });
  const ports = [{ name: "sql", port: 5432, protocol: "TCP" }];
  const stored = (slices: readonly EndpointSlice[]): EndpointSlice[] =>
    slices.map((slice, at) => ({ ...slice, metadata: { ...slice.metadata, name: slice.metadata?.name ?? `s${at}` } }));

  test("says the same in slices, one a family", () => {
    const object = endpoints([
      {
        addresses: [{ ip: "10.1.0.1", hostname: "one" }, { ip: "fd00::1" }],
        notReadyAddresses: [{ ip: "10.1.0.2" }],
        ports,
      },
    ]);
    const { create, invalid, skipped } = planMirror(object, [], 1_000);
    expect([invalid, skipped]).toEqual([0, 0]);
    expect(create).toMatchObject([
      {
        metadata: {
          generateName: "db-",
          labels: {
            a: "b",
            "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
          },
          annotations: { note: "x" },
          ownerReferences: [{ kind: "Endpoints", name: "db", controller: true }],
        },
        addressType: "IPv4",
        ports,
        endpoints: [
          { addresses: ["10.1.0.1"], conditions: { ready: true }, hostname: "one" },
          { addresses: ["10.1.0.2"], conditions: { ready: false } },
        ],
      },
      { addressType: "IPv6", endpoints: [{ addresses: ["fd00::1"] }] },
    ]);
    const again = planMirror(object, stored(create), 1_000);
    expect([again.create, again.update, again.remove]).toEqual([[], [], []]);
  });

  test("uses a slice again where the ports change, and takes away what is left", () => {
    const present = stored(
      planMirror(
        endpoints([
          { addresses: [{ ip: "10.1.0.1" }], ports },
          { addresses: [{ ip: "10.1.0.2" }], ports: [{ port: 1, name: "x" }] },
        ]),
        [],
        1_000,
      ).create,
    );
    const changed = endpoints([{ addresses: [{ ip: "10.1.0.1" }], ports: [{ ...ports[0]!, port: 6000 }] }]);
    const plan = planMirror(changed, present, 1_000);
    expect(plan.create).toEqual([]);
    expect(plan.update).toMatchObject([{ metadata: { name: "s0" }, ports: [{ port: 6000 }] }]);
    expect(plan.remove.map(({ metadata }) => metadata?.name)).toEqual(["s1"]);
  });

  test("counts what it leaves out", () => {
    const plan = planMirror(
      endpoints([{ addresses: [{ ip: "nowhere" }, { ip: "10.1.0.1" }, { ip: "10.1.0.2" }], ports }]),
      [],
      1,
    );
    expect(plan).toMatchObject({ invalid: 1, skipped: 2 });
    expect(plan.create[0]?.endpoints).toHaveLength(1);
  });
});

describe("in a cluster", () => {
  const seedService = (fixture: ReturnType<typeof makeFixture>, spec: Partial<NonNullable<Service["spec"]>> = {}) => {
    const { uid: _, ...metadata } = service().metadata!;
    return fixture.cluster.seed(SERVICES, { ...service(spec), metadata });
  };
  test("Endpoints follow their Service and go with it", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    seedService(fixture);
    fixture.start();
    const list = () => fixture.cluster.objects<Endpoints>(ENDPOINTS);
    expect(await fixture.until(() => list().length === 1)).toBe(true);
    const merge = "application/merge-patch+json";
    const at = { namespace: "default", name: "web" };
    await fixture.settle(fixture.admin.patch(ENDPOINTS, at, merge, { subsets: [{ addresses: [{ ip: "1.2.3.4" }] }] }));
    expect(await fixture.until(() => list()[0]?.subsets === undefined)).toBe(true);
    await fixture.settle(fixture.admin.delete(ENDPOINTS, at));
    expect(await fixture.until(() => list().length === 1)).toBe(true);
    await fixture.settle(fixture.admin.delete(SERVICES, at));
    expect(await fixture.until(() => list().length === 0)).toBe(true);
  });

  test("Endpoints by hand are mirrored for a Service without a selector, until they go", async () => {
    const fixture = makeFixture({ measured: true });
    fixture.seedNamespace();
    seedService(fixture, { selector: undefined });
    fixture.start();
    const mirrors = () => fixture.cluster.objects<EndpointSlice>(ENDPOINT_SLICES);
    const made: Endpoints = {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "web", namespace: "default" },
      subsets: [{ addresses: [{ ip: "192.0.2.1" }], ports: [{ port: 80 }] }],
    };
    await fixture.settle(fixture.admin.create(ENDPOINTS, made));
    expect(await fixture.until(() => mirrors().length === 1)).toBe(true);
    expect(mirrors()[0]?.endpoints[0]?.addresses).toEqual(["192.0.2.1"]);
    const merge = "application/merge-patch+json";
    const at = { namespace: "default", name: "web" };
    const subsets = [{ addresses: [{ ip: "192.0.2.2" }], ports: [{ port: 81 }] }];
    await fixture.settle(fixture.admin.patch(ENDPOINTS, at, merge, { subsets }));
    expect(await fixture.until(() => mirrors()[0]?.endpoints[0]?.addresses[0] === "192.0.2.2")).toBe(true);
    expect(mirrors()).toHaveLength(1);
    await fixture.settle(fixture.admin.delete(ENDPOINTS, at));
    expect(await fixture.until(() => mirrors().length === 0)).toBe(true);
    await fixture.env.advance(1_000);
    const name = "endpoint_slice_mirroring_controller_";
    const figures = await fixture.figures(name);
    expect(figures).toMatchObject({
      [`${name}changes{operation="create"}`]: 1,
      [`${name}changes{operation="update"}`]: 1,
      [`${name}changes{operation="delete"}`]: 1,
      // The slice was used again for other ports.
      [`${name}endpoints_added_per_sync_sum`]: 2,
      [`${name}endpoints_updated_per_sync_sum`]: 0,
      [`${name}endpoints_removed_per_sync_sum`]: 0,
      [`${name}addresses_skipped_per_sync_sum`]: 0,
      [`${name}endpoints_desired`]: 0,
      [`${name}num_endpoint_slices`]: 0,
    });
    expect(figures[`${name}endpoints_sync_duration_sum`]).toBeGreaterThan(0);
  });
});
