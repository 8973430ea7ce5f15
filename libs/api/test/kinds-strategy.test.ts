// How objects are written: defaults, generations, what a status update may touch, grace, and shared metadata.
import { deepClone, fieldErrorText } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import type { Deployment, Namespace, Pod, Service } from "../src/index.ts";
import {
  allKinds,
  kindFor,
  kindForGvk,
  sameValue,
  validateObjectMeta,
  validateObjectMetaUpdate,
} from "../src/index.ts";
import { imageTag } from "../src/core-v1/pod-spec/defaults.ts";

const CONTEXT = { nowMs: 0 };

function kind(resource: string, group = "") {
  const found = kindFor({ group, version: "v1", resource });
  if (!found) throw new Error(`no kind ${resource}`);
  return found;
}

test("every kind is found by resource and by kind", () => {
  for (const each of allKinds()) {
    expect(kindFor(each)).toBe(each);
    expect(kindForGvk(each)).toBe(each);
  }
});

test("a pod with less than no time to end has a second, and a template keeps what it says", () => {
  const spec = { terminationGracePeriodSeconds: -1, containers: [{ name: "c", image: "i" }] };
  const pod: Pod = { metadata: { name: "a" }, spec: deepClone(spec) };
  kind("pods").defaults(pod);
  expect(pod.spec?.terminationGracePeriodSeconds).toBe(1);
  const deployment = {
    metadata: { name: "a" },
    spec: { selector: {}, template: { spec: deepClone(spec) } },
  } as Deployment;
  kind("deployments", "apps").defaults(deployment);
  expect(deployment.spec?.template.spec?.terminationGracePeriodSeconds).toBe(-1);
});

test("defaults are idempotent", () => {
  const object: Pod = {
    metadata: { name: "a" },
    spec: {
      containers: [{ name: "c", image: "i", livenessProbe: { httpGet: { port: 80 } }, ports: [{ containerPort: 1 }] }],
      volumes: [{ name: "v" }, { name: "s", secret: { secretName: "s" } }],
    },
  };
  kind("pods").defaults(object);
  const once = deepClone(object);
  kind("pods").defaults(object);
  expect(object).toEqual(once);
  expect(object.spec?.volumes?.[0]).toEqual({ name: "v", emptyDir: {} });
  expect(object.spec?.volumes?.[1]?.secret?.defaultMode).toBe(420);
  expect(object.spec?.containers[0]?.livenessProbe).toMatchObject({ periodSeconds: 10, failureThreshold: 3 });
  expect(object.spec?.containers[0]?.imagePullPolicy).toBe("Always");
});

test.each([
  ["nginx", "latest"],
  ["nginx:1.27", "1.27"],
  ["localhost:5000/nginx", "latest"],
  ["localhost:5000/nginx:2", "2"],
  ["nginx@sha256:abc", ""],
])("the tag of %s is %j", (image, tag) => expect(imageTag(image)).toBe(tag));

test("a service of its own defaults", () => {
  const service: Service = { spec: { ports: [{ port: 80 }], type: "NodePort" } };
  kind("services").defaults(service);
  expect(service.spec).toEqual({
    type: "NodePort",
    sessionAffinity: "None",
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
  });
});

test("a namespace carries its name and a finalizer", () => {
  const namespace: Namespace = { metadata: { name: "team" } };
  kind("namespaces").defaults(namespace);
  kind("namespaces").strategy.prepareForCreate(namespace, CONTEXT);
  expect(namespace).toEqual({
    metadata: { name: "team", labels: { "kubernetes.io/metadata.name": "team" } },
    spec: { finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  });
});

test("a deployment's generation follows its spec and annotations, never its status", () => {
  const definition = kind("deployments", "apps");
  const old: Deployment = {
    metadata: { name: "d", generation: 4 },
    spec: { replicas: 1, selector: {}, template: {} },
    status: { replicas: 1 },
  };
  const next = (change: (d: Deployment) => void) => {
    const object = deepClone(old);
    change(object);
    definition.strategy.prepareForUpdate(object, old, CONTEXT);
    return object;
  };
  expect(next((d) => (d.status = { replicas: 9 }))).toEqual(old);
  expect(next((d) => (d.spec = { ...d.spec, replicas: 2, selector: {}, template: {} })).metadata?.generation).toBe(5);
  expect(next((d) => (d.metadata = { ...d.metadata, annotations: { a: "b" } })).metadata?.generation).toBe(5);
});

test("a pod starts Pending, with a class of service", () => {
  const pod: Pod = {
    metadata: { name: "a" },
    spec: { containers: [{ name: "c", image: "i", resources: { limits: { cpu: "1", memory: "1Gi" } } }] },
    status: { phase: "Running" },
  };
  kind("pods").defaults(pod);
  kind("pods").strategy.prepareForCreate(pod, CONTEXT);
  expect(pod.status).toEqual({ phase: "Pending", qosClass: "Guaranteed" });
  expect(pod.metadata?.generation).toBe(1);
});

test.each([
  ["a running pod gets its own grace", { nodeName: "n" }, "Running", undefined, 30],
  ["or what was asked for", { nodeName: "n" }, "Running", 5, 5],
  ["never less than nothing", { nodeName: "n" }, "Running", -1, 1],
  ["an unscheduled pod gets none", {}, "Pending", 5, 0],
  ["a finished pod gets none", { nodeName: "n" }, "Succeeded", undefined, 0],
])("%s", (_, spec, phase, asked, expected) => {
  const pod: Pod = { spec: { containers: [], terminationGracePeriodSeconds: 30, ...spec }, status: { phase } };
  expect(kind("pods").strategy.gracefulDelete?.(pod, asked)).toEqual({ gracePeriodSeconds: expected });
});

test("metadata is checked for all kinds alike", () => {
  const check = (meta: object, namespaced = true) => validateObjectMeta(meta, { namespaced }).map(fieldErrorText);
  expect(check({ name: "a", namespace: "b" })).toEqual([]);
  expect(check({})).toEqual([
    "metadata.name: Required value: name or generateName is required",
    "metadata.namespace: Required value",
  ]);
  expect(check({ name: "a", namespace: "b" }, false)).toEqual([
    "metadata.namespace: Forbidden: not allowed on this type",
  ]);
  expect(check({ generateName: "web-", namespace: "b" })).toEqual([]);
  expect(check({ name: "a", namespace: "b", finalizers: ["mine"] })).toEqual([
    'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
  ]);
  expect(check({ name: "a", namespace: "b", annotations: { big: "x".repeat(262_144) } })).toEqual([
    "metadata.annotations: Too long: may not be more than 262144 bytes",
  ]);
});

test("what identifies an object never changes", () => {
  const old = { name: "a", uid: "1", resourceVersion: "5", creationTimestamp: "2026-01-01T00:00:00Z" };
  expect(validateObjectMetaUpdate({ ...old, labels: { a: "b" } }, old)).toEqual([]);
  expect(validateObjectMetaUpdate({ ...old, uid: "2" }, old).map(fieldErrorText)).toEqual([
    'metadata.uid: Invalid value: "2": field is immutable',
  ]);
});

test.each([
  [{ a: [] }, {}, true],
  [{ a: "" }, {}, true],
  [{ hostNetwork: false }, {}, true],
  [{ runAsUser: 0 }, {}, false],
  [{ a: [1, 2] }, { a: [2, 1] }, false],
  [{}, { constructor: "x" }, false],
  [{ a: "x" }, { a: "x", b: { c: "" } }, true],
])("%j and %j mean the same: %j", (a, b, same) => expect(sameValue(a, b)).toBe(same));
