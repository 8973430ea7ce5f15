// Namespaces from birth to end, endpoints of Services, and leadership.
import {
  API_SERVICES,
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  NAMESPACES,
  NODES,
  SERVICE_ACCOUNTS,
  SERVICES,
  type APIService,
  type ConfigMap,
  type Endpoint,
  type EndpointSlice,
  type Namespace,
  type Node,
  type Pod,
  type Service,
} from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planEndpoints } from "../src/endpoint-slice/endpoints.ts";
import { planSlices } from "../src/endpoint-slice/plan.ts";
import { deployment, makeFixture, namespace, readyNode, runPods } from "./cluster-fixture.ts";

describe("namespaces", () => {
  test("get a service account and the root CA, and lose their content before they go", async () => {
    const fixture = makeFixture({ options: { rootCa: "PEM" }, measured: true });
    fixture.seedNamespace();
    fixture.start();
    const maps = () => fixture.cluster.objects<ConfigMap>(CONFIG_MAPS);
    const accounts = () => fixture.cluster.objects(SERVICE_ACCOUNTS);
    expect(await fixture.until(() => maps().length === 1 && accounts().length === 1)).toBe(true);
    expect(maps()[0]).toMatchObject({ metadata: { name: "kube-root-ca.crt" }, data: { "ca.crt": "PEM" } });
    expect(accounts()[0]).toMatchObject({ metadata: { name: "default", namespace: "default" } });
    await fixture.env.advance(100);
    const published = await fixture.figures("root_ca_cert_publisher_");
    expect(published['root_ca_cert_publisher_sync_total{code="200"}']).toBe(1);
    expect(published['root_ca_cert_publisher_sync_duration_seconds_count{code="200"}']).toBe(1);
    const held = { name: "held", namespace: "default", finalizers: ["example.com/hold"] };
    fixture.cluster.seed(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: held });
    fixture.cluster.seed(DEPLOYMENTS, deployment());
    runPods(fixture);
    await fixture.env.advance(5_000);
    await fixture.settle(fixture.admin.delete(NAMESPACES, { name: "default" }));
    const condition = (type: string) =>
      fixture.cluster.objects<Namespace>(NAMESPACES)[0]?.status?.conditions?.find((one) => one.type === type);
    expect(await fixture.until(() => condition("NamespaceFinalizersRemaining")?.status === "True")).toBe(true);
    expect(await fixture.until(() => maps().length === 1)).toBe(true);
    expect(condition("NamespaceContentRemaining")?.message).toContain("configmaps. has 1 resource instances");
    expect(fixture.pods()).toEqual([]);
    const merge = "application/merge-patch+json";
    await fixture.settle(fixture.admin.patch(CONFIG_MAPS, held, merge, { metadata: { finalizers: null } }));
    expect(await fixture.until(() => fixture.cluster.objects(NAMESPACES).length === 0)).toBe(true);
    expect(accounts()).toEqual([]);
  });
});

describe("a namespace that goes while another api-server is away", () => {
  const metrics = (available: "True" | "False"): APIService => ({
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1beta1.metrics.example.com" },
    spec: {
      group: "metrics.example.com",
      version: "v1beta1",
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: { name: "metrics", namespace: "kube-system" },
    },
    status: { conditions: [{ type: "Available", status: available }] },
  });
  test("says which, loses its content, and waits until that is back", async () => {
    const fixture = makeFixture();
    const { admin, cluster } = fixture;
    fixture.seedNamespace();
    const made = cluster.seed(API_SERVICES, metrics("False"));
    cluster.seed(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "default" } });
    fixture.start();
    await fixture.settle(admin.delete(NAMESPACES, { name: "default" }));
    const failure = () =>
      cluster
        .objects<Namespace>(NAMESPACES)[0]
        ?.status?.conditions?.find(({ type }) => type === "NamespaceDeletionDiscoveryFailure");
    expect(await fixture.until(() => failure()?.status === "True")).toBe(true);
    expect(failure()).toMatchObject({
      reason: "DiscoveryFailed",
      message:
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: " +
        "metrics.example.com/v1beta1: stale GroupVersion discovery: metrics.example.com/v1beta1",
    });
    await fixture.env.advance(30_000);
    expect(cluster.objects(CONFIG_MAPS)).toEqual([]);
    expect(cluster.objects(NAMESPACES)).toHaveLength(1);
    const back = { ...metrics("True"), metadata: made.metadata };
    await fixture.settle(admin.update(API_SERVICES, back, { subresource: "status" }));
    expect(await fixture.until(() => cluster.objects(NAMESPACES).length === 0)).toBe(true);
  });
});

const service: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default", uid: "s1" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }], ipFamilies: ["IPv4"] },
};

describe("endpoint slices", () => {
  const endpoint = (id: number): Endpoint => ({
    addresses: [`10.0.${id >> 8}.${id & 255}`],
    conditions: { ready: true },
    targetRef: { kind: "Pod", uid: `p${id}` },
  });
  const ports = [{ name: "http", protocol: "TCP", port: 8080 }];
  const key = JSON.stringify(["http", "TCP", 8080, ""]);

  test("hold all endpoints once, none too full, and settle in one step", () => {
    const sets = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 60 })), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(sets, fc.integer({ min: 1, max: 10 }), (steps, max) => {
        let slices: EndpointSlice[] = [];
        let made = 0;
        for (const ids of steps) {
          const groups = () => new Map([[key, { ports, endpoints: ids.map(endpoint) }]]);
          const plan = planSlices(service, "IPv4", groups(), slices, max);
          const updated = new Map(plan.update.map((slice) => [slice.metadata?.name, slice]));
          const created = plan.create.map((slice) => ({
            ...slice,
            metadata: { ...slice.metadata, name: `s${made++}` },
          }));
          slices = [
            ...slices
              .filter((slice) => !plan.remove.includes(slice))
              .map((one) => updated.get(one.metadata?.name) ?? one),
            ...created,
          ];
          const held = slices.flatMap((slice) => slice.endpoints.map((one) => one.targetRef?.uid ?? ""));
          expect(held.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(
            ids.map((id) => `p${id}`).toSorted((a, b) => (a < b ? -1 : 1)),
          );
          expect(slices.every((slice) => slice.endpoints.length <= max)).toBe(true);
          expect(slices.length).toBeGreaterThan(0);
          const again = planSlices(service, "IPv4", groups(), slices, max);
          expect([again.create, again.update, again.remove]).toEqual([[], [], []]);
        }
      }),
    );
  });

  test("follow the pods of a Service", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    fixture.cluster.seed(NODES, readyNode("node-1", fixture.env.clock.now()));
    fixture.cluster.seed(SERVICES, service);
    runPods(fixture);
    fixture.start();
    const slices = () => fixture.cluster.objects<EndpointSlice>(ENDPOINT_SLICES);
    expect(await fixture.until(() => slices().length === 1)).toBe(true);
    expect(slices()[0]?.endpoints).toEqual([]);
    fixture.cluster.seed(DEPLOYMENTS, deployment("web", { replicas: 1 }));
    const ready = () => slices().flatMap((slice) => slice.endpoints.filter((one) => one.conditions?.ready === true));
    expect(await fixture.until(() => ready().length === 1)).toBe(true);
    expect(await fixture.until(() => slices().length === 1)).toBe(true);
    expect(slices()[0]).toMatchObject({
      metadata: {
        generateName: "web-",
        labels: {
          "kubernetes.io/service-name": "web",
          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        },
      },
      addressType: "IPv4",
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
      endpoints: [
        {
          addresses: ["10.244.0.9"],
          nodeName: "node-1",
          conditions: { ready: true, serving: true, terminating: false },
          targetRef: { kind: "Pod", namespace: "default" },
        },
      ],
    });
  });
});

test("what the EndpointSlice controller counts", async () => {
  const fixture = makeFixture({ measured: true, options: { maxEndpointsPerSlice: 2 } });
  fixture.seedNamespace();
  fixture.cluster.seed(NODES, readyNode("node-1", fixture.env.clock.now()));
  const spec = { ...service.spec, trafficDistribution: "PreferSameZone" };
  fixture.cluster.seed<Service>(SERVICES, { ...service, metadata: { name: "web", namespace: "default" }, spec });
  runPods(fixture);
  fixture.start();
  const name = "endpoint_slice_controller_";
  const figures = async (): Promise<Record<string, number>> =>
    Object.fromEntries(
      Object.entries(await fixture.figures(name)).map(([key, value]) => [key.slice(name.length), value]),
    );
  await fixture.env.advance(1_000);
  const labels = '{topology="Disabled",traffic_distribution="PreferSameZone"}';
  expect(await figures()).toMatchObject({
    endpoints_desired: 0,
    num_endpoint_slices: 1,
    desired_endpoint_slices: 1,
    'changes{operation="create"}': 1,
    [`endpointslices_changed_per_sync_sum${labels}`]: 1,
    'services_count_by_traffic_distribution{traffic_distribution="PreferSameZone"}': 1,
  });
  fixture.cluster.seed(DEPLOYMENTS, deployment("web", { replicas: 3 }));
  const ready = () =>
    fixture.cluster
      .objects<EndpointSlice>(ENDPOINT_SLICES)
      .flatMap((slice) => slice.endpoints.filter((one) => one.conditions?.ready === true));
  expect(await fixture.until(() => ready().length === 3)).toBe(true);
  await fixture.env.advance(5_000);
  const grown = await figures();
  expect(grown).toMatchObject({ endpoints_desired: 3, num_endpoint_slices: 2, desired_endpoint_slices: 2 });
  expect(grown["endpoints_added_per_sync_sum"]! - grown["endpoints_removed_per_sync_sum"]!).toBe(3);
  expect(grown["endpoints_added_per_sync_count"]).toBe(grown[`endpointslices_changed_per_sync_count${labels}`]);
  expect(grown['syncs{result="success"}']).toBeGreaterThanOrEqual(grown["endpoints_added_per_sync_count"]!);
  expect(grown['changes{operation="delete"}']).toBe(1);
  await fixture.settle(fixture.admin.delete(SERVICES, { namespace: "default", name: "web" }));
  await fixture.env.advance(5_000);
  expect(await figures()).toMatchObject({
    endpoints_desired: 0,
    num_endpoint_slices: 0,
    desired_endpoint_slices: 0,
    'services_count_by_traffic_distribution{traffic_distribution="PreferSameZone"}': 0,
  });
});

test("slices of a family that the Service has no more, and of an earlier Service, go", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  const made = fixture.cluster.seed<Service>(SERVICES, { ...service, metadata: { name: "web", namespace: "default" } });
  const labels = {
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  };
  const seed = (name: string, addressType: string, uid: string): void => {
    const owner = { apiVersion: "v1", kind: "Service", name: "web", uid, controller: true };
    const metadata = { name, namespace: "default", labels, ownerReferences: [owner] };
    fixture.cluster.seed<EndpointSlice>(ENDPOINT_SLICES, { metadata, addressType, endpoints: [], ports: [] });
  };
  seed("six", "IPv6", made.metadata?.uid ?? "");
  seed("earlier", "IPv4", "earlier");
  fixture.start();
  const names = () =>
    fixture.cluster.objects<EndpointSlice>(ENDPOINT_SLICES).map(({ metadata }) => metadata?.name ?? "");
  expect(await fixture.until(() => names().length === 1 && names()[0]!.startsWith("web-"))).toBe(true);
});

describe("endpoints", () => {
  const inZone = (name: string, zone?: string): Node => {
    const labels = zone === undefined ? {} : { labels: { "topology.kubernetes.io/zone": zone } };
    return { ...readyNode(name, 0), metadata: { name, ...labels } };
  };
  const nodes = new Map([inZone("n1", "x"), inZone("n2")].map((node) => [node.metadata?.name ?? "", node]));
  const podOn = (nodeName: string, ready = true): Pod => ({
    metadata: { name: nodeName, namespace: "default", uid: nodeName, labels: { app: "web" } },
    spec: { nodeName, containers: [{ name: "c", image: "i" }] },
    status: {
      phase: "Running",
      podIPs: [{ ip: "10.0.0.1" }],
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  });
  const hints = (trafficDistribution: string | undefined, pod: Pod) => {
    const near: Service = {
      ...service,
      spec: { ...service.spec, ...(trafficDistribution && { trafficDistribution }) },
    };
    const { groups } = planEndpoints(near, [pod], "IPv4", (name) => nodes.get(name));
    return [...groups.values()][0]?.endpoints[0]?.hints;
  };
  test.each<[string | undefined, string, object | undefined]>([
    [undefined, "n1", undefined],
    ["PreferClose", "n1", { forZones: [{ name: "x" }] }],
    ["PreferSameZone", "n1", { forZones: [{ name: "x" }] }],
    ["PreferSameNode", "n1", { forZones: [{ name: "x" }], forNodes: [{ name: "n1" }] }],
    ["PreferSameZone", "n2", undefined],
    ["PreferSameNode", "n2", { forNodes: [{ name: "n2" }] }],
  ])("of a Service with trafficDistribution %s on %s are meant for %j", (distribution, node, expected) => {
    expect(hints(distribution, podOn(node))).toEqual(expected);
  });
  test("that serve none of the ports are listed without any", () => {
    const named: Service = {
      ...service,
      spec: { ...service.spec, ports: [{ name: "http", port: 80, targetPort: "no" }] },
    };
    const { groups } = planEndpoints(named, [podOn("n1")], "IPv4", (name) => nodes.get(name));
    expect([...groups.values()].map(({ ports, endpoints }) => [ports, endpoints.length])).toEqual([[[], 1]]);
  });
  test("that are not ready are meant for nobody", () => {
    expect(hints("PreferSameNode", podOn("n1", false))).toBeUndefined();
  });
});

test("only the leader works; another takes over when it goes", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  const first = fixture.start("a");
  expect(await fixture.until(() => first.app.leader?.() === true)).toBe(true);
  const second = fixture.start("b");
  await fixture.env.advance(10_000);
  expect(second.app.leader?.()).toBe(false);
  const byB = () => fixture.cluster.writes().filter((call) => call.user === "b" && call.ref.resource !== "leases");
  expect(byB()).toEqual([]);
  first.stop.abort();
  expect(await fixture.until(() => second.app.leader?.() === true)).toBe(true);
  fixture.cluster.seed(NAMESPACES, namespace("late"));
  expect(await fixture.until(() => byB().some((call) => call.ref.resource === "serviceaccounts"))).toBe(true);
});
