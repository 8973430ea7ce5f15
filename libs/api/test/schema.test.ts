// Schemas: what is unknown, mistyped, mergeable; and the OpenAPI documents made from them.
import { applyStrategicMergePatch } from "@coxswain/apimachinery";
import fc from "fast-check";
import { expect, test } from "vitest";
import { allKinds } from "../src/scheme.ts";
import {
  checkTypes,
  openApiV3,
  openApiV3Index,
  patchSchemaFor,
  pruneUnknown,
  schemaFor,
  walkUnknownFields,
} from "../src/schema/index.ts";

const DEPLOYMENT = "io.k8s.api.apps.v1.Deployment";
const POD = "io.k8s.api.core.v1.Pod";

test("every kind has a schema that names it", () => {
  for (const kind of allKinds()) {
    expect(schemaFor(kind.schemaName).gvk).toEqual([kind.group, kind.version, kind.kind]);
  }
});

test("unknown fields are named and pruned; nulls go with them", () => {
  const object = {
    foo: 1,
    metadata: { name: "x", labels: { anything: "goes" }, creationTimestamp: null },
    spec: { template: { spec: { containers: [{ name: "c", nme: 1, resources: { limits: { cpu: 1 } } }] } } },
  };
  expect(walkUnknownFields(object, DEPLOYMENT)).toEqual([
    'unknown field "foo"',
    'unknown field "spec.template.spec.containers[0].nme"',
  ]);
  pruneUnknown(object, DEPLOYMENT);
  expect(object).toEqual({
    metadata: { name: "x", labels: { anything: "goes" } },
    spec: { template: { spec: { containers: [{ name: "c", resources: { limits: { cpu: 1 } } }] } } },
  });
});

test("inlined fields and maps of objects are known", () => {
  const pod = {
    spec: {
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [{ livenessProbe: { httpGet: { port: "x" } } }],
      ephemeralContainers: [{ name: "e", targetContainerName: "c" }],
    },
  };
  expect(walkUnknownFields(pod, POD)).toEqual([]);
  expect(checkTypes(pod, POD)).toEqual([]);
});

test("wrong types are told as upstream's decoder does", () => {
  const errors = checkTypes(
    {
      metadata: { labels: { a: 1 } },
      spec: { replicas: "3", paused: 1, selector: [], template: { spec: { containers: {} } } },
    },
    DEPLOYMENT,
  );
  expect(errors).toEqual([
    "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
    "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    "json: cannot unmarshal number into Go struct field DeploymentSpec.spec.paused of type bool",
    "json: cannot unmarshal array into Go struct field DeploymentSpec.spec.selector of type v1.LabelSelector",
    "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
  ]);
});

test("any value is checked, walked and pruned without a crash", () => {
  const member = fc.constantFrom("spec", "metadata", "containers", "template", "labels", "ports", "__proto__", "x");
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ depthSize: "small" }, fc.constant(null), fc.nat(), fc.string(), tie("list"), tie("map")),
    list: fc.array(tie("any"), { maxLength: 3 }),
    map: fc.dictionary(member, tie("any"), { maxKeys: 4 }),
  })).any;
  fc.assert(
    fc.property(value, (object) => {
      checkTypes(object, DEPLOYMENT);
      pruneUnknown(object, DEPLOYMENT);
      expect(walkUnknownFields(object, DEPLOYMENT)).toEqual([]);
    }),
  );
});

test("patch rules come from the schema", () => {
  const before = { spec: { containers: [{ name: "a", image: "1" }, { name: "b" }] } };
  const patch = { spec: { containers: [{ name: "a", image: "2" }] } };
  expect(applyStrategicMergePatch(before, patch, patchSchemaFor(POD))).toEqual({
    spec: { containers: [{ name: "a", image: "2" }, { name: "b" }] },
  });
  const ports = patchSchemaFor("io.k8s.api.core.v1.ServiceSpec").lookup("ports");
  expect(ports).toMatchObject({ mergeKey: "port", strategies: ["merge"] });
});

test("OpenAPI documents refer only to schemas that they hold", () => {
  const groups = new Map(allKinds().map((kind) => [`${kind.group}/${kind.version}`, kind]));
  for (const { group, version } of groups.values()) {
    const document = openApiV3(group, version, allKinds()) as {
      paths: Record<string, Record<string, unknown>>;
      components: { schemas: Record<string, unknown> };
    };
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components.schemas).toHaveProperty([name as string]);
    }
  }
  const apps = openApiV3("apps", "v1", allKinds()) as { paths: Record<string, { patch?: Record<string, unknown> }> };
  const patch = apps.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]?.patch;
  expect(patch).toMatchObject({
    "x-kubernetes-group-version-kind": { group: "apps", version: "v1", kind: "Deployment" },
    parameters: expect.arrayContaining([expect.objectContaining({ name: "fieldValidation" })]) as unknown,
  });
  expect(openApiV3Index([{ group: "apps", version: "v1" }], () => "h")).toEqual({
    paths: { "apis/apps/v1": { serverRelativeURL: "/openapi/v3/apis/apps/v1?hash=h" } },
  });
});

test("empty values that Go leaves out of JSON are taken out, those that mean something stay", () => {
  const pod = {
    metadata: { name: "p", labels: {}, ownerReferences: [], finalizers: [], annotations: { a: "" } },
    spec: {
      hostNetwork: false,
      nodeName: "",
      automountServiceAccountToken: false,
      containers: [{ name: "c", image: "i", command: [], env: [{ name: "A", value: "" }] }],
      volumes: [{ name: "v", emptyDir: {} }],
    },
  };
  pruneUnknown(pod, "io.k8s.api.core.v1.Pod");
  expect(pod).toEqual({
    metadata: { name: "p", annotations: { a: "" } },
    spec: {
      automountServiceAccountToken: false,
      containers: [{ name: "c", image: "i", env: [{ name: "A" }] }],
      volumes: [{ name: "v", emptyDir: {} }],
    },
  });
});
