// Which form of an answer each Accept header gets, row by row, and then on the wire: bodies, lists, watches and failures.
import { CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, REPLICA_SETS } from "@coxswain/api";
import { encodeProtobuf } from "@coxswain/api/wire/index";
import { WireReader } from "@coxswain/api/wire/reader";
import { decodeMessage } from "@coxswain/api/wire/decode";
import type { StatusError } from "@coxswain/apimachinery";
import { gunzipSync } from "node:zlib";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { parse as parseYaml } from "yaml";
import { failureEncoding, negotiate, wantsPretty } from "../src/rest/negotiate.ts";
import { eventually } from "./eventually.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const JSON_TYPE = "application/json";
const YAML = "application/yaml";
const PROTO = "application/vnd.kubernetes.protobuf";
const as = (kind: string, version = "v1", group = "meta.k8s.io"): string => `;as=${kind};v=${version};g=${group}`;
const TABLE = as("Table");
const PARTIAL = as("PartialObjectMetadata");

interface Row {
  readonly accept: string | undefined;
  /** As in "json Table v1"; undefined: 406. */
  readonly object?: string | undefined;
  /** Of a watch; as of an object where unset. */
  readonly watch?: string | undefined;
  /** Of a custom resource. */
  readonly custom?: string | undefined;
}

const ROWS: readonly (Row & { readonly why: string })[] = [
  { why: "nothing is said", accept: undefined, object: "json" },
  { why: "anything goes", accept: "*/*", object: "json" },
  { why: "any application type", accept: "application/*", object: "json" },
  { why: "JSON with a character set", accept: `${JSON_TYPE};charset=utf-8`, object: "json" },
  { why: "YAML, which is no stream", accept: YAML, object: "yaml", watch: undefined },
  { why: "protobuf, which custom resources lack", accept: PROTO, object: "protobuf", custom: undefined },
  { why: "something else", accept: "text/csv" },
  { why: "something else, or else JSON", accept: `text/csv,${JSON_TYPE}`, object: "json" },
  { why: "JSON is stored, so that equal wishes get it", accept: `${PROTO},${JSON_TYPE}`, object: "json" },
  { why: "protobuf by quality", accept: `${PROTO},${JSON_TYPE};q=0.9`, object: "protobuf", custom: "json" },
  { why: "JSON by quality", accept: `${PROTO};q=0.5,${JSON_TYPE}`, object: "json" },
  { why: "quality 0 is a refusal", accept: `${JSON_TYPE};q=0`, object: undefined },
  { why: "a type before a family of equal quality", accept: `*/*,${YAML}`, object: "yaml", watch: undefined },
  { why: "a family of better quality before a type", accept: `${YAML};q=0.5,*/*`, object: "json" },
  {
    why: "kubectl's Table",
    accept: `${JSON_TYPE}${TABLE},${JSON_TYPE}${as("Table", "v1beta1")},${JSON_TYPE}`,
    object: "json Table v1",
  },
  { why: "the older Table", accept: `${JSON_TYPE}${as("Table", "v1beta1")}`, object: "json Table v1beta1" },
  { why: "a Table in YAML", accept: `${YAML}${TABLE}`, object: "yaml Table v1", watch: undefined },
  { why: "no Table in protobuf", accept: `${PROTO}${TABLE}` },
  {
    why: "no Table in protobuf, but in JSON",
    accept: `${PROTO}${TABLE},${JSON_TYPE}${TABLE}`,
    object: "json Table v1",
  },
  {
    why: "metadata in protobuf",
    accept: `${PROTO}${PARTIAL},${JSON_TYPE}${PARTIAL},${JSON_TYPE}`,
    object: "protobuf PartialObjectMetadata v1",
  },
  {
    why: "metadata, by quality",
    accept: `${PROTO}${PARTIAL};q=0.2,${JSON_TYPE}${PARTIAL}`,
    object: "json PartialObjectMetadata v1",
  },
  {
    why: "metadata of an older version",
    accept: `${JSON_TYPE}${as("PartialObjectMetadata", "v1beta1")}`,
    object: "json PartialObjectMetadata v1beta1",
  },
  { why: "an unknown form", accept: `${JSON_TYPE}${as("Summary")}` },
  { why: "an unknown form, or else JSON", accept: `${JSON_TYPE}${as("Summary")},${JSON_TYPE}`, object: "json" },
  { why: "a version that there never was", accept: `${JSON_TYPE}${as("Table", "v2")}` },
  { why: "a group that has no forms", accept: `${JSON_TYPE}${as("Table", "v1", "apps")}` },
  { why: "a form without its group", accept: `${JSON_TYPE};as=Table;v=v1` },
  { why: "a form without its version", accept: `${JSON_TYPE};as=Table;g=meta.k8s.io` },
  { why: "a group and version of no form", accept: `${JSON_TYPE};g=meta.k8s.io;v=v1` },
  { why: "a stream", accept: `${JSON_TYPE};stream=watch`, object: "json" },
  { why: "a stream of another kind", accept: `${JSON_TYPE};stream=events` },
  { why: "a stream of YAML", accept: `${YAML};stream=watch`, object: undefined },
  { why: "another version of the server", accept: `${JSON_TYPE};sv=v2` },
  { why: "the parameter of people", accept: `${JSON_TYPE};pretty=1`, object: "json pretty" },
  { why: "quotes and case", accept: 'Application/JSON;As="Table";V="v1";G="meta.k8s.io"', object: "json Table v1" },
  { why: "an empty clause", accept: `,,${YAML},`, object: "yaml", watch: undefined },
];

function chosen(accept: string | undefined, stream: boolean, protobuf: boolean): string | undefined {
  try {
    const { encoding, as: form, version, pretty } = negotiate(accept, { stream, transform: true, protobuf });
    return [encoding, form, version, pretty === true ? "pretty" : undefined].filter(Boolean).join(" ");
  } catch (error) {
    expect((error as StatusError).code).toBe(406);
    return undefined;
  }
}

test.each(ROWS)("$why: $accept", (row) => {
  expect(chosen(row.accept, false, true)).toBe(row.object);
  expect(chosen(row.accept, true, true)).toBe("watch" in row ? row.watch : row.object);
  expect(chosen(row.accept, false, false)).toBe("custom" in row ? row.custom : row.object);
});

test("a refusal lists what is taken, and of a watch the streams", () => {
  const refusal = (accept: string, stream: boolean): string => {
    try {
      return negotiate(accept, { stream, transform: true, protobuf: true }).encoding;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const only = "only the following media types are accepted:";
  expect(refusal("text/csv", false)).toBe(`${only} ${JSON_TYPE}, ${YAML}, ${PROTO}`);
  expect(refusal("text/csv", true)).toBe(`${only} ${JSON_TYPE}, ${YAML}, ${PROTO}`);
  expect(refusal(YAML, true)).toBe(`${only} ${JSON_TYPE};stream=watch, ${PROTO};stream=watch`);
});

test("what has no metadata has no other form", () => {
  const options = { stream: false, transform: false, protobuf: true };
  expect(negotiate(`${JSON_TYPE}${TABLE},${JSON_TYPE}`, options)).toEqual({ encoding: "json" });
  expect(() => negotiate(`${JSON_TYPE}${TABLE}`, options)).toThrow("only the following media types");
});

test.each([
  [undefined, "json"],
  ["text/csv", "json"],
  [`${JSON_TYPE}${TABLE},${JSON_TYPE}`, "json"],
  [`${JSON_TYPE}${TABLE}`, "json"],
  [YAML, "yaml"],
  [PROTO, "protobuf"],
  [`${PROTO},${JSON_TYPE}`, "json"],
])("a failure to %s is told in %s", (accept, encoding) => {
  expect(failureEncoding(accept)).toBe(encoding);
});

test.each([
  ["", "curl/8.0", true],
  ["", "Wget/1.21", true],
  ["", "Mozilla/5.0 (X11)", true],
  ["", "kubectl/v1.35.2", false],
  ["pretty=", "curl/8.0", true],
  ["pretty=true", "kubectl/v1.35.2", true],
  ["pretty=1", "", true],
  ["pretty=0", "curl/8.0", false],
  ["pretty=maybe", "curl/8.0", false],
])("?%s from %s is for people: %s", (query, agent, pretty) => {
  expect(wantsPretty(new URLSearchParams(query), agent)).toBe(pretty);
});

describe("on the wire", () => {
  let server: TestServer;
  let admin: Agent;
  const WIDGETS = "/apis/example.com/v1/namespaces/default/widgets";
  const MAPS = "/api/v1/namespaces/default/configmaps";

  interface Answer {
    readonly code: number;
    readonly headers: Record<string, string | string[] | undefined>;
    readonly bytes: Buffer;
    readonly text: string;
  }

  async function call(
    path: string,
    headers: Record<string, string> = {},
    body?: Buffer | string,
    method = "GET",
  ): Promise<Answer> {
    const options = { dispatcher: admin, headers, method: method as "GET", ...(body === undefined ? {} : { body }) };
    const { statusCode, headers: got, body: stream } = await request(server.url + path, options);
    const bytes = Buffer.from(await stream.arrayBuffer());
    return { code: statusCode, headers: got, bytes, text: bytes.toString() };
  }

  /** The kind, and the message, of an envelope. */
  function open(bytes: Buffer): { kind: string; raw: Buffer } {
    expect(bytes.subarray(0, 4).toString("latin1")).toBe("k8s\0");
    const reader = new WireReader(bytes, 4);
    let kind = "";
    let raw: Buffer = Buffer.alloc(0);
    while (!reader.done) {
      const { number } = reader.tag();
      const block = reader.block();
      if (number === 2) raw = block;
      if (number !== 1) continue;
      const type = new WireReader(block);
      const parts: string[] = [];
      while (!type.done) {
        type.tag();
        parts.push(type.block().toString());
      }
      kind = parts.join(" ");
    }
    return { kind, raw };
  }

  /** The blocks of a message by number. */
  function blocks(raw: Buffer): [number, Buffer][] {
    const found: [number, Buffer][] = [];
    for (const reader = new WireReader(raw); !reader.done;) {
      const { number } = reader.tag();
      found.push([number, reader.block()]);
    }
    return found;
  }

  const nameIn = (metadata: Buffer | undefined): unknown =>
    decodeMessage(metadata ?? Buffer.alloc(0), "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")["name"];

  beforeAll(async () => {
    server = await startTestServer(["ServiceAccount"]);
    admin = new Agent({ connect: server.tls("admin") });
    const client = server.component.server.loopback;
    await client.create(CONFIG_MAPS, {
      metadata: { namespace: "default", name: "one", labels: { a: "b" } },
      data: { x: "y" },
    } as never);
    await client.create(CONFIG_MAPS, {
      metadata: { namespace: "default", name: "large", labels: { size: "large" } },
      data: { x: "y".repeat(200_000) },
    } as never);
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, {
      metadata: { name: "widgets.example.com" },
      spec: {
        group: "example.com",
        names: { plural: "widgets", kind: "Widget" },
        scope: "Namespaced",
        versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
      },
    } as never);
    const ref = { group: "example.com", version: "v1", resource: "widgets" };
    await eventually(() => expect(server.component.server.kinds.kindFor(ref)).toBeDefined());
    await client.create(ref, {
      apiVersion: "example.com/v1",
      kind: "Widget",
      metadata: { namespace: "default", name: "w" },
    });
  });

  afterAll(async () => {
    await admin.destroy();
    await server.close();
  });

  test("metadata in protobuf, of one and of many, of built-in and of custom kinds", async () => {
    for (const [path, name] of [
      [`${MAPS}/one`, "one"],
      [`${WIDGETS}/w`, "w"],
    ] as const) {
      const one = await call(path, { accept: `${PROTO}${PARTIAL}` });
      expect(one.headers["content-type"]).toBe(PROTO);
      const { kind, raw } = open(one.bytes);
      expect(kind).toBe("meta.k8s.io/v1 PartialObjectMetadata");
      expect(nameIn(blocks(raw)[0]?.[1])).toBe(name);
    }
    for (const [version, item] of [
      ["v1", 2],
      ["v1beta1", 1],
    ] as const) {
      const list = await call(`${MAPS}?labelSelector=a=b`, {
        accept: `${PROTO}${as("PartialObjectMetadataList", version)}`,
      });
      const { kind, raw } = open(list.bytes);
      expect(kind).toBe(`meta.k8s.io/${version} PartialObjectMetadataList`);
      const items = blocks(raw).filter(([number]) => number === item);
      expect(items.map(([, bytes]) => nameIn(blocks(bytes)[0]?.[1]))).toEqual(["one"]);
      expect(blocks(raw)).toHaveLength(2);
    }
  });

  test("a form of the other shape is refused by name", async () => {
    const messageOf = async (path: string, form: string): Promise<[number, string]> => {
      const { code, text } = await call(path, { accept: `${JSON_TYPE}${form}` });
      return [code, (JSON.parse(text) as { message: string }).message];
    };
    expect(await messageOf(MAPS, PARTIAL)).toEqual([
      406,
      "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
    ]);
    expect(await messageOf(`${MAPS}/one`, as("PartialObjectMetadataList"))).toEqual([
      406,
      "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
    ]);
    expect((await messageOf(WIDGETS, PARTIAL))[1]).toContain("(*unstructured.UnstructuredList)");
  });

  test("a Table has the version that was asked for, throughout, and rows with what was asked for", async () => {
    const table = async (query: string): Promise<Answer> =>
      await call(`${MAPS}/one${query}`, { accept: `${JSON_TYPE}${as("Table", "v1beta1")}` });
    expect(JSON.parse((await table("")).text)).toMatchObject({
      kind: "Table",
      apiVersion: "meta.k8s.io/v1beta1",
      rows: [{ object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1beta1" } }],
    });
    expect(JSON.parse((await table("?includeObject=Object")).text)).toMatchObject({ rows: [{ object: { data: {} } }] });
    expect(JSON.parse((await table("?includeObject=None")).text)).toMatchObject({ rows: [{ object: null }] });
    const wrong = await table("?includeObject=All");
    expect([wrong.code, (JSON.parse(wrong.text) as { message: string }).message]).toEqual([
      400,
      "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty",
    ]);
  });

  test("a failure comes in the encoding of the answer that failed", async () => {
    const missing = `${MAPS}/missing`;
    const protobuf = await call(missing, { accept: PROTO });
    expect([protobuf.code, protobuf.headers["content-type"]]).toEqual([404, PROTO]);
    expect(open(protobuf.bytes).kind).toBe("v1 Status");
    expect(parseYaml((await call(missing, { accept: YAML })).text)).toMatchObject({ kind: "Status", code: 404 });
    expect((await call(missing, { accept: JSON_TYPE, "user-agent": "curl/8.0" })).text).toMatch(
      /^\{\n {2}"kind": "Status",/,
    );
    expect((await call(`${WIDGETS}/w`, { accept: PROTO })).code).toBe(406);
  });

  test("pretty, YAML and JSON say the same", async () => {
    const plain = JSON.parse((await call(`${MAPS}/one`)).text) as object;
    const pretty = await call(`${MAPS}/one?pretty=true`);
    expect(pretty.text).toContain('{\n  "kind": "ConfigMap",\n  "apiVersion": "v1"');
    expect(JSON.parse(pretty.text)).toEqual(plain);
    expect((await call(`${MAPS}/one`, { accept: `${JSON_TYPE};pretty=1` })).text).toBe(pretty.text);
    expect(parseYaml((await call(`${MAPS}/one`, { accept: YAML })).text)).toEqual(plain);
  });

  test("large answers are compressed for those who ask, and only those", async () => {
    const large = await call(`${MAPS}/large`, { "accept-encoding": "gzip" });
    expect([large.headers["content-encoding"], large.headers["vary"]]).toEqual(["gzip", "Accept-Encoding"]);
    expect(gunzipSync(large.bytes).toString()).toBe((await call(`${MAPS}/large`)).text);
    for (const [path, encoding] of [
      [`${MAPS}/one`, "gzip"],
      [`${MAPS}/large`, "deflate"],
      [`${MAPS}/large`, "gzip;q=0"],
    ]) {
      expect((await call(path!, { "accept-encoding": encoding! })).headers["content-encoding"]).toBeUndefined();
    }
    const document = await call("/openapi/v2", { "accept-encoding": "gzip" });
    expect([document.headers["content-encoding"], document.headers["vary"]]).toEqual([
      "gzip",
      ["Accept", "Accept-Encoding"],
    ]);
    const watch = await call(`${MAPS}?watch=1&timeoutSeconds=1&labelSelector=size=large`, {
      "accept-encoding": "gzip",
    });
    expect(watch.headers["content-encoding"]).toBeUndefined();
  });

  test.each([
    ["POST", "application/x-unknown", [JSON_TYPE, YAML, PROTO]],
    ["POST", "application/json-patch+json", [JSON_TYPE, YAML, PROTO]],
    ["DELETE", "text/plain", [JSON_TYPE, YAML, PROTO]],
    [
      "PATCH",
      JSON_TYPE,
      ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"].map(
        (type) => `application/${type}`,
      ),
    ],
  ])("a %s of %s is told what is taken", async (method, type, taken) => {
    const path = method === "POST" ? MAPS : `${MAPS}/one`;
    const answer = await call(path, { "content-type": type }, "{}", method);
    expect(answer.code).toBe(415);
    expect(JSON.parse(answer.text)).toMatchObject({
      reason: "UnsupportedMediaType",
      message: `the body of the request was in an unknown format - accepted media types include: ${taken.join(", ")}`,
    });
  });

  test("bodies are taken in all three encodings", async () => {
    const named = (name: string): object => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
    const bodies: readonly (readonly [string, Buffer | string])[] = [
      [`${JSON_TYPE}; charset=utf-8`, JSON.stringify(named("in-json"))],
      [YAML, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: in-yaml\n"],
      [PROTO, encodeProtobuf(named("in-protobuf"))],
    ];
    for (const [type, body] of bodies) {
      const answer = await call(
        MAPS,
        { "content-type": type, accept: type === PROTO ? PROTO : JSON_TYPE },
        body,
        "POST",
      );
      expect([answer.code, answer.headers["content-type"]]).toEqual([201, type === PROTO ? PROTO : JSON_TYPE]);
    }
    const repeated = '{"metadata":{"name":"twice","name":"twice"}}';
    const strict = await call(`${MAPS}?fieldValidation=Strict`, { "content-type": JSON_TYPE }, repeated, "POST");
    expect(JSON.parse(strict.text)).toMatchObject({
      code: 400,
      message: expect.stringContaining('duplicate field "metadata.name"'),
    });
  });

  test("a scale has a Table and metadata of its own", async () => {
    const template = { metadata: { labels: { app: "d" } }, spec: { containers: [{ name: "c", image: "i" }] } };
    await server.component.server.loopback.create(REPLICA_SETS, {
      metadata: { name: "d", namespace: "default" },
      spec: { replicas: 3, selector: { matchLabels: { app: "d" } }, template },
    } as never);
    const scale = "/apis/apps/v1/namespaces/default/replicasets/d/scale";
    const table = JSON.parse((await call(scale, { accept: `${JSON_TYPE}${TABLE}` })).text) as {
      columnDefinitions: { name: string }[];
      rows: { cells: unknown[]; object: object }[];
    };
    expect(table.columnDefinitions.map(({ name }) => name)).toEqual(["Name", "Desired", "Available", "Age"]);
    expect(table.rows.map(({ cells }) => cells.slice(0, 3))).toEqual([["d", 3, 0]]);
    expect(table.rows[0]?.object).toMatchObject({ kind: "PartialObjectMetadata", metadata: { name: "d" } });
    const partial = JSON.parse((await call(scale, { accept: `${JSON_TYPE}${PARTIAL}` })).text) as object;
    expect(partial).toMatchObject({ kind: "PartialObjectMetadata", metadata: { name: "d", namespace: "default" } });
    expect((await call(scale, { accept: `${JSON_TYPE}${as("PartialObjectMetadataList")}` })).code).toBe(406);
  });

  test("a watch in protobuf has frames, and its metadata alone where that is asked for", async () => {
    const path = `${MAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&labelSelector=a=b`;
    for (const [form, kind] of [
      ["", "v1 ConfigMap"],
      [PARTIAL, "meta.k8s.io/v1 PartialObjectMetadata"],
    ] as const) {
      const { bytes, headers } = await call(path, { accept: `${PROTO}${form}` });
      expect(headers["content-type"]).toBe(`${PROTO};stream=watch`);
      const events: [string, string][] = [];
      for (let from = 0; from < bytes.length;) {
        const to = from + 4 + bytes.readUInt32BE(from);
        const [[, type], [, object]] = blocks(bytes.subarray(from + 4, to)) as [[number, Buffer], [number, Buffer]];
        events.push([type.toString(), open(blocks(object)[0]![1]).kind]);
        from = to;
      }
      expect(events).toEqual([
        ["ADDED", kind],
        ["BOOKMARK", kind],
        ["BOOKMARK", kind],
      ]);
    }
  });

  test("a watch over a WebSocket has messages of text, or of bytes", async () => {
    const { ca, cert, key } = server.tls("admin");
    const messages = async (accept: string): Promise<[Buffer, boolean][]> => {
      const url = `${server.url.replace("https", "wss")}${MAPS}?watch=1&timeoutSeconds=1&labelSelector=a=b`;
      const socket = new WebSocket(url, { ca, cert, key, headers: { accept } });
      const got: [Buffer, boolean][] = [];
      socket.on("message", (data: Buffer, binary: boolean) => got.push([data, binary]));
      await new Promise((resolve, reject) => {
        socket.on("close", resolve);
        socket.on("error", reject);
      });
      return got;
    };
    const [[text, isText]] = (await messages(JSON_TYPE)) as [[Buffer, boolean]];
    expect([JSON.parse(text.toString()), isText]).toMatchObject([
      { type: "ADDED", object: { kind: "ConfigMap" } },
      false,
    ]);
    const [[bytes, isBinary]] = (await messages(PROTO)) as [[Buffer, boolean]];
    const [[, type], [, object]] = blocks(bytes) as [[number, Buffer], [number, Buffer]];
    expect([type.toString(), open(blocks(object)[0]![1]).kind, isBinary]).toEqual(["ADDED", "v1 ConfigMap", true]);
    const [[partial]] = (await messages(`${PROTO}${PARTIAL}`)) as [[Buffer, boolean]];
    expect(open(blocks(blocks(partial)[1]![1])[0]![1]).kind).toBe("meta.k8s.io/v1 PartialObjectMetadata");
    await expect(messages(YAML)).rejects.toThrow("406");
  });
});
