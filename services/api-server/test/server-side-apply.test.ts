// Server-side apply through the pipeline: who owns what after each kind of write, what conflicts say, what is refused.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, PODS, type Deployment } from "@coxswain/api";
import type { KubeObject, ManagedFieldsEntry, ResourceRef } from "@coxswain/apimachinery";
import { type FieldSet, showPaths } from "@coxswain/apimachinery/managed-fields/index";
import type { ApiRequest, ApiResult, RequestOptions } from "../src/pipeline/contract.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(async () => {
  await server.stop();
});

interface Call {
  readonly ref?: ResourceRef;
  readonly name: string;
  readonly subresource?: string;
  readonly options?: RequestOptions;
  readonly userAgent?: string;
}

async function send(verb: ApiRequest["verb"], contentType: string, body: unknown, call: Call): Promise<ApiResult> {
  const { ref = CONFIG_MAPS, name, subresource = "", options = {}, userAgent = "tester/1.0" } = call;
  return await server.api.pipeline.handle({
    ...ref,
    user: { username: "admin", groups: ["system:masters"] },
    verb,
    namespace: "default",
    name: verb === "create" ? "" : name,
    subresource,
    body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
    contentType,
    options,
    userAgent,
    signal: new AbortController().signal,
  });
}

function objectOf(result: ApiResult): KubeObject & Record<string, unknown> {
  if (result.type === "object")
    return JSON.parse(result.object.json.toString()) as KubeObject & Record<string, unknown>;
  if (result.type === "document") return result.document as KubeObject & Record<string, unknown>;
  throw new Error(`answered with ${result.type}`);
}

const apply = (manager: string, body: unknown, call: Call): Promise<ApiResult> =>
  send("patch", "application/apply-patch+yaml", body, { ...call, options: { fieldManager: manager, ...call.options } });

const configMap = (name: string, data: Record<string, unknown>, metadata: object = {}): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...metadata },
  data,
});

/** Entries as text: manager, operation, subresource, then the paths. */
function managersOf(object: KubeObject): Record<string, string[]> {
  return Object.fromEntries(
    (object.metadata?.managedFields ?? []).map((entry: ManagedFieldsEntry) => [
      [entry.manager, entry.operation, entry.subresource].filter(Boolean).join(" "),
      showPaths(entry.fieldsV1 as FieldSet),
    ]),
  );
}

const get = async (name: string, ref: ResourceRef = CONFIG_MAPS): Promise<KubeObject & Record<string, unknown>> =>
  await server.client.get(ref, { namespace: "default", name });

describe("apply", () => {
  test("creates what is absent, from YAML, and changes nothing when it comes again", async () => {
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {x: "y"}\ndata:\n  k: v\n';
    const created = await apply("me", yaml, { name: "a" });
    expect(created).toMatchObject({ type: "object", code: 201 });
    const object = objectOf(created);
    expect(object).toMatchObject({
      metadata: { name: "a", namespace: "default", labels: { x: "y" } },
      data: { k: "v" },
    });
    expect(managersOf(object)).toEqual({ "me Apply": [".data.k", ".metadata.labels.x"] });
    const again = await apply("me", yaml, { name: "a" });
    expect(again).toMatchObject({ code: 200 });
    expect(objectOf(again)).toEqual(object);
  });

  test("a conflict names manager, version and field; force settles it", async () => {
    await send("create", "application/json", configMap("b", { k: "v", l: "w" }), {
      name: "b",
      userAgent: "kubectl/v1.35",
    });
    const other = configMap("b", { k: "mine" });
    await expect(apply("me", other, { name: "b" })).rejects.toMatchObject({
      reason: "Conflict",
      code: 409,
      message: 'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.k',
      details: {
        causes: [{ reason: "FieldManagerConflict", message: 'conflict with "kubectl" using v1', field: ".data.k" }],
      },
    });
    await expect(apply("me", configMap("b", { k: "1", l: "2" }), { name: "b" })).rejects.toMatchObject({
      message: 'Apply failed with 2 conflicts: conflicts with "kubectl" using v1:\n- .data.k\n- .data.l',
    });
    const forced = objectOf(await apply("me", other, { name: "b", options: { force: "true" } }));
    expect(forced["data"]).toEqual({ k: "mine", l: "w" });
    expect(managersOf(forced)).toEqual({ "me Apply": [".data.k"], "kubectl Update": [".data", ".data.l"] });
  });

  test("a dropped field goes, and with a dry run it stays", async () => {
    await apply("me", configMap("c", { k: "v", l: "w" }), { name: "c" });
    const less = configMap("c", { k: "v" });
    const dry = objectOf(await apply("me", less, { name: "c", options: { dryRun: ["All"] } }));
    expect(dry["data"]).toEqual({ k: "v" });
    expect((await get("c"))["data"]).toEqual({ k: "v", l: "w" });
    await apply("me", less, { name: "c" });
    expect((await get("c"))["data"]).toEqual({ k: "v" });
  });

  test("a Deployment keeps its defaults, which nobody owns, and a scaled one its replicas", async () => {
    const config = (extra: object): object => ({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "d" },
      spec: {
        selector: { matchLabels: { app: "d" } },
        template: { metadata: { labels: { app: "d" } }, spec: { containers: [{ name: "c", image: "x:1" }] } },
        ...extra,
      },
    });
    const call = { ref: DEPLOYMENTS, name: "d" };
    const created: Deployment = objectOf(await apply("me", config({ replicas: 1 }), call));
    expect(created.spec?.progressDeadlineSeconds).toBe(600);
    expect(managersOf(created)["me Apply"]).toEqual([
      ".spec.replicas",
      ".spec.selector",
      ".spec.template.metadata.labels.app",
      '.spec.template.spec.containers[name="c"]',
      '.spec.template.spec.containers[name="c"].image',
      '.spec.template.spec.containers[name="c"].name',
    ]);
    const scale = { kind: "Scale", apiVersion: "autoscaling/v1", metadata: { name: "d" }, spec: { replicas: 3 } };
    await send("update", "application/json", scale, { ...call, subresource: "scale", userAgent: "scaler/1" });
    const message =
      'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas';
    await expect(apply("me", config({ replicas: 1 }), call)).rejects.toMatchObject({ message });
    const scaled: Deployment = objectOf(await apply("me", config({}), call));
    expect(scaled.spec?.replicas).toBe(3);
    expect(managersOf(scaled)["scaler Update scale"]).toEqual([".spec.replicas"]);
    const applied = { ...scale, spec: { replicas: 4 } };
    await expect(apply("hpa", applied, { ...call, subresource: "scale" })).rejects.toMatchObject({
      reason: "Conflict",
    });
    const forced = await apply("hpa", applied, { ...call, subresource: "scale", options: { force: "true" } });
    expect(forced).toMatchObject({ document: { kind: "Scale", spec: { replicas: 4 } } });
    expect(managersOf(await get("d", DEPLOYMENTS))).toMatchObject({ "hpa Apply scale": [".spec.replicas"] });
  });

  test("the status is applied through its own endpoint, and the spec is not touched there", async () => {
    const pod = (extra: object): object => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, ...extra });
    const spec = { containers: [{ name: "c", image: "x:1" }] };
    await apply("me", pod({ spec, status: { phase: "Running" } }), { ref: PODS, name: "p" });
    const status = { ref: PODS, name: "p", subresource: "status" };
    const after = objectOf(await apply("node", pod({ spec: { nodeName: "n" }, status: { phase: "Running" } }), status));
    expect(after).toMatchObject({ status: { phase: "Running" } });
    expect((after["spec"] as { nodeName?: string }).nodeName).toBeUndefined();
    expect(managersOf(after)).toMatchObject({ "node Apply status": [".status.phase"] });
    expect(managersOf(after)["me Apply"]).not.toContain(".status.phase");
    await expect(apply("node", pod({ metadata: { name: "q" } }), { ...status, name: "q" })).rejects.toMatchObject({
      reason: "NotFound",
    });
  });

  test("kubectl takes over what it had applied on its own side", async () => {
    const last = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "e", annotations: {} }, data: { k: "v" } };
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(last) };
    const agent = { name: "e", userAgent: "kubectl-client-side-apply/1" };
    await send("create", "application/json", configMap("e", { k: "v" }, { annotations }), agent);
    await expect(apply("me", configMap("e", { k: "new" }), { name: "e" })).rejects.toMatchObject({
      reason: "Conflict",
    });
    const object = objectOf(await apply("kubectl", configMap("e", { k: "new" }), { name: "e" }));
    expect(object["data"]).toEqual({ k: "new" });
    const annotation = object.metadata?.annotations?.["kubectl.kubernetes.io/last-applied-configuration"] ?? "";
    expect(JSON.parse(annotation)).toMatchObject({ data: { k: "new" } });
  });

  test("the version and identity that a configuration names must be the stored ones", async () => {
    const { metadata } = objectOf(await apply("me", configMap("f", { k: "v" }), { name: "f" }));
    await apply("me", configMap("f", { k: "w" }), { name: "f" });
    const stale = configMap("f", { k: "x" }, { resourceVersion: metadata?.resourceVersion });
    await expect(apply("me", stale, { name: "f" })).rejects.toMatchObject({ reason: "Conflict" });
    const other = configMap("f", { k: "x" }, { uid: "other" });
    await expect(apply("me", other, { name: "f" })).rejects.toMatchObject({
      code: 422,
      message: 'ConfigMap "f" is invalid: metadata.uid: Invalid value: "other": field is immutable',
    });
    await expect(apply("me", configMap("g", {}, { uid: "other" }), { name: "g" })).rejects.toMatchObject({
      message:
        'Operation cannot be fulfilled on configmaps "g": uid mismatch: the provided object specified uid other, and no existing object was found',
    });
  });

  test.each<[string, unknown, string]>([
    ["another kind", { apiVersion: "v1", kind: "Pod", metadata: { name: "x" } }, "invalid object type: /v1, Kind=Pod"],
    [
      "an unknown field",
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x" }, nope: 1 },
      "failed to create typed patch object (/x; /v1, Kind=ConfigMap): .nope: field not declared in schema",
    ],
    ["managedFields", configMap("x", {}, { managedFields: [] }), "metadata.managedFields must be nil"],
    ["another name", configMap("y", {}), "the name of the object (y) does not match the name on the URL (x)"],
    [
      "text",
      "just text",
      "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go value of type map[string]interface {}",
    ],
    ["no YAML", "a: [", "error decoding YAML: error converting YAML to JSON: "],
  ])("%s is refused", async (_what, body, message) => {
    await expect(apply("me", body, { name: "x" })).rejects.toMatchObject({
      code: 400,
      message: expect.stringContaining(message) as string,
    });
  });

  test("a key that the YAML sets twice is refused or told", async () => {
    const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\ndata:\n  k: a\n  k: b\n";
    const strict = { name: "twice", options: { fieldValidation: "Strict" } };
    await expect(apply("me", yaml, strict)).rejects.toMatchObject({
      code: 400,
      message:
        'error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key "k" already set in map',
    });
    await expect(send("create", "application/yaml", yaml, strict)).rejects.toMatchObject({
      code: 400,
      message: expect.stringContaining(
        'strict decoding error: yaml: unmarshal errors:\n  line 6: key "k" already set in map',
      ) as string,
    });
    const unknown = `${yaml}nope: 1\nmetas: {}\n`;
    await expect(send("create", "application/yaml", unknown, strict)).rejects.toMatchObject({
      message: expect.stringMatching(/already set in map, unknown field "metas", unknown field "nope"$/) as string,
    });
    const told = await apply("me", yaml, { name: "twice" });
    expect(told).toMatchObject({ warnings: ['line 6: key "k" already set in map'] });
    expect(objectOf(told)["data"]).toEqual({ k: "b" });
  });

  test("only appliers may force", async () => {
    const patch = send("patch", "application/merge-patch+json", {}, { name: "a", options: { force: "true" } });
    await expect(patch).rejects.toMatchObject({
      message: 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
    });
  });
});

describe("other writes", () => {
  test("are recorded under their manager, with what they changed", async () => {
    await send("create", "application/json", configMap("t", { a: "1", b: "2" }), {
      name: "t",
      userAgent: "maker/2 (linux)",
    });
    const options = { fieldManager: "patcher" };
    await send("patch", "application/merge-patch+json", { data: { b: "3" } }, { name: "t", options });
    const object = await get("t");
    expect(managersOf(object)).toEqual({ "maker Update": [".data", ".data.a"], "patcher Update": [".data.b"] });
    expect(object.metadata?.managedFields?.[0]).toMatchObject({ apiVersion: "v1", fieldsType: "FieldsV1" });
  });

  test("a PUT without managedFields keeps them, with an empty list drops them", async () => {
    await send("create", "application/json", configMap("u", { a: "1" }), { name: "u" });
    await send("update", "application/json", configMap("u", { a: "1" }), { name: "u" });
    expect(managersOf(await get("u"))).toEqual({ "tester Update": [".data", ".data.a"] });
    await send("update", "application/json", configMap("u", { a: "1" }, { managedFields: [] }), { name: "u" });
    expect((await get("u")).metadata?.managedFields).toBeUndefined();
  });

  test("a write of the same value is none", async () => {
    const before = objectOf(await send("create", "application/json", configMap("v", { a: "1" }), { name: "v" }));
    const patch = { data: { a: "1" } };
    const after = objectOf(
      await send("patch", "application/merge-patch+json", patch, { name: "v", userAgent: "other/1" }),
    );
    expect(after).toEqual(before);
  });

  test("a binding is nobody's change", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "w" },
      spec: { containers: [{ name: "c", image: "x" }] },
    };
    await send("create", "application/json", pod, { ref: PODS, name: "w" });
    const binding = { apiVersion: "v1", kind: "Binding", metadata: { name: "w" }, target: { kind: "Node", name: "n" } };
    await server.client.create(PODS, binding, {
      namespace: "default",
      name: "w",
      subresource: "binding",
    });
    const bound = await get("w", PODS);
    expect((bound["spec"] as { nodeName?: string }).nodeName).toBe("n");
    expect(Object.values(managersOf(bound)).flat()).not.toContain(".spec.nodeName");
  });
});

describe("custom resources", () => {
  const ref = { group: "stable.example.com", version: "v1", resource: "crontabs" };
  const tab = (parts: object): object => ({
    apiVersion: "stable.example.com/v1",
    kind: "CronTab",
    metadata: { name: "tab" },
    ...parts,
  });
  const list = {
    type: "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    items: { type: "object", required: ["name"], properties: { name: { type: "string" }, v: { type: "string" } } },
  };
  const schema = {
    type: "object",
    properties: {
      spec: {
        type: "object",
        properties: { replicas: { type: "integer" }, args: list, image: { type: "string", default: "cron:1" } },
      },
      extra: { type: "object", additionalProperties: { type: "string" } },
      status: { type: "object", properties: { replicas: { type: "integer" } } },
    },
  };
  const subresources = {
    status: {},
    scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
  };

  beforeAll(async () => {
    const { group, resource: plural, version: name } = ref;
    await server.client.create(CUSTOM_RESOURCE_DEFINITIONS, {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        names: { plural, kind: "CronTab" },
        scope: "Namespaced",
        versions: [{ name, served: true, storage: true, schema: { openAPIV3Schema: schema }, subresources }],
      },
    });
  });

  test("merge by the lists of their schema; defaults are nobody's; the status is its endpoint's", async () => {
    await expect.poll(() => server.client.list(ref, { namespace: "default" }).catch(() => undefined)).toBeDefined();
    const call = { ref, name: "tab" };
    const spec = { replicas: 1, args: [{ name: "a", v: "1" }] };
    const created = objectOf(await apply("me", tab({ spec }), call));
    expect(created).toMatchObject({ spec: { image: "cron:1" } });
    const own = [".spec.replicas", '.spec.args[name="a"]', '.spec.args[name="a"].name', '.spec.args[name="a"].v'];
    expect(managersOf(created)).toEqual({ "me Apply": own });
    const both = objectOf(await apply("you", tab({ spec: { args: [{ name: "b" }] } }), call));
    expect(both).toMatchObject({ spec: { args: [{ name: "a", v: "1" }, { name: "b" }] } });
    await expect(apply("you", tab({ spec: { replicas: 2 } }), call)).rejects.toMatchObject({
      message: 'Apply failed with 1 conflict: conflict with "me": .spec.replicas',
    });
    const patch = { metadata: { labels: { x: "y" } }, extra: { k: "v" }, status: { replicas: 1 } };
    const merge = "application/merge-patch+json";
    const after = objectOf(await send("patch", merge, patch, { ...call, subresource: "status", userAgent: "ctl/1" }));
    expect(managersOf(after)["ctl Update status"]).toEqual([".status", ".status.replicas"]);
    const scale = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "tab" }, spec: { replicas: 3 } };
    const forced = { ...call, subresource: "scale", options: { force: "true" } };
    expect(await apply("hpa", scale, forced)).toMatchObject({ document: { spec: { replicas: 3 } } });
    const scaled = await get("tab", ref);
    expect(managersOf(scaled)).toMatchObject({ "hpa Apply scale": [".spec.replicas"], "me Apply": own.slice(1) });
  });
});
