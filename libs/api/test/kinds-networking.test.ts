// Ingress, NetworkPolicy, addresses, storage classes, priorities, autoscalers: defaults, refusals, rows.
import { describe, expect, test } from "vitest";
import type { HorizontalPodAutoscaler, Ingress, NetworkPolicy, StorageClass } from "../src/index.ts";
import { cells, created, createErrors, kindNamed, updateErrors } from "./support/kind-cases.ts";

const backend = { service: { name: "web", port: { number: 80 } } };
const ingress = (path: object = {}, spec: object = {}): Ingress => ({
  metadata: { name: "i", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: {
    rules: [{ host: "a.example", http: { paths: [{ path: "/", pathType: "Prefix", backend, ...path }] } }],
    ...spec,
  },
});

describe("an ingress", () => {
  const AT = "spec.rules[0].http.paths[0]";
  test.each<[string, Ingress, string[]]>([
    ["a good one", ingress(), []],
    [
      "nothing to do",
      ingress({}, { rules: [] }),
      ["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"],
    ],
    [
      "no type of path",
      ingress({ pathType: undefined }),
      [`${AT}.pathType: Required value: pathType must be specified`],
    ],
    ["a relative path", ingress({ path: "x" }), [`${AT}.path: Invalid value: "x": must be an absolute path`]],
    ["a path that climbs", ingress({ path: "/a/.." }), [`${AT}.path: Invalid value: "/a/..": cannot end with '/..'`]],
    [
      "no backend",
      ingress({ backend: {} }),
      [`${AT}.backend: Required value: resource or service backend is required`],
    ],
    [
      "two ports",
      ingress({ backend: { service: { name: "web", port: { number: 80, name: "http" } } } }),
      [`${AT}.backend.service.port: Invalid value: "": cannot set both port name & port number`],
    ],
    [
      "an address for a host",
      ingress({}, { rules: [{ host: "10.0.0.1" }] }),
      ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
    ],
  ])("%s", (_, object, errors) => expect(createErrors("ingresses.networking.k8s.io", object)).toEqual(errors));

  test("is shown with class, hosts and ports", () => {
    const shown = cells("ingresses.networking.k8s.io", ingress({}, { tls: [{}] }), Date.UTC(2026, 0, 2));
    expect(shown).toEqual({
      Name: "i",
      Class: "<none>",
      Hosts: "a.example",
      Address: "",
      Ports: "80, 443",
      Age: "24h",
    });
  });
});

const policy = (spec: object): NetworkPolicy => ({ metadata: { name: "p" }, spec: { podSelector: {}, ...spec } });

describe("a network policy", () => {
  test("is for what it has rules for", () => {
    expect(created("networkpolicies.networking.k8s.io", policy({ egress: [{ ports: [{ port: 80 }] }] })).spec).toEqual({
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
      egress: [{ ports: [{ port: 80, protocol: "TCP" }] }],
    });
  });
  test.each<[string, object, string[]]>([
    ["nobody", { ingress: [{ from: [{}] }] }, ["spec.ingress[0].from[0]: Required value: must specify a peer"]],
    [
      "a hole outside its block",
      { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/16", except: ["10.1.0.0/24"] } }] }] },
      ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.1.0.0/24": must be a strict subset of `cidr`'],
    ],
    [
      "a range that ends before it begins",
      { ingress: [{ ports: [{ port: 80, endPort: 70 }] }] },
      ["spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
    ],
    [
      "a third type",
      { policyTypes: ["Both"] },
      ['spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"'],
    ],
  ])("%s", (_, spec, errors) =>
    expect(createErrors("networkpolicies.networking.k8s.io", policy(spec))).toEqual(errors),
  );
});

test("addresses are named by themselves", () => {
  const name = (text: string) => kindNamed("ipaddresses.networking.k8s.io").validateName?.(text, false);
  expect(name("10.0.0.1")).toEqual([]);
  expect(name("2001:db8:0::1")).toEqual(['must be in canonical form ("2001:db8::1")']);
  expect(name("web")).toEqual(["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]);
});

test("ranges of Services may get a second family", () => {
  const range = { metadata: { name: "r" }, spec: { cidrs: ["10.0.0.0/16"] } };
  const set = (cidrs: string[]) => (object: typeof range) => (object.spec.cidrs = cidrs);
  expect(updateErrors("servicecidrs.networking.k8s.io", range, set(["10.0.0.0/16", "fd00::/112"]))).toEqual([]);
  expect(updateErrors("servicecidrs.networking.k8s.io", range, set(["10.1.0.0/16"]))).toEqual([
    'spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable',
  ]);
});

test("a storage class keeps what makes its volumes", () => {
  const storageClass: StorageClass = {
    metadata: { name: "s" },
    provisioner: "example.com/disk",
    parameters: { type: "a" },
  };
  expect(created("storageclasses.storage.k8s.io", storageClass)).toMatchObject({
    reclaimPolicy: "Delete",
    volumeBindingMode: "Immediate",
  });
  expect(
    updateErrors("storageclasses.storage.k8s.io", storageClass, (object) => (object.parameters = { type: "b" })),
  ).toEqual(["parameters: Forbidden: updates to parameters are forbidden."]);
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  expect(cells("storageclasses.storage.k8s.io", { metadata: { name: "s", annotations } }, 0)).toMatchObject({
    Name: "s (default)",
  });
});

test("priorities: the system's names are its own, and values stay", () => {
  const named = (name: string, value: number) => ({ metadata: { name }, value });
  expect(createErrors("priorityclasses.scheduling.k8s.io", named("system-node-critical", 2_000_001_000))).toEqual([]);
  expect(createErrors("priorityclasses.scheduling.k8s.io", named("system-mine", 1))).toEqual([
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class",
  ]);
  expect(createErrors("priorityclasses.scheduling.k8s.io", named("big", 1_000_000_001))).toEqual([
    "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
  ]);
  expect(updateErrors("priorityclasses.scheduling.k8s.io", named("a", 1), (object) => (object.value = 2))).toEqual([
    "value: Forbidden: may not be changed in an update.",
  ]);
});

const autoscaler = (spec: object = {}): HorizontalPodAutoscaler => ({
  metadata: { name: "h" },
  spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, maxReplicas: 3, ...spec },
});

describe("an autoscaler", () => {
  const NAME = "horizontalpodautoscalers.autoscaling/v2";
  test("aims at 80% of the processors, and moves at upstream's pace", () => {
    expect(created(NAME, autoscaler({ behavior: { scaleDown: { selectPolicy: "Min" } } })).spec).toMatchObject({
      minReplicas: 1,
      metrics: [
        { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
      ],
      behavior: {
        scaleUp: { selectPolicy: "Max" },
        scaleDown: { selectPolicy: "Min", policies: [{ type: "Percent" }] },
      },
    });
  });
  test.each<[string, object, string[]]>([
    ["a good one", {}, []],
    [
      "more at least than at most",
      { minReplicas: 5 },
      ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
    ],
    [
      "nothing to scale",
      { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "" } },
      ["spec.scaleTargetRef.name: Required value"],
    ],
    [
      "a metric of no kind",
      { metrics: [{ type: "Pods" }] },
      ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
    ],
    ["a tolerance of its own", { behavior: { scaleUp: { tolerance: "0.05" } } }, []],
    [
      "a tolerance below nothing",
      { behavior: { scaleDown: { tolerance: "-0.1" } } },
      ['spec.behavior.scaleDown.tolerance: Invalid value: "-0.1": must be greater than or equal to 0'],
    ],
  ])("%s", (_, spec, errors) => expect(createErrors(NAME, autoscaler(spec))).toEqual(errors));
  test("shows what is and what should be", () => {
    const stored = created(NAME, autoscaler());
    const currentMetrics = [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: 12 } } }];
    const object = { ...stored, status: { currentReplicas: 2, desiredReplicas: 2, currentMetrics } };
    expect(cells(NAME, object, 0)).toMatchObject({
      Reference: "Deployment/web",
      Targets: "cpu: 12%/80%",
      MinPods: "1",
      MaxPods: 3,
      Replicas: 2,
    });
  });
});
