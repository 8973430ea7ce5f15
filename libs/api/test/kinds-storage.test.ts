// Storage, autoscaling and networking objects of which upstream refuses more than their required fields.
import type { KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { HorizontalPodAutoscaler, MetricSpec, StorageClass } from "../src/index.ts";
import { created, createErrors, statusErrors, updateErrors } from "./support/kind-cases.ts";

test("a node's drivers have domains for names, and keys that are labels", () => {
  const drivers = [
    { name: "a_b", nodeID: "n", allocatable: { count: -1 }, topologyKeys: ["k", "k", ""] },
    { name: "a.b", nodeID: "n".repeat(257) },
  ];
  expect(createErrors("csinodes.storage.k8s.io", { metadata: { name: "n" }, spec: { drivers } } as KubeObject)).toEqual(
    [
      expect.stringContaining('spec.drivers[0].name: Invalid value: "a_b": a lowercase RFC 1123 subdomain must'),
      "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
      'spec.drivers[0]: Duplicate value: "k"',
      "spec.drivers[0]: Required value",
      expect.stringContaining('spec.drivers[0]: Invalid value: "": name part must be non-empty'),
      expect.stringContaining('spec.drivers[0]: Invalid value: "": name part must consist'),
      expect.stringContaining("must be 256 characters or less"),
    ],
  );
});

test("a driver's tokens live long enough, and what it is stays", () => {
  const driver = { metadata: { name: "d" }, spec: { tokenRequests: [{ audience: "a", expirationSeconds: 1 }] } };
  driver.spec.tokenRequests.push(
    { audience: "a", expirationSeconds: 2 ** 33 },
    { audience: "b", expirationSeconds: 2 ** 33 },
  );
  expect(createErrors("csidrivers.storage.k8s.io", driver)).toEqual([
    "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
    'spec.tokenRequests[1].audience: Duplicate value: "a"',
    `spec.tokenRequests[2].expirationSeconds: Invalid value: ${2 ** 33}: may not specify a duration larger than 2^32 seconds`,
  ]);
  const plain = { metadata: { name: "d" }, spec: { attachRequired: true } };
  expect(created("csidrivers.storage.k8s.io", plain).metadata).not.toHaveProperty("generation");
  const changed = updateErrors("csidrivers.storage.k8s.io", plain, (next) => {
    next.spec.attachRequired = false;
  });
  expect(changed).toEqual(["spec.attachedRequired: Invalid value: false: field is immutable"]);
});

describe("where a class's volumes may be", () => {
  const errors = (...allowedTopologies: NonNullable<StorageClass["allowedTopologies"]>): string[] =>
    createErrors("storageclasses.storage.k8s.io", {
      metadata: { name: "s" },
      provisioner: "p",
      allowedTopologies,
    } as KubeObject);
  const term = (key: string, ...values: string[]) => ({ matchLabelExpressions: [{ key, values }] });
  test.each<[string, Parameters<typeof errors>, unknown[]]>([
    ["two places", [term("a", "1"), term("a", "2")], []],
    [
      "one place twice",
      [term("a", "1", "2"), term("a", "2", "1")],
      ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""'],
    ],
    ["nowhere", [{}], ['allowedTopologies[0].matchLabelExpressions: Duplicate value: ""']],
    [
      "no values, and one twice",
      [{ matchLabelExpressions: [...term("a").matchLabelExpressions, ...term("a", "1", "1").matchLabelExpressions] }],
      [
        "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
        'allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: "1"',
        'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "a"',
      ],
    ],
  ])("%s", (_name, terms, expected) => expect(errors(...terms)).toEqual(expected));
});

test("an attachment names a volume, and its status changes nothing else", () => {
  const attachment = (persistentVolumeName: string) => ({
    metadata: { name: "a", labels: { a: "b" } },
    spec: { attacher: "d", nodeName: "n", source: { persistentVolumeName } },
  });
  expect(createErrors("volumeattachments.storage.k8s.io", attachment("-x"))).toEqual([
    expect.stringContaining(
      'spec.source.persistentVolumeName: Invalid value: "-x": a lowercase RFC 1123 subdomain must',
    ),
  ]);
  const stored = created("volumeattachments.storage.k8s.io", attachment("x"));
  const kept: KubeObject[] = [];
  const errors = statusErrors<KubeObject>("volumeattachments.storage.k8s.io", stored, (next) => {
    next.metadata = { name: "a", labels: {}, finalizers: ["x"] };
    Object.assign(next, { status: { attached: false, attachError: { message: "m".repeat(1025) } } });
    kept.push(next);
  });
  expect(errors).toEqual(["status.attachError.message: Too long: may not be more than 262144 bytes"]);
  expect(kept[0]?.metadata).toEqual({ name: "a", labels: { a: "b" } });
});

describe("an autoscaler", () => {
  const CPU: MetricSpec = {
    type: "Resource",
    resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 1 } },
  };
  const autoscaler = (apiVersion: string, kind = "Deployment", metric = CPU): HorizontalPodAutoscaler => ({
    metadata: { name: "h" },
    spec: { maxReplicas: 1, scaleTargetRef: { apiVersion, kind, name: "d" }, metrics: [metric] },
  });
  const errors = (...given: Parameters<typeof autoscaler>): string[] =>
    createErrors("horizontalpodautoscalers.autoscaling/v2", autoscaler(...given));
  test("scales things of groups, and ReplicationControllers", () => {
    expect(errors("apps/v1")).toEqual([]);
    expect(errors("v1", "ReplicationController")).toEqual([]);
    expect(errors("v1")).toEqual([
      'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
    ]);
    expect(errors("a/b/c")).toEqual([
      'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ]);
  });
  test("keeps what it scaled before", () => {
    const changed = updateErrors("horizontalpodautoscalers.autoscaling/v2", autoscaler("v1"), (next) => {
      if (next.spec) next.spec.maxReplicas = 2;
    });
    expect(changed).toEqual([]);
  });
  test("looks at the first of several sources", () => {
    const target = { type: "Value", value: "1" };
    const two = { ...CPU, object: { metric: { name: "a/b" }, target, describedObject: { kind: "", name: "x" } } };
    expect(errors("apps/v1", "Deployment", two as MetricSpec)).toEqual([
      "spec.metrics[0].object.describedObject.kind: Required value",
      "spec.metrics[0].object.metric.name: Invalid value: \"a/b\": may not contain '/'",
      "spec.metrics[0].object: Forbidden: must populate the given metric source only",
    ]);
  });
  test("asks for what a container has", () => {
    const target = { type: "AverageValue", averageValue: "1" };
    const containerResource = { name: "Odd", container: "-", target };
    expect(errors("apps/v1", "Deployment", { type: "ContainerResource", containerResource })).toEqual([
      'spec.metrics[0].containerResource.name: Invalid value: "Odd": must be a standard resource type or fully qualified',
      'spec.metrics[0].containerResource.name: Invalid value: "Odd": must be a standard resource for containers',
      expect.stringContaining(
        'spec.metrics[0].containerResource.container: Invalid value: "-": a lowercase RFC 1123 label',
      ),
    ]);
  });
});

test("a range keeps its networks, and an address and a class name what there may be", () => {
  const range = { metadata: { name: "r" }, spec: { cidrs: ["10.0.0.0/24", "fd00::/64"] } };
  const other = updateErrors("servicecidrs.networking.k8s.io", range, (next) => {
    next.spec.cidrs = ["10.0.0.0/24", "fd01::/64"];
  });
  expect(other).toEqual(['spec.cidrs[1]: Invalid value: "fd01::/64": field is immutable']);
  const parentRef = { group: "A", resource: "services", name: "a%", namespace: "b/c" };
  expect(
    createErrors("ipaddresses.networking.k8s.io", {
      metadata: { name: "10.0.0.1" },
      spec: { parentRef },
    } as KubeObject),
  ).toEqual([
    "spec.parentRef.name: Invalid value: \"a%\": may not contain '%'",
    expect.stringContaining('spec.parentRef.group: Invalid value: "A": a lowercase RFC 1123 subdomain'),
    "spec.parentRef.namespace: Invalid value: \"b/c\": may not contain '/'",
  ]);
  const parameters = { kind: "a/", name: "n", scope: "Namespace", namespace: "N" };
  expect(
    createErrors("ingressclasses.networking.k8s.io", {
      metadata: { name: "i" },
      spec: { controller: "a/b", parameters },
    } as KubeObject),
  ).toEqual([
    "spec.parameters.kind: Invalid value: \"a/\": may not contain '/'",
    expect.stringContaining('spec.parameters.namespace: Invalid value: "N": a lowercase RFC 1123 label'),
  ]);
});
