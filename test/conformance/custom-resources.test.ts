// Custom resource definitions: their own life, what they publish for kubectl, and what is refused of their objects.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { at, type Resource, type Rest, type Thing } from "./rest-client.ts";
import { gone, type SharedCluster } from "./shared-cluster.ts";

type Schema = Record<string, unknown>;
const APIEXTENSIONS = "apiextensions.k8s.io/v1";
const definitions = (api: Rest): Resource => api.resource(APIEXTENSIONS, "customresourcedefinitions");

interface VersionWish {
  readonly name: string;
  readonly served?: boolean;
  readonly storage?: boolean;
  readonly schema: Schema;
}

let groups = 0;
/** A group that no other test has. */
const newGroup = (word: string): string => `${word}-${process.pid}-${++groups}.example.com`;
/** A plural that no other group has: kubectl guesses the group of a plural from what it has cached. */
const foosOf = (group: string): string => `${group.split(".")[0]?.replaceAll("-", "")}foos`;

function definition(
  group: string,
  versions: readonly VersionWish[],
  names = { plural: foosOf(group), kind: "Foo" },
): Thing {
  return {
    apiVersion: APIEXTENSIONS,
    kind: "CustomResourceDefinition",
    metadata: { name: `${names.plural}.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names,
      versions: versions.map(({ name, served = true, storage = false, schema }) => ({
        name,
        served,
        storage: storage || versions.length === 1,
        schema: { openAPIV3Schema: schema },
        subresources: { status: {} },
      })),
    },
  };
}

const isTrue = (thing: Thing, type: string): boolean =>
  (at<{ type: string; status: string }[]>(thing, "status.conditions") ?? []).some(
    (one) => one.type === type && one.status === "True",
  );

/** Makes the definition, waits until it is served, runs `use` and removes it. */
async function withDefinition(api: Rest, wish: Thing, use: () => Promise<void>): Promise<void> {
  const name = wish.metadata.name ?? "";
  await definitions(api).create(wish);
  try {
    await eventually(
      () => definitions(api).get(name),
      (now) => isTrue(now, "Established"),
    );
    const spec = wish["spec"] as {
      group: string;
      names: { plural: string };
      versions: { name: string; served: boolean }[];
    };
    const served = spec.versions.find((one) => one.served)?.name ?? "";
    await eventually(
      () => api.send("GET", `/apis/${spec.group}/${served}/${spec.names.plural}`),
      (answer) => answer.code === 200,
    );
    await use();
  } finally {
    await definitions(api).delete(name);
  }
}

const crd = conformsShared("CRD");

crd("get/update/patch CRD status subresource", async ({ api }) => {
  const wish = definition(newGroup("status"), [{ name: "v1", schema: { type: "object" } }]);
  const name = wish.metadata.name ?? "";
  await withDefinition(api, wish, async () => {
    const read = await definitions(api).get(name, "status");
    expect(isTrue(read, "Established")).toBe(true);
    const condition = { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set from a test" };
    const updated = await retryOnConflict(async () => {
      const now = await definitions(api).get(name, "status");
      const conditions = [...(at<object[]>(now, "status.conditions") ?? []), condition];
      return definitions(api).replace({ ...now, status: { ...(now["status"] as object), conditions } }, "status");
    });
    expect(at(updated, "status.conditions")).toContainEqual(expect.objectContaining(condition));
    const labelled = await definitions(api).patch(
      name,
      { metadata: { labels: { patched: "yes" } } },
      "merge",
      "status",
    );
    expect(labelled.metadata.annotations ?? {}).toEqual({});
    const body = { status: { conditions: [{ ...condition, reason: "Patched" }] } };
    const patched = await definitions(api).patch(name, body, "merge", "status");
    expect(at(patched, "status.conditions")).toContainEqual(expect.objectContaining({ reason: "Patched" }));
  });
});

crd("list CRDs by label, deletecollection", async ({ api }) => {
  const group = newGroup("collection");
  const labels = { collection: group };
  const wishes = Array.from({ length: 5 }, (_, n) => {
    const wish = definition(group, [{ name: "v1", schema: { type: "object" } }], {
      plural: `foo${n}s`,
      kind: `Foo${n}`,
    });
    return { ...wish, metadata: { ...wish.metadata, labels } };
  });
  for (const wish of wishes) await definitions(api).create(wish);
  const labelSelector = `collection=${group}`;
  await eventually(
    () => definitions(api).list({ labelSelector }),
    ({ items }) => items.length === 5 && items.every((one) => isTrue(one, "Established")),
  );
  await definitions(api).deleteCollection({ labelSelector });
  await eventually(
    () => definitions(api).list({ labelSelector }),
    ({ items }) => items.length === 0,
  );
});

crd("structural-schema defaults applied on request and from storage", async ({ api, namespace }) => {
  const group = newGroup("defaults");
  const schema = (properties: Schema): Schema => ({ type: "object", properties });
  const wish = definition(group, [
    { name: "v1", schema: schema({ a: { type: "string", default: "A" }, b: { type: "string" } }) },
  ]);
  const ns = await namespace("crd-default");
  await withDefinition(api, wish, async () => {
    const foos = api.resource(`${group}/v1`, foosOf(group), ns);
    const make = (name: string, more: object = {}): Promise<Thing> =>
      foos.create({ apiVersion: `${group}/v1`, kind: "Foo", metadata: { name }, ...more });
    const first = await make("foo-1");
    expect([first["a"], first["b"]]).toEqual(["A", undefined]);
    const name = wish.metadata.name ?? "";
    const properties = { a: { type: "string" }, b: { type: "string", default: "B" } };
    const path = "/spec/versions/0/schema/openAPIV3Schema/properties";
    await definitions(api).patch(name, [{ op: "replace", path, value: properties }], "json");
    await eventually(
      () => foos.get("foo-1"),
      (now) => now["b"] === "B",
    );
    expect((await foos.get("foo-1"))["a"]).toBe("A");
    const second = await eventually(
      () => make(`foo-${Math.trunc(performance.now())}`),
      (now) => now["b"] === "B",
    );
    expect(second["a"]).toBeUndefined();
  });
});

crd("watch on CRs sees add/modify/delete", async ({ api, namespace }) => {
  const group = newGroup("watch");
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const ns = await namespace("crd-watch");
  await withDefinition(api, definition(group, [{ name: "v1", schema }]), async () => {
    const foos = api.resource(`${group}/v1`, foosOf(group), ns);
    using watch = foos.watch();
    const event = async (type: string, name: string): Promise<Thing> =>
      (await watch.until(`${type} ${name}`, (one) => one.type === type && one.object.metadata.name === name)).object;
    for (const name of ["a", "b"]) {
      await foos.create({ apiVersion: `${group}/v1`, kind: "Foo", metadata: { name } });
      await event("ADDED", name);
    }
    for (const name of ["a", "b"]) {
      await foos.patch(name, { num: { num1: 1 } });
      expect((await event("MODIFIED", name))["num"]).toEqual({ num1: 1 });
    }
    for (const name of ["a", "b"]) {
      await foos.delete(name);
      await event("DELETED", name);
    }
  });
});

const openApi = conformsShared("CRD OpenAPI");

const BARS: Schema = {
  description: "Foo CRD for Testing",
  type: "object",
  properties: {
    spec: {
      type: "object",
      description: "Specification of Foo",
      properties: {
        bars: {
          description: "List of Bars and their specs.",
          type: "array",
          items: {
            type: "object",
            required: ["name"],
            properties: {
              name: { description: "Name of Bar.", type: "string" },
              age: { description: "Age of Bar.", type: "string" },
              feeling: { description: "Feelings.", type: "string", enum: ["Great", "Down"] },
              bazs: { description: "List of Bazs.", items: { type: "string" }, type: "array" },
            },
          },
        },
      },
    },
    status: {
      description: "Status of Foo",
      type: "object",
      properties: { bars: { type: "array", items: { type: "object" } } },
    },
  },
};

/** The definitions that OpenAPI v3 publishes for a group and version, by the kind that they say they are. */
async function published(api: Rest, group: string, version: string): Promise<string[]> {
  const answer = await api.send("GET", `/openapi/v3/apis/${group}/${version}`);
  if (answer.code === 404) return [];
  expect(answer.code).toBe(200);
  const { components } = JSON.parse(answer.text) as { components: { schemas: Record<string, Schema> } };
  return Object.values(components.schemas)
    .flatMap((schema) => (schema["x-kubernetes-group-version-kind"] ?? []) as { group: string; kind: string }[])
    .filter((one) => one.group === group)
    .map((one) => one.kind);
}

/** Waits until kubectl explains the path with all of the texts. */
async function explained(c: SharedCluster, args: readonly string[], ...texts: RegExp[]): Promise<void> {
  const said = await eventually(
    () => c.kubectl(["explain", ...args]),
    ({ code, stdout }) => code === 0 && texts.every((text) => text.test(stdout)),
    30_000,
  );
  expect(said.code).toBe(0);
}

const fooText = (group: string, name: string, more = ""): string =>
  `{"kind":"Foo","apiVersion":"${group}/v1","metadata":{"name":"${name}"}${more}}`;

openApi("schema used by kubectl validation and explain", async (c) => {
  const group = newGroup("schema");
  const ns = await c.namespace("crd-openapi");
  await withDefinition(c.api, definition(group, [{ name: "v1", schema: BARS }]), async () => {
    await explained(c, [`${foosOf(group)}.${group}.spec`], /Specification of Foo/, /bars/);
    const send = (verb: string, text: string) => c.kubectl(["-n", ns, verb, "--validate=true", "-f", "-"], text);
    const good = fooText(group, "test-foo", ',"spec":{"bars":[{"name":"test-bar"}]}');
    const bad = fooText(group, "test-foo", ',"spec":{"bars":[{"name":"test-bar","wrong":1}]}');
    const lacking = fooText(group, "test-foo", ',"spec":{"bars":[{"age":"10"}]}');
    for (const verb of ["create", "apply"]) {
      const refused = await send(verb, bad);
      expect([refused.code, refused.stderr]).toEqual([
        1,
        expect.stringMatching(/unknown field "spec\.bars\[0\]\.wrong"/),
      ]);
      const missing = await send(verb, lacking);
      expect([missing.code, missing.stderr]).toEqual([
        1,
        expect.stringMatching(/spec\.bars\[0\]\.name: Required value/),
      ]);
      expect(await send(verb, good)).toMatchObject({ code: 0 });
      await c.ok(["-n", ns, "delete", `${foosOf(group)}.${group}`, "test-foo"]);
    }
    await explained(
      c,
      [`${foosOf(group)}.${group}`],
      /DESCRIPTION:\s+Foo CRD for Testing/,
      /GROUP:\s+schema/,
      /KIND:\s+Foo/,
    );
    await explained(
      c,
      [`${foosOf(group)}.${group}.metadata`],
      /creationTimestamp/,
      /Standard object's metadata|metadata/,
    );
    await explained(
      c,
      [`${foosOf(group)}.${group}.spec.bars`],
      /List of Bars and their specs/,
      /name.*<string>.*-required-/,
    );
    await explained(c, [`${foosOf(group)}.${group}.spec.bars.bazs`], /List of Bazs/);
    const unknown = await c.kubectl(["explain", `${foosOf(group)}.${group}.spec.bars2`]);
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringMatching(/field "bars2" does not exist/)]);
  });
});

openApi("schema-less CRD accepted, explain shows description", async (c) => {
  const group = newGroup("empty");
  const ns = await c.namespace("crd-openapi");
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  await withDefinition(c.api, definition(group, [{ name: "v1", schema }]), async () => {
    await explained(c, [`${foosOf(group)}.${group}`], /KIND:\s+Foo/, /DESCRIPTION:\s+<empty>/);
    await c.ok(["-n", ns, "create", "-f", "-"], fooText(group, "test-cr", ',"spec":{"a":null,"b":[{"c":"d"}]}'));
    await c.ok(["-n", ns, "apply", "-f", "-"], fooText(group, "test-cr", ',"spec":{"a":1,"e":"f"}'));
    expect(await c.api.resource(`${group}/v1`, foosOf(group), ns).get("test-cr")).toMatchObject({
      spec: { a: 1, e: "f" },
    });
  });
});

for (const [behaviour, schema, text] of [
  [
    "preserve-unknown-fields at root: kubectl accepts and explains",
    {
      description: "preserve-unknown-properties at root for Testing",
      type: "object",
      "x-kubernetes-preserve-unknown-fields": true,
    },
    ',"a":{"b":["c"]}',
  ],
  [
    "preserve-unknown-fields nested: kubectl accepts and explains",
    {
      description: "preserve-unknown-properties in nested field for Testing",
      type: "object",
      properties: {
        spec: { description: "Specification of Foo", type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
    },
    ',"spec":{"a":null,"b":[{"c":"d"}]}',
  ],
] as const) {
  openApi(behaviour, async (c) => {
    const group = newGroup("preserve");
    const ns = await c.namespace("crd-openapi");
    await withDefinition(c.api, definition(group, [{ name: "v1", schema }]), async () => {
      await explained(c, [`${foosOf(group)}.${group}`], /preserve-unknown-properties/);
      for (const verb of ["create", "apply"]) {
        await c.ok(["-n", ns, verb, "-f", "-"], fooText(group, `test-${verb}`, text));
        expect(JSON.stringify(await c.api.resource(`${group}/v1`, foosOf(group), ns).get(`test-${verb}`))).toMatch(
          /"b":\["c"\]|"b":\[\{"c":"d"\}\]/,
        );
      }
    });
  });
}

openApi("two kinds in one group/version published", async ({ api }) => {
  const group = newGroup("kinds");
  await withDefinition(api, definition(group, [{ name: "v1", schema: BARS }]), async () => {
    const other = definition(group, [{ name: "v1", schema: BARS }], { plural: "bars", kind: "Bar" });
    await withDefinition(api, other, async () => {
      await eventually(
        () => published(api, group, "v1"),
        (kinds) => kinds.includes("Foo") && kinds.includes("Bar"),
      );
    });
    await eventually(
      () => published(api, group, "v1"),
      (kinds) => kinds.includes("Foo") && !kinds.includes("Bar"),
    );
  });
});

openApi("renamed version reflected in published OpenAPI", async ({ api }) => {
  const group = newGroup("renamed");
  const wish = definition(group, [
    { name: "v2", storage: true, schema: BARS },
    { name: "v3", schema: BARS },
  ]);
  const name = wish.metadata.name ?? "";
  await withDefinition(api, wish, async () => {
    for (const version of ["v2", "v3"])
      await eventually(
        () => published(api, group, version),
        (kinds) => kinds.includes("Foo"),
      );
    await definitions(api).patch(name, [{ op: "replace", path: "/spec/versions/1/name", value: "v4" }], "json");
    await eventually(
      () => published(api, group, "v4"),
      (kinds) => kinds.includes("Foo"),
    );
    await eventually(
      () => published(api, group, "v3"),
      (kinds) => kinds.length === 0,
    );
    expect(await published(api, group, "v2")).toContain("Foo");
  });
});

openApi("unserved version removed from published OpenAPI", async ({ api }) => {
  const group = newGroup("unserved");
  const wish = definition(group, [
    { name: "v5", storage: true, schema: BARS },
    { name: "v6alpha1", schema: BARS },
  ]);
  const name = wish.metadata.name ?? "";
  await withDefinition(api, wish, async () => {
    await eventually(
      () => published(api, group, "v6alpha1"),
      (kinds) => kinds.includes("Foo"),
    );
    await definitions(api).patch(name, [{ op: "replace", path: "/spec/versions/1/served", value: false }], "json");
    await eventually(
      () => published(api, group, "v6alpha1"),
      (kinds) => kinds.length === 0,
    );
    expect(await published(api, group, "v5")).toContain("Foo");
  });
});

const validation = conformsShared("field validation");

const KNOWN: Schema = {
  type: "object",
  properties: { spec: { type: "object", properties: { foo: { type: "string" }, cronSpec: { type: "string" } } } },
};

validation("unknown/duplicate fields of typed object detected", async ({ api, namespace }) => {
  const ns = await namespace("validation");
  const text = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","labels":{"app":"nginx"}},
"spec":{"unknown1":"val1","unknownDupe":"valDupe","unknownDupe":"valDupe2","paused":true,"paused":false,
"selector":{"matchLabels":{"app":"nginx"}},"template":{"metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[
{"name":"nginx","image":"nginx:latest","unknownNested":"val1","imagePullPolicy":"Always","imagePullPolicy":"Never"}]}}}}`;
  const path = `/apis/apps/v1/namespaces/${ns}/deployments`;
  const post = (fieldValidation: string) => api.send("POST", path, { body: text, query: { fieldValidation } });
  const strict = await post("Strict");
  expect(strict.code).toBe(400);
  const { message } = JSON.parse(strict.text) as { message: string };
  for (const part of [
    'unknown field "spec.unknown1"',
    'unknown field "spec.unknownDupe"',
    'duplicate field "spec.paused"',
    'unknown field "spec.template.spec.containers[0].unknownNested"',
    'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
  ])
    expect(message).toContain(part);
  expect(message).toContain("strict decoding error: ");
  const warned = await post("Warn");
  expect(warned.code).toBe(201);
  expect(String(warned.headers["warning"])).toContain('unknown field \\"spec.unknown1\\"');
  await api.resource("apps/v1", "deployments", ns).delete("d");
  const ignored = await post("Ignore");
  expect([ignored.code, ignored.headers["warning"]]).toEqual([201, undefined]);
});

/** The answers to the body at each level of validation. */
async function postCustom(c: SharedCluster, schema: Schema, body: (group: string) => string, fieldValidation: string) {
  const group = newGroup("validation");
  const ns = await c.namespace("validation");
  let answer = { code: 0, text: "" };
  await withDefinition(c.api, definition(group, [{ name: "v1", schema }]), async () => {
    answer = await c.api.send("POST", `/apis/${group}/v1/namespaces/${ns}/${foosOf(group)}`, {
      body: body(group),
      query: { fieldValidation },
    });
  });
  return answer;
}

validation("CR with extra properties refused", async (c) => {
  const body = (group: string): string =>
    fooText(group, "cr", ',"spec":{"foo":"foo1","cronSpec":"* *","extraProperty":"bar"}');
  const answer = await postCustom(c, KNOWN, body, "Strict");
  expect([answer.code, answer.text]).toEqual([
    400,
    expect.stringContaining('strict decoding error: unknown field \\"spec.extraProperty\\"'),
  ]);
});

validation("schema-less CR with unknown fields accepted", async (c) => {
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const answer = await postCustom(c, schema, (group) => fooText(group, "cr", ',"spec":{"anything":1}'), "Strict");
  expect(answer.code).toBe(201);
});

validation("valid CR accepted under strict validation", async (c) => {
  const answer = await postCustom(c, KNOWN, (group) => fooText(group, "cr", ',"spec":{"foo":"foo1"}'), "Strict");
  expect(answer.code).toBe(201);
});

validation("unknown metadata fields in CR (root and embedded) detected", async (c) => {
  const schema = {
    type: "object",
    properties: {
      spec: {
        type: "object",
        properties: {
          template: {
            type: "object",
            "x-kubernetes-embedded-resource": true,
            properties: { spec: { type: "object", properties: { foo: { type: "string" } } } },
          },
        },
      },
    },
  };
  const body = (group: string): string => `{"kind":"Foo","apiVersion":"${group}/v1",
"metadata":{"name":"cr","unknownMeta":"unknown"},"spec":{"template":{"apiVersion":"foo/v1","kind":"Sub",
"metadata":{"unknownSubMeta":"unknown","name":"subobject","namespace":"default"},"spec":{"foo":"a"}}}}`;
  const answer = await postCustom(c, schema, body, "Strict");
  expect(answer.code).toBe(400);
  expect(answer.text).toContain('unknown field \\"metadata.unknownMeta\\"');
  expect(answer.text).toContain('unknown field \\"spec.template.metadata.unknownSubMeta\\"');
});

conformsShared("namespace")("namespace delete removes its services", async ({ api, namespace }) => {
  const ns = await namespace("nsdelete");
  await api.resource("v1", "services", ns).create({ metadata: { name: "s" }, spec: { ports: [{ port: 80 }] } });
  await api.resource("v1", "namespaces").delete(ns);
  await gone(() => api.resource("v1", "namespaces").get(ns));
  await api.resource("v1", "namespaces").create({ metadata: { name: ns } });
  expect((await api.resource("v1", "services", ns).list()).items).toEqual([]);
});
