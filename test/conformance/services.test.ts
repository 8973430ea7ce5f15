// Services and what tells their endpoints.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { at, type Rest, type Thing } from "./rest-client.ts";
import { gone } from "./shared-cluster.ts";
import { type Part, pod, readyPods } from "./workload.ts";

const DISCOVERY = "discovery.k8s.io/v1";
const apiService = conformsShared("API service");

apiService("default/kubernetes Service exists on https", async ({ api }) => {
  const service = await api.resource("v1", "services", "default").get("kubernetes");
  expect(service["spec"]).toMatchObject({ ports: [{ name: "https", port: 443, protocol: "TCP" }] });
});

const serviceApi = conformsShared("Service API");

serviceApi("list in all namespaces finds kubernetes", async ({ api }) => {
  const { items } = await api.resource("v1", "services").list();
  expect(items.some(({ metadata }) => metadata.namespace === "default" && metadata.name === "kubernetes")).toBe(true);
});

serviceApi("deletecollection", async ({ api, namespace }) => {
  const services = api.resource("v1", "services", await namespace("services"));
  for (const n of [1, 2, 3]) {
    const labels = n < 3 ? { collected: "yes" } : {};
    await services.create({
      metadata: { name: `s-${n}`, labels },
      spec: { type: "ClusterIP", ports: [{ port: 80 + n }] },
    });
  }
  await services.deleteCollection({ labelSelector: "collected=yes" });
  await eventually(
    () => services.list(),
    ({ items }) => items.map((one) => one.metadata.name).join(" ") === "s-3",
  );
});

/** Two pods, each with one of two named ports, behind one Service for each port and one for both. */
async function namedPorts(api: Rest, ns: string): Promise<void> {
  const ports = {
    one: [{ name: "example-name", containerPort: 3000 }],
    two: [
      { name: "example-name", containerPort: 3001 },
      { name: "other-port", containerPort: 3002 },
    ],
  };
  await api.resource("v1", "pods", ns).create(pod("pod1", { foo: "bar", pod: "one" }, {}, { ports: ports.one }));
  await api.resource("v1", "pods", ns).create(pod("pod2", { foo: "bar", pod: "two" }, {}, { ports: ports.two }));
  const services = api.resource("v1", "services", ns);
  await services.create({
    metadata: { name: "named-ports" },
    spec: { selector: { foo: "bar" }, ports: [{ name: "http80", port: 80, targetPort: "example-name" }] },
  });
  await services.create({
    metadata: { name: "matching-one" },
    spec: {
      selector: { pod: "two" },
      ports: [
        { name: "example-name", port: 80, targetPort: 3001 },
        { name: "other-port", port: 81, targetPort: "other-port" },
      ],
    },
  });
  await readyPods(api, ns, "foo=bar", 2);
}

const slices = conformsShared("EndpointSlice");

const slicesOf = async (api: Rest, ns: string, service: string): Promise<Thing[]> =>
  (await api.resource(DISCOVERY, "endpointslices", ns).list({ labelSelector: `kubernetes.io/service-name=${service}` }))
    .items;

slices("slices follow pods and named ports", async ({ api, namespace }) => {
  const ns = await namespace("slices");
  await namedPorts(api, ns);
  const portsOf = (items: readonly Thing[]): string =>
    items
      .map(
        (slice) =>
          `${at<Part[]>(slice, "endpoints")?.length}:${at<Part[]>(slice, "ports")
            ?.map((one) => `${String(one["name"])}=${String(one["port"])}`)
            .toSorted()
            .join(",")}`,
      )
      .toSorted()
      .join(" ");
  await eventually(
    () => slicesOf(api, ns, "named-ports"),
    (items) => portsOf(items) === "1:http80=3000 1:http80=3001",
  );
  const one = await eventually(
    () => slicesOf(api, ns, "matching-one"),
    // A slice says of a pod that it is ready a moment after the pod does.
    (items) =>
      portsOf(items) === "1:example-name=3001,other-port=3002" &&
      at(items[0]!, "endpoints.0.conditions.ready") === true,
  );
  const target = await api.resource("v1", "pods", ns).get("pod2");
  expect(at(one[0], "endpoints.0")).toMatchObject({
    addresses: [at(target, "status.podIP")],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: at(target, "spec.nodeName"),
    targetRef: { kind: "Pod", name: "pod2", namespace: ns, uid: target.metadata.uid },
  });
  expect(one[0]?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"]).toBe("endpointslice-controller.k8s.io");
  await api.resource("v1", "pods", ns).delete("pod1", { gracePeriodSeconds: 0 });
  await eventually(
    () => slicesOf(api, ns, "named-ports"),
    (items) => portsOf(items.filter((slice) => (at<Part[]>(slice, "endpoints")?.length ?? 0) > 0)) === "1:http80=3001",
  );
});

slices("custom Endpoints mirrored into slices", async ({ api, namespace }) => {
  const ns = await namespace("mirror");
  await api.resource("v1", "services", ns).create({
    metadata: { name: "custom" },
    spec: { ports: [{ name: "example", port: 80, protocol: "TCP" }] },
  });
  const endpoints = api.resource("v1", "endpoints", ns);
  const subset = (ip: string): Part => ({
    addresses: [{ ip }],
    ports: [{ name: "example", port: 80, protocol: "TCP" }],
  });
  await endpoints.create({ metadata: { name: "custom" }, subsets: [subset("10.1.2.3")] });
  const mirrored = (ip: string) => (items: Thing[]) =>
    items.length === 1 &&
    items[0]?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"] ===
      "endpointslicemirroring-controller.k8s.io" &&
    at(items[0], "endpoints.0.addresses.0") === ip &&
    at(items[0], "ports.0.port") === 80;
  await eventually(() => slicesOf(api, ns, "custom"), mirrored("10.1.2.3"));
  await retryOnConflict(async () => {
    const now = await endpoints.get("custom");
    return endpoints.replace({ ...now, subsets: [subset("10.2.3.4")] });
  });
  await eventually(() => slicesOf(api, ns, "custom"), mirrored("10.2.3.4"));
  await endpoints.delete("custom");
  await eventually(
    () => slicesOf(api, ns, "custom"),
    (items) => items.length === 0,
  );
});

const endpointsRows = conformsShared("Endpoints");

endpointsRows("Endpoints follow pods and named ports", async ({ api, namespace }) => {
  const ns = await namespace("endpoints");
  await namedPorts(api, ns);
  const all = api.resource("v1", "endpoints", ns);
  const portsOf = (thing: Thing): string =>
    (at<{ addresses?: Part[]; ports?: Part[] }[]>(thing, "subsets") ?? [])
      .map(
        (one) =>
          `${one.addresses?.length ?? 0}:${one.ports
            ?.map((port) => `${String(port["name"])}=${String(port["port"])}`)
            .toSorted()
            .join(",")}`,
      )
      .toSorted()
      .join(" ");
  await eventually(
    () => all.get("named-ports"),
    (now) => portsOf(now) === "1:http80=3000 1:http80=3001",
  );
  const one = await eventually(
    () => all.get("matching-one"),
    (now) => portsOf(now) === "1:example-name=3001,other-port=3002",
  );
  const target = await api.resource("v1", "pods", ns).get("pod2");
  expect(at(one, "subsets.0.addresses.0")).toMatchObject({
    ip: at(target, "status.podIP"),
    nodeName: at(target, "spec.nodeName"),
    targetRef: { kind: "Pod", name: "pod2", namespace: ns, uid: target.metadata.uid },
  });
  await api.resource("v1", "pods", ns).delete("pod1", { gracePeriodSeconds: 0 });
  await eventually(
    () => all.get("named-ports"),
    (now) => portsOf(now) === "1:http80=3001",
  );
});

endpointsRows("empty Endpoints for selector matching nothing; gone with Service", async ({ api, namespace }) => {
  const ns = await namespace("endpoints");
  const services = api.resource("v1", "services", ns);
  const all = api.resource("v1", "endpoints", ns);
  await services.create({
    metadata: { name: "empty" },
    spec: { selector: { nobody: "here" }, ports: [{ name: "example", port: 80, protocol: "TCP" }] },
  });
  const endpoints = await eventually(
    () => all.get("empty"),
    () => true,
  );
  expect(endpoints["subsets"] ?? []).toEqual([]);
  const empty = await eventually(
    () => slicesOf(api, ns, "empty"),
    (items) => items.length === 1,
  );
  expect(empty[0]?.["endpoints"] ?? []).toEqual([]);
  await services.delete("empty");
  await gone(() => all.get("empty"));
  await eventually(
    () => slicesOf(api, ns, "empty"),
    (items) => items.length === 0,
  );
});
