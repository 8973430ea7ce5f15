// The REST front over a pipeline of a few lines: what is sent on the wire, who gets in, and that no input breaks the process.
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { kindFor } from "@coxswain/api";
import type { KindDefinition } from "@coxswain/api";
import { decodeProtobuf } from "@coxswain/api/wire/index";
import { newExpired, type KubeObject } from "@coxswain/apimachinery";
import type { ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { toKubernetesProtobuf } from "../src/rest/protobuf.ts";
import { createWatchSink } from "../src/rest/watch-response.ts";
import { createFakePipeline } from "./support/fake-pipeline.ts";
import type { FakePipeline } from "./support/fake-pipeline.ts";
import { startTestFront } from "./support/test-front.ts";
import type { TestFront } from "./support/test-front.ts";

let pipeline: FakePipeline;
let front: TestFront;

const configMap = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default", uid: `uid-${name}`, creationTimestamp: "2026-01-01T00:00:00Z" },
});

beforeAll(async () => {
  pipeline = createFakePipeline();
  front = await startTestFront((extensions) => {
    if (typeof extensions.authorizer === "function") pipeline.authorizer = extensions.authorizer(pipeline);
    return pipeline;
  });
  pipeline.put(configMap("one"), "configmaps");
});

afterAll(() => front.close());

const COLLECTION = "/api/v1/namespaces/default/configmaps";

test("an object leaves as the bytes that the cache holds", async () => {
  const answer = await front.call("GET", `${COLLECTION}/one`);
  expect(answer.code).toBe(200);
  expect(answer.headers["content-type"]).toBe("application/json");
  expect(answer.headers["audit-id"]).toMatch(/^[0-9a-f-]{36}$/);
  expect(answer.headers["cache-control"]).toBe("no-cache, private");
  expect(answer.text).toBe(String(pipeline.get({ group: "", resource: "configmaps" }, "default", "one")?.json));
});

test("a list joins the stored bytes and carries its version", async () => {
  const list = (await front.call("GET", COLLECTION)).json() as unknown as { kind: string; items: KubeObject[] };
  expect(list.kind).toBe("ConfigMapList");
  expect(list.items.map((item) => item.metadata?.name)).toContain("one");
});

test("the root tells all paths that there are", async () => {
  const answer = await front.call("GET", "/");
  expect([answer.code, answer.headers["content-type"]]).toEqual([200, "application/json"]);
  const { paths } = answer.json() as unknown as { paths: string[] };
  expect(paths).toEqual(
    expect.arrayContaining([
      "/.well-known/openid-configuration",
      "/api",
      "/api/v1",
      "/apis/apps",
      "/apis/apps/v1",
      "/healthz/ping",
      "/openapi/v3/apis/apps/v1",
      "/version",
    ]),
  );
  expect(paths).toEqual([...new Set(paths)].toSorted());
  for (const path of ["/api/v1", "/healthz/ping", "/version"]) {
    expect((await front.call("GET", path)).code, path).toBe(200);
  }
});

test("a large list leaves in parts, compressed where the client takes it", async () => {
  const large = "/api/v1/namespaces/large/configmaps";
  const names = Array.from({ length: 60 }, (_, n) => `large-${n}`);
  for (const name of names) {
    const object = { ...configMap(name), metadata: { name, namespace: "large" }, data: { filler: name.repeat(2_000) } };
    pipeline.put(object, "configmaps");
  }
  const plain = await front.call("GET", large);
  expect(plain.headers["content-length"]).toBe(String(plain.bytes.length));
  const list = plain.json() as unknown as { items: KubeObject[] };
  expect(list.items.map((item) => item.metadata?.name)).toEqual(names);
  const packed = await front.call("GET", large, { headers: { "accept-encoding": "gzip" } });
  expect(packed.headers["content-encoding"]).toBe("gzip");
  expect(gunzipSync(packed.bytes).equals(plain.bytes)).toBe(true);
});

test("Table, PartialObjectMetadata and YAML on request, 406 otherwise", async () => {
  const accept = (value: string) => front.call("GET", `${COLLECTION}/one`, { headers: { accept: value } });
  const table = (await accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")).json();
  expect(table).toMatchObject({ kind: "Table", rows: [{ object: { kind: "PartialObjectMetadata" } }] });
  const partial = (await accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")).json();
  expect(partial).toMatchObject({ kind: "PartialObjectMetadata", metadata: { name: "one" } });
  expect((await accept("application/yaml")).text).toContain("kind: ConfigMap\n");
  const refused = await accept("text/csv");
  expect(refused.code).toBe(406);
  expect(refused.json()).toMatchObject({
    reason: "NotAcceptable",
    message:
      "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
  });
});

test("a review has no Table", async () => {
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const body = JSON.stringify({ spec: { nonResourceAttributes: { path: "/", verb: "get" } } });
  const post = (accept: string) =>
    front.call("POST", path, { headers: { accept, "content-type": "application/json" }, body });
  expect((await post("application/json;as=Table;v=v1;g=meta.k8s.io")).code).toBe(406);
  expect((await post("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")).code).toBe(201);
});

test("clients that take only protobuf get it, for objects, lists and watches", async () => {
  const headers = { accept: "application/vnd.kubernetes.protobuf" };
  const bytesOf = async (path: string): Promise<Buffer> =>
    Buffer.from((await front.call("GET", path, { headers })).bytes);
  expect(decodeProtobuf(await bytesOf(`${COLLECTION}/one`))).toMatchObject({
    kind: "ConfigMap",
    metadata: { name: "one" },
  });
  const list = decodeProtobuf(await bytesOf(COLLECTION)) as unknown as { kind: string; items: KubeObject[] };
  expect(list.kind).toBe("ConfigMapList");
  expect(list.items[0]?.metadata?.name).toBe("one");
  const denied = await front.call("GET", `${COLLECTION}/absent`, { headers });
  expect(denied.code).toBe(404);
  const both = { accept: "application/vnd.kubernetes.protobuf,application/json" };
  expect((await front.call("GET", `${COLLECTION}/one`, { headers: both })).headers["content-type"]).toBe(
    "application/json",
  );
});

test("a protobuf watch is frames of length and event", () => {
  const written: Buffer[] = [];
  const response = {
    headersSent: true,
    destroyed: false,
    writableLength: 0,
    write: (data: Buffer) => written.push(data),
  };
  const kind = kindFor({ group: "", version: "v1", resource: "configmaps" }) as KindDefinition;
  const options = {
    form: { encoding: "protobuf" as const },
    kind,
    include: "Metadata" as const,
    now: () => 0,
    protobuf: toKubernetesProtobuf,
  };
  const sink = createWatchSink(response as unknown as ServerResponse, options, () => undefined);
  const object = pipeline.put(configMap("framed"), "configmaps");
  sink.send([{ type: "ADDED", object }]);
  const [frame = Buffer.alloc(0)] = written;
  expect(frame.readUInt32BE(0)).toBe(frame.length - 4);
  expect(frame.subarray(4, 11)).toEqual(Buffer.from("\x0a\x05ADDED"));
  const magic = frame.indexOf("k8s\0");
  expect(decodeProtobuf(frame.subarray(magic))).toMatchObject({ metadata: { name: "framed" } });
});

test("a bookmark in a Table is a row, whose object says that the first events are over", () => {
  const written: string[] = [];
  const response = {
    headersSent: false,
    setHeader() {},
    writeHead() {},
    flushHeaders() {},
    on() {},
    writable: true,
    write: (data: Buffer | string) => written.push(String(data)),
  };
  const kind = kindFor({ group: "", version: "v1", resource: "configmaps" }) as KindDefinition;
  const form = { encoding: "json" as const, as: "Table" as const };
  const options = { form, kind, include: "Metadata" as const, now: () => 0, protobuf: toKubernetesProtobuf };
  const sink = createWatchSink(response as unknown as ServerResponse, options, () => undefined);
  const annotations = { "k8s.io/initial-events-end": "true" };
  const end = { apiVersion: "v1", kind: "ConfigMap", metadata: { resourceVersion: "7", annotations } };
  const object = { namespace: "", name: "", rv: 7n, json: Buffer.from(JSON.stringify(end)), object: end };
  sink.send([{ type: "BOOKMARK", object }]);
  expect(JSON.parse(written.join(""))).toMatchObject({
    type: "BOOKMARK",
    object: { kind: "Table", rows: [{ object: { kind: "PartialObjectMetadata", metadata: { annotations } } }] },
  });
});

test("a create answers 201 with the warnings as headers", async () => {
  const answer = await front.call("POST", `${COLLECTION}?dryRun=All&fieldManager=me`, {
    body: JSON.stringify(configMap("two")),
    headers: { "content-type": "application/json" },
  });
  expect(answer.code).toBe(201);
  expect(answer.headers["warning"]).toBe('299 - "a \\"warning\\""');
  expect(pipeline.requests.at(-1)?.options).toEqual({ dryRun: ["All"], fieldManager: "me" });
});

test("errors are Status objects with upstream's words", async () => {
  const missing = await front.call("GET", `${COLLECTION}/absent`);
  expect(missing.code).toBe(404);
  expect(missing.json()).toMatchObject({ kind: "Status", message: 'configmaps "absent" not found' });
  const unknown = await front.call("GET", "/apis/example.com/v1/things");
  expect(unknown.json()).toMatchObject({ message: "the server could not find the requested resource", code: 404 });
  expect((await front.call("PUT", COLLECTION)).code).toBe(405);
  expect((await front.call("OPTIONS", COLLECTION)).code).toBe(405);
  const type = await front.call("POST", COLLECTION, { body: "x", headers: { "content-type": "text/csv" } });
  expect(type.code).toBe(415);
  const large = await front.call("POST", COLLECTION, { body: Buffer.alloc(3 * 1024 * 1024 + 1) });
  expect(large.json()).toMatchObject({ code: 413, message: "Request entity too large: limit is 3145728" });
});

test("a watch streams what is there and what changes, and ends when the server drains", async () => {
  const seen: string[] = [];
  const other = await startTestFront((extensions) => {
    if (typeof extensions.authorizer === "function") pipeline.authorizer = extensions.authorizer(pipeline);
    return pipeline;
  });
  const watching = other.call("GET", `${COLLECTION}?watch=true`);
  await expect
    .poll(() => other.front.rest !== undefined && pipeline.put(configMap("three"), "configmaps"))
    .toBeTruthy();
  await other.call("GET", `${COLLECTION}/one`);
  pipeline.put(configMap("four"), "configmaps");
  await other.front.rest.close();
  const lines = (await watching).text.trim().split("\n");
  for (const line of lines) seen.push((JSON.parse(line) as { object: KubeObject }).object.metadata?.name ?? "");
  expect(seen).toEqual(expect.arrayContaining(["one", "four"]));
  await other.close();
});

test("a watch from a version that is gone is answered in the stream", async () => {
  const gone = newExpired("too old resource version: 1 (7)");
  const other = await startTestFront((extensions) => {
    if (typeof extensions.authorizer === "function") pipeline.authorizer = extensions.authorizer(pipeline);
    return { ...pipeline, watch: () => Promise.reject(gone) };
  });
  const { code, text } = await other.call("GET", `${COLLECTION}?watch=true&resourceVersion=1`);
  expect(code).toBe(200);
  expect(JSON.parse(text)).toMatchObject({ type: "ERROR", object: { kind: "Status", reason: "Expired", code: 410 } });
  await other.close();
});

test("without credentials only health and version are open", async () => {
  for (const path of ["/healthz", "/livez", "/readyz", "/version"]) {
    // The binding that opens them comes with the default policy, which this pipeline does not hold.
    expect((await front.call("GET", path, { as: "" })).code).toBe(403);
    expect((await front.call("GET", path)).code).toBe(200);
  }
  const denied = await front.call("GET", COLLECTION, { as: "" });
  expect(denied.code).toBe(403);
  expect(denied.json()).toMatchObject({
    message:
      'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default"',
  });
  const bad = await front.call("GET", COLLECTION, { as: "", headers: { authorization: "Bearer rubbish" } });
  expect(bad.code).toBe(401);
});

test("who asks for groups, extras or a uid without a user is told what was asked for", async () => {
  const headers = { "impersonate-group": "team", "impersonate-extra-a%2fb": "v", "impersonate-uid": "7" };
  const answer = await front.call("GET", "/api/v1/nodes", { headers });
  expect(answer.json()).toMatchObject({
    code: 400,
    message:
      "requested [{Group  team    } {UserExtra  v  authentication.k8s.io/v1  a/b} {UID  7  authentication.k8s.io/v1  }] without impersonating a user",
  });
});

test("the keys of tokens may be kept for an hour", async () => {
  for (const path of ["/.well-known/openid-configuration", "/openid/v1/jwks"]) {
    expect((await front.call("GET", path)).headers["cache-control"], path).toBe("public, max-age=3600");
  }
  expect((await front.call("GET", "/version")).headers["cache-control"]).toBe("no-cache, private");
});

test("impersonation is checked for the caller and takes effect", async () => {
  const headers = { "impersonate-user": "alice", "impersonate-group": "team" };
  const as = await front.call("GET", COLLECTION, { headers });
  expect(as.json()).toMatchObject({ message: expect.stringContaining('User "alice" cannot list') as string });
  const denied = await front.call("GET", COLLECTION, { as: "scheduler", headers });
  expect(denied.json()).toMatchObject({
    message:
      'users "alice" is forbidden: User "system:kube-scheduler" cannot impersonate resource "users" in API group "" at the cluster scope',
  });
});

test("no request breaks the process or ends in an internal error", async () => {
  const segment = fc.oneof(
    fc.constantFrom(
      "api",
      "apis",
      "v1",
      "namespaces",
      "default",
      "configmaps",
      "watch",
      "pods",
      "x",
      "log",
      "status",
      "",
    ),
    fc.webSegment(),
  );
  const method = fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE");
  const accept = fc.oneof(fc.constantFrom("*/*", "application/json;as=Table", "application/yaml"), fc.webSegment());
  await fc.assert(
    fc.asyncProperty(
      method,
      fc.array(segment, { maxLength: 9 }),
      fc.array(fc.tuple(fc.webSegment(), fc.webSegment()), { maxLength: 3 }),
      accept,
      fc.option(fc.string(), { nil: undefined }),
      async (verb, segments, query, accepted, body) => {
        const text = query.map(([name, value]) => `${name}=${value}`).join("&");
        if (segments.includes("watch")) return;
        const answer = await front.call(verb, `/${segments.join("/")}?${text}`, {
          headers: { accept: accepted.replaceAll(/[^\x20-\x7e]/g, ""), "content-type": "application/json" },
          ...(verb === "GET" || body === undefined ? {} : { body: JSON.stringify({ metadata: { name: body } }) }),
        });
        expect([200, 201, 304, 400, 404, 405, 406, 409, 415, 422]).toContain(answer.code);
      },
    ),
    { numRuns: 200 },
  );
});
