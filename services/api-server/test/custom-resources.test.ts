// Custom resources end to end through the pipeline: what a definition brings, and what it takes along when it goes.
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from "@coxswain/api";
import type { CrdVersion, CustomResourceDefinition, JsonSchemaProps } from "@coxswain/api/apiextensions-v1/types";
import { crdCondition, crdConditionTrue } from "@coxswain/api/apiextensions-v1/types";
import { customKinds } from "@coxswain/api/apiextensions-v1/custom-kind";
import { createCa } from "@coxswain/component-base/identity/certificates";
import { isReason, type KubeObject, type ResourceRef, StatusError } from "@coxswain/apimachinery";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./test-server.ts";

type Custom = KubeObject & { spec?: Record<string, unknown>; status?: Record<string, unknown> };

const SCHEMA: JsonSchemaProps = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      required: ["cronSpec"],
      properties: {
        cronSpec: { type: "string", pattern: "^(\\S+\\s?){5}$" },
        image: { type: "string", default: "cron:latest" },
        replicas: { type: "integer", minimum: 1, maximum: 10 },
        port: { "x-kubernetes-int-or-string": true },
        note: { type: "string", nullable: true },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        args: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            required: ["name"],
            properties: { name: { type: "string" }, v: { type: "string" } },
          },
        },
      },
    },
    status: { type: "object", properties: { replicas: { type: "integer" }, selector: { type: "string" } } },
  },
};

const VERSION: CrdVersion = {
  name: "v1",
  served: true,
  storage: true,
  schema: { openAPIV3Schema: SCHEMA },
  subresources: {
    status: {},
    scale: {
      specReplicasPath: ".spec.replicas",
      statusReplicasPath: ".status.replicas",
      labelSelectorPath: ".status.selector",
    },
  },
  selectableFields: [{ jsonPath: ".spec.image" }],
};

function definition(
  plural: string,
  kind: string,
  versions: CrdVersion[],
  scope = "Namespaced",
): CustomResourceDefinition {
  const group = "stable.example.com";
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: { group, scope, names: { plural, kind }, versions },
  };
}

const cronTabs: ResourceRef = { group: "stable.example.com", version: "v1", resource: "crontabs" };
const cronTab = (name: string, spec: Record<string, unknown>): Custom => ({
  apiVersion: "stable.example.com/v1",
  kind: "CronTab",
  metadata: { name, namespace: "default" },
  spec: { cronSpec: "* * * * *", ...spec },
});

let server: TestServer;
const at = (name: string) => ({ namespace: "default", name });

/** Waits for a state of a definition. */
async function until(name: string, holds: (crd: CustomResourceDefinition | undefined) => boolean): Promise<void> {
  const stop = new AbortController();
  const found = (): CustomResourceDefinition | undefined =>
    server.api.source.get(CUSTOM_RESOURCE_DEFINITIONS, "", name)?.object as CustomResourceDefinition | undefined;
  await new Promise<void>((resolve) => {
    const unlisten = server.api.source.onChange(CUSTOM_RESOURCE_DEFINITIONS, () => {
      if (!holds(found())) return;
      unlisten();
      resolve();
    });
    if (holds(found())) resolve();
  });
  stop.abort();
}

const established = (crd: CustomResourceDefinition | undefined): boolean =>
  crd !== undefined && crdConditionTrue(crd, "Established");

async function refusal(attempt: Promise<unknown>): Promise<StatusError> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("crontabs", "CronTab", [VERSION]));
  await until("crontabs.stable.example.com", established);
});
afterAll(() => server.stop());

test("a definition is established, and its names are accepted", async () => {
  const name = "crontabs.stable.example.com";
  const crd = await server.client.get<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, { name });
  expect(crd.status).toMatchObject({
    acceptedNames: { plural: "crontabs", singular: "crontab", kind: "CronTab", listKind: "CronTabList" },
    storedVersions: ["v1"],
  });
  expect(crdCondition(crd, "NamesAccepted")).toMatchObject({ status: "True", reason: "NoConflicts" });
  expect(crdCondition(crd, "Established")).toMatchObject({ status: "True", reason: "InitialNamesAccepted" });
});

test("objects are defaulted, pruned, validated and counted", async () => {
  const { client } = server;
  const spec = { replicas: 2, unknown: 1, note: null, image: null, free: { any: [{ thing: 1 }] }, port: "http" };
  const made = await client.create(cronTabs, { ...cronTab("one", spec), status: { replicas: 9 } });
  expect(made.spec).toEqual({
    cronSpec: "* * * * *",
    replicas: 2,
    note: null,
    image: "cron:latest",
    free: { any: [{ thing: 1 }] },
    port: "http",
  });
  expect(made.status).toBeUndefined();
  expect(made.metadata?.generation).toBe(1);
  const changed = await client.patch<Custom>(cronTabs, at("one"), "application/merge-patch+json", {
    spec: { replicas: 3 },
  });
  expect(changed.metadata?.generation).toBe(2);
  const labelled = await client.patch<Custom>(cronTabs, at("one"), "application/json-patch+json", [
    { op: "add", path: "/metadata/labels", value: { a: "b" } },
  ]);
  expect(labelled.metadata?.generation).toBe(2);
  const wrong = await refusal(client.create(cronTabs, cronTab("bad", { cronSpec: 5, replicas: 11, port: true })));
  expect(wrong.code).toBe(422);
  expect(wrong.message).toBe(
    'CronTab.stable.example.com "bad" is invalid: [spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer", spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10, spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"]',
  );
  const twice = await refusal(client.create(cronTabs, cronTab("bad", { args: [{ name: "a" }, { name: "a" }] })));
  expect(twice.message).toContain('spec.args[1]: Duplicate value: {"name":"a"}');
  const missing = await refusal(
    client.create(cronTabs, { ...cronTab("bad", {}), spec: {} }, { fieldValidation: "Strict" }),
  );
  expect(missing.message).toBe('CronTab.stable.example.com "bad" is invalid: spec.cronSpec: Required value');
});

test("unknown fields are refused where that is asked for, and strategic patches always", async () => {
  const { client } = server;
  const strict = await refusal(
    client.create(cronTabs, cronTab("strict", { foo: 1 }), { fieldValidation: "Strict", dryRun: true }),
  );
  expect(strict.message).toBe(
    'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.foo"',
  );
  for (const subresource of ["", "status", "scale"]) {
    const patch = client.patch(cronTabs, at("one"), "application/strategic-merge-patch+json", {}, { subresource });
    expect([subresource, (await refusal(patch)).code]).toEqual([subresource, 415]);
  }
});

test("status and scale have doors of their own", async () => {
  const { client } = server;
  await client.create(cronTabs, cronTab("scaled", { replicas: 1 }));
  const now = await client.get<Custom>(cronTabs, at("scaled"));
  const status = { replicas: 1, selector: "app=x" };
  const told = await client.update(cronTabs, { ...now, spec: { cronSpec: "x" }, status }, { subresource: "status" });
  expect(told.spec).toEqual(now.spec);
  expect(told.status).toEqual(status);
  expect(told.metadata?.generation).toBe(1);
  const scale = await client.get<Custom>(cronTabs, at("scaled"), { subresource: "scale" });
  expect(scale).toMatchObject({ kind: "Scale", spec: { replicas: 1 }, status: { replicas: 1, selector: "app=x" } });
  await client.update(cronTabs, { ...scale, spec: { replicas: 4 } }, { subresource: "scale" });
  const scaled = await client.get<Custom>(cronTabs, at("scaled"));
  expect(scaled.spec?.["replicas"]).toBe(4);
  expect(scaled.status).toEqual(status);
});

test("what was wrong before may stay as long as it does not change", async () => {
  const { client } = server;
  const name = "gadgets.stable.example.com";
  const gadgets: ResourceRef = { ...cronTabs, resource: "gadgets" };
  const version = (pattern: string): CrdVersion => ({
    name: "v1",
    served: true,
    storage: true,
    schema: {
      openAPIV3Schema: {
        type: "object",
        properties: { spec: { type: "object", properties: { a: { type: "string", pattern }, b: { type: "string" } } } },
      },
    },
  });
  await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("gadgets", "Gadget", [version(".*")]));
  await until(name, established);
  const gadget = { apiVersion: "stable.example.com/v1", kind: "Gadget", metadata: { name: "g", namespace: "default" } };
  await client.create(gadgets, { ...gadget, spec: { a: "UPPER" } });
  await client.patch(CUSTOM_RESOURCE_DEFINITIONS, { name }, "application/json-patch+json", [
    { op: "replace", path: "/spec/versions/0", value: version("^[a-z]*$") },
  ]);
  const change = (spec: object): Promise<Custom> =>
    client.patch(gadgets, at("g"), "application/merge-patch+json", { spec });
  expect((await change({ b: "new" })).spec).toEqual({ a: "UPPER", b: "new" });
  expect((await refusal(change({ a: "OTHER" }))).message).toContain("spec.a in body should match '^[a-z]*$'");
});

test("versions differ in their apiVersion and their defaults, and are one object", async () => {
  const { client } = server;
  const schema = (fallback: string): CrdVersion["schema"] => ({
    openAPIV3Schema: {
      type: "object",
      properties: {
        spec: { type: "object", properties: { a: { type: "string" }, d: { type: "string", default: fallback } } },
      },
    },
  });
  const versions: CrdVersion[] = [
    { name: "v1beta1", served: true, storage: true, schema: schema("old") },
    { name: "v1", served: true, storage: false, schema: schema("new") },
  ];
  await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("twins", "Twin", versions, "Cluster"));
  await until("twins.stable.example.com", established);
  const v1: ResourceRef = { ...cronTabs, resource: "twins" };
  const beta = { ...v1, version: "v1beta1" };
  const stop = new AbortController();
  const events = client.watch<Custom>(beta, {}, stop.signal)[Symbol.asyncIterator]();
  const first = events.next();
  const made = await client.create<Custom>(v1, {
    apiVersion: "stable.example.com/v1",
    kind: "Twin",
    metadata: { name: "t" },
    spec: { a: "x", d: "set" },
  });
  expect(made.apiVersion).toBe("stable.example.com/v1");
  expect((await client.get<Custom>(beta, { name: "t" })).apiVersion).toBe("stable.example.com/v1beta1");
  const { value: event } = (await first) as { value: { type: string; object: Custom } };
  expect(event).toMatchObject({
    type: "ADDED",
    object: { apiVersion: "stable.example.com/v1beta1", spec: { d: "set" } },
  });
  stop.abort();
  const updated = await client.patch<Custom>(beta, { name: "t" }, "application/merge-patch+json", {
    spec: { d: null },
  });
  expect(updated.spec).toEqual({ a: "x", d: "old" });
  expect((await client.list<Custom>(v1, {})).items[0]).toMatchObject({ apiVersion: "stable.example.com/v1" });
});

test("an object that is read has the defaults of the version that it is stored in, one that is written its own too", async () => {
  const { client } = server;
  const name = "heirs.stable.example.com";
  const version = (of: string, storage: boolean, defaults: readonly string[]): CrdVersion => {
    const field = (key: string): JsonSchemaProps => ({
      type: "string",
      ...(defaults.includes(key) ? { default: of } : {}),
    });
    const fields = Object.fromEntries(["v1", "v1beta1", "late"].map((key) => [key, field(key)]));
    const spec = { type: "object", properties: fields };
    const schema = { openAPIV3Schema: { type: "object", properties: { spec } } };
    return { name: of, served: true, storage, schema };
  };
  const versions = [version("v1", true, ["v1"]), version("v1beta1", false, ["v1beta1"])];
  await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("heirs", "Heir", versions));
  await until(name, established);
  const beta: ResourceRef = { group: "stable.example.com", version: "v1beta1", resource: "heirs" };
  const heir = {
    apiVersion: "stable.example.com/v1beta1",
    kind: "Heir",
    metadata: { name: "h", namespace: "default" },
  };
  const both = { v1: "v1", v1beta1: "v1beta1" };
  expect((await client.create<Custom>(beta, { ...heir, spec: {} })).spec).toEqual(both);
  const change = async (later: CrdVersion[]): Promise<void> => {
    const patch = [{ op: "replace", path: "/spec/versions", value: later }];
    await client.patch(CUSTOM_RESOURCE_DEFINITIONS, { name }, "application/json-patch+json", patch);
    const served = server.api.source.get(CUSTOM_RESOURCE_DEFINITIONS, "", name)?.object as CustomResourceDefinition;
    expect(served.spec.versions).toEqual(later);
  };
  await change([version("v1", true, ["v1", "late"]), version("v1beta1", false, ["v1beta1"])]);
  expect((await client.get<Custom>(beta, at("h"))).spec).toEqual({ ...both, late: "v1" });
  expect((await client.list<Custom>(beta, { namespace: "default" })).items[0]?.spec).toEqual({ ...both, late: "v1" });
  await change([version("v1", true, ["v1"]), version("v1beta1", false, ["v1beta1", "late"])]);
  expect((await client.get<Custom>(beta, at("h"))).spec).toEqual(both);
});

test("a version that is deprecated names the one to use", async () => {
  const name = "relics.stable.example.com";
  const version = (of: string, more: Partial<CrdVersion>): CrdVersion => ({
    ...VERSION,
    name: of,
    storage: of === "v1beta2",
    ...more,
  });
  const versions = [
    version("v1alpha1", { deprecated: true }),
    version("v1beta1", {}),
    version("v1beta2", {}),
    version("v1", { served: false }),
    version("v1beta3", { deprecated: true }),
  ];
  await server.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("relics", "Relic", versions));
  await until(name, established);
  const crd = server.api.source.get(CUSTOM_RESOURCE_DEFINITIONS, "", name)?.object as CustomResourceDefinition;
  const told = Object.fromEntries(customKinds(crd).map((kind) => [kind.version, kind.deprecation]));
  expect(told).toEqual({
    v1alpha1: "stable.example.com/v1alpha1 Relic is deprecated; use stable.example.com/v1beta2 Relic",
    v1beta3: "stable.example.com/v1beta3 Relic is deprecated",
  });
});

test("a definition whose webhook has a bundle without certificates is not established until it is mended", async () => {
  const { client } = server;
  const name = "bundles.stable.example.com";
  const crd = definition("bundles", "Bundle", [VERSION]);
  const bundle = (caBundle: string): CustomResourceDefinition["spec"]["conversion"] => ({
    strategy: "Webhook",
    webhook: {
      clientConfig: { caBundle, service: { namespace: "default", name: "converter" } },
      conversionReviewVersions: ["v1"],
    },
  });
  const wrong = Buffer.from("no certificate").toString("base64");
  await client.create(CUSTOM_RESOURCE_DEFINITIONS, { ...crd, spec: { ...crd.spec, conversion: bundle(wrong) } });
  await until(name, (found) => found !== undefined && crdCondition(found, "Established") !== undefined);
  const refused = await client.get<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, { name });
  expect(crdCondition(refused, "Established")).toMatchObject({ status: "False", reason: "InvalidCABundle" });
  const right = Buffer.from((await createCa(server.env)).certPem).toString("base64");
  const change = (value: string): Promise<CustomResourceDefinition> =>
    client.patch(CUSTOM_RESOURCE_DEFINITIONS, { name }, "application/merge-patch+json", {
      spec: { conversion: bundle(value) },
    });
  await change(right);
  await until(name, established);
  expect((await refusal(change(wrong))).message).toContain(
    `spec.conversion.webhookClientConfig.caBundle: Invalid value: "${wrong}": unable to load root certificates: unable to parse bytes as PEM block`,
  );
});

test("objects are found by label and by selectable field", async () => {
  const { client } = server;
  await client.create(cronTabs, cronTab("chosen", { image: "special" }));
  const list = async (fieldSelector: string): Promise<string[]> => {
    const { items } = await client.list<Custom>(cronTabs, { namespace: "default", fieldSelector });
    return items.map(({ metadata }) => metadata?.name ?? "");
  };
  expect(await list("spec.image=special")).toEqual(["chosen"]);
  expect(await list("spec.image!=special,metadata.name=one")).toEqual(["one"]);
  expect((await refusal(list("spec.replicas=1"))).message).toBe("field label not supported: spec.replicas");
});

test("a name that is taken keeps a definition from being served", async () => {
  const { client } = server;
  await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("others", "CronTab", [VERSION]));
  const name = "others.stable.example.com";
  await until(name, (crd) => crd !== undefined && crdCondition(crd, "NamesAccepted") !== undefined);
  const crd = await client.get<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, { name });
  expect(crdCondition(crd, "NamesAccepted")).toMatchObject({
    status: "False",
    reason: "ListKindConflict",
    message: '"CronTabList" is already in use',
  });
  expect(crdCondition(crd, "Established")).toMatchObject({ status: "False", reason: "NotAccepted" });
  const missing = await refusal(client.list({ ...cronTabs, resource: "others" }, {}));
  expect(missing.message).toBe("the server could not find the requested resource");
  await client.delete(CUSTOM_RESOURCE_DEFINITIONS, { name });
});

test("another api-server serves it too, and finds what is there", async () => {
  const second = await startTestServer({ store: server.store });
  try {
    expect((await second.client.get<Custom>(cronTabs, at("one"))).spec?.["image"]).toBe("cron:latest");
  } finally {
    await second.stop();
  }
});

test("a definition goes after its objects, and its resource is gone then", async () => {
  const { client } = server;
  const name = "crontabs.stable.example.com";
  await client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "held" } });
  const held = {
    ...cronTab("held", {}),
    metadata: { name: "held", namespace: "held", finalizers: ["x.example.com/y"] },
  };
  await client.create(cronTabs, held);
  await client.delete(CUSTOM_RESOURCE_DEFINITIONS, { name });
  await until(
    name,
    (crd) => crdCondition(crd as CustomResourceDefinition, "Terminating")?.reason === "InstanceDeletionInProgress",
  );
  const late = {
    code: 403,
    message:
      'crontabs.stable.example.com "late" is forbidden: create not allowed while custom resource definition is terminating',
  };
  expect(await refusal(client.create(cronTabs, cronTab("late", {})))).toMatchObject(late);
  const applied = server.api.pipeline.handle({
    ...cronTabs,
    ...at("late"),
    verb: "patch",
    subresource: "",
    user: { username: "admin", groups: ["system:masters"] },
    contentType: "application/apply-patch+yaml",
    options: { fieldManager: "m" },
    signal: new AbortController().signal,
    body: Buffer.from(JSON.stringify(cronTab("late", {}))),
  });
  expect(await refusal(applied)).toMatchObject(late);
  const patch = { metadata: { finalizers: null } };
  await client.patch(cronTabs, { namespace: "held", name: "held" }, "application/merge-patch+json", patch);
  await until(name, (crd) => crd === undefined);
  expect(isReason(await refusal(client.get(cronTabs, at("one"))), "NotFound")).toBe(true);
  await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition("crontabs", "CronTab", [VERSION]));
  await until(name, established);
  expect((await client.list(cronTabs, {})).items).toEqual([]);
});
