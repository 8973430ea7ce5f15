// What the query and the body of a request may say about how it is to be done, on the wire, and how what they may not is refused.
import { CONFIG_MAPS, PODS, REPLICA_SETS } from "@coxswain/api";
import { Agent, request } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const JSON_TYPE = "application/json";
const MAPS = "/api/v1/namespaces/default/configmaps";

let server: TestServer;
let agent: Agent;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  agent = new Agent({ connect: { ...server.tls("admin"), checkServerIdentity: () => undefined } as never });
});

afterAll(async () => {
  await agent.close();
  await server.close();
});

beforeEach(async () => {
  await send("DELETE", `${MAPS}?labelSelector=of=test`);
  for (const name of ["a", "b", "c"]) {
    await server.component.server.loopback.create(CONFIG_MAPS, {
      metadata: { name, namespace: "default", labels: { of: "test" } },
    });
  }
});

async function send(method: string, path: string, body?: string): Promise<{ code: number; text: string }> {
  const response = await request(server.url + path, {
    method: method as "GET",
    dispatcher: agent,
    headers: { accept: JSON_TYPE, "content-type": JSON_TYPE },
    ...(body === undefined ? {} : { body }),
  });
  return { code: response.statusCode, text: await response.body.text() };
}

async function refusal(method: string, path: string, body?: string): Promise<[number, string]> {
  const { code, text } = await send(method, path, body);
  return [code, (JSON.parse(text) as { message: string }).message];
}

async function names(path: string): Promise<[names: string[], continues: boolean]> {
  const { text } = await send("GET", path);
  const { items, metadata } = JSON.parse(text) as {
    items: { metadata: { name: string } }[];
    metadata: { continue?: string };
  };
  return [items.map((each) => each.metadata.name), metadata.continue !== undefined];
}

const token = (fields: unknown): string => Buffer.from(JSON.stringify(fields)).toString("base64url");

test.each([
  ["GET", `${MAPS}/a?export=true`, "the export parameter, deprecated since v1.14, is no longer supported"],
  ["GET", `${MAPS}?timeoutSeconds=x`, 'strconv.ParseInt: parsing "x": invalid syntax'],
  ["GET", `${MAPS}?continue=a`, "invalid continue token: continue key is not valid"],
  ["GET", `${MAPS}?continue=%20`, "invalid continue token: continue key is not valid"],
  ["GET", `${MAPS}?continue=a&resourceVersion=5`, "invalid continue token: continue key is not valid"],
  [
    "GET",
    `${MAPS}?continue=${token({ v: "v2", rv: "1", start: "default/a" })}`,
    "invalid continue token: continue key is not valid: server does not recognize this encoded version v2",
  ],
  [
    "GET",
    `${MAPS}?continue=${token({ v: "meta.k8s.io/v1", rv: 0, start: "default/a" })}`,
    "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
  ],
  [
    "GET",
    `${MAPS}?continue=${token({ v: "meta.k8s.io/v1", rv: "1" })}`,
    "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
  ],
  [
    "GET",
    `${MAPS}?continue=${token({ v: "meta.k8s.io/v1", rv: "1", start: "../secrets/a" })}`,
    "invalid continue token: continue key is not valid: ../secrets/a",
  ],
])("%s %s: %s", async (method, path, message) => {
  expect(await refusal(method, path)).toEqual([400, message]);
});

test("a manager's name and a validation that cannot be", async () => {
  const [code, message] = await refusal("POST", `${MAPS}?fieldManager=%C3%A4%00%E2%80%8B&fieldValidation=x`, "{}");
  const shown = String.raw`"ä\x00\u200b"`;
  expect([code, message]).toEqual([
    422,
    'CreateOptions.meta.k8s.io "" is invalid: [' +
      `fieldManager: Invalid value: ${shown}: invalid character U+0000 (at position 2), ` +
      `fieldManager: Invalid value: ${shown}: invalid character U+200B (at position 3), ` +
      'fieldValidation: Unsupported value: "x": supported values: "", "Ignore", "Strict", "Warn"]',
  ]);
});

test("who takes any version gets the whole list, as it comes from memory", async () => {
  expect(await names(`${MAPS}?labelSelector=of=test&limit=2&resourceVersion=0`)).toEqual([["a", "b", "c"], false]);
  expect(await names(`${MAPS}?labelSelector=of=test&limit=2`)).toEqual([["a", "b"], true]);
});

test("versions that are none", async () => {
  const why = 'strconv.ParseUint: parsing "x": invalid syntax';
  expect(await refusal("GET", `${MAPS}?resourceVersion=x`)).toEqual([
    400,
    `invalid resource version: resourceVersion: Invalid value: "x": ${why}`,
  ]);
});

describe("a dry run", () => {
  const named = (name: string, more: object = {}): string => JSON.stringify({ metadata: { name, ...more } });

  test("creates nothing over what is there", async () => {
    expect(await refusal("POST", `${MAPS}?dryRun=All`, named("a"))).toEqual([409, 'configmaps "a" already exists']);
  });

  test("is answered with what can be created then", async () => {
    const { code, text } = await send("POST", `${MAPS}?dryRun=All`, named("dry", { labels: { of: "test" } }));
    expect(code).toBe(201);
    expect((await names(`${MAPS}?labelSelector=of=test`))[0]).toEqual(["a", "b", "c"]);
    expect((await send("POST", MAPS, text)).code).toBe(201);
    expect((await names(`${MAPS}?labelSelector=of=test`))[0]).toEqual(["a", "b", "c", "dry"]);
  });

  test("changes what is there by its version, and deletes nothing", async () => {
    const before = JSON.parse((await send("GET", `${MAPS}/a`)).text) as { metadata: { resourceVersion: string } };
    const { resourceVersion } = before.metadata;
    const put = (version: string) => send("PUT", `${MAPS}/a?dryRun=All`, named("a", { resourceVersion: version }));
    const done = await put(resourceVersion);
    expect(done.code).toBe(200);
    expect(JSON.parse(done.text)).toMatchObject({ metadata: { resourceVersion } });
    expect((await put("1")).code).toBe(409);
    expect((await send("DELETE", `${MAPS}/a?dryRun=All`)).code).toBe(200);
    expect(JSON.parse((await send("GET", `${MAPS}/a`)).text)).toEqual(before);
  });
});

test.each(["0", "x", "-1"])("a new object may have %s for its version, as that is none", async (resourceVersion) => {
  const body = JSON.stringify({ metadata: { name: "fresh", labels: { of: "test" }, resourceVersion } });
  expect((await send("POST", MAPS, body)).code).toBe(201);
});

test.each([
  ["metadata.name=a", ["a"]],
  ["metadata.name=a,metadata.name=a", ["a"]],
  ["metadata.name=a,metadata.name=b", []],
  ["metadata.name=a,metadata.name!=a", []],
  ["metadata.name=a,metadata.namespace=default", ["a"]],
  ["metadata.name=a,metadata.namespace=", []],
])("the field selector %s chooses %j", async (selector, expected) => {
  for (const path of [MAPS, "/api/v1/configmaps"]) {
    expect(await names(`${path}?labelSelector=of=test&fieldSelector=${selector}`)).toEqual([expected, false]);
  }
});

describe("watches", () => {
  const SELECTED = `${MAPS}?watch=1&timeoutSeconds=1&labelSelector=of=test&fieldSelector=metadata.name=a`;

  async function events(query: string): Promise<string[]> {
    const { code, text } = await send("GET", `${SELECTED}${query}`);
    expect(code, text).toBe(200);
    const lines = text.trim() === "" ? [] : text.trim().split("\n");
    return lines.map((line) => {
      const { type, object } = JSON.parse(line) as { type: string; object: { metadata: { annotations?: object } } };
      return object.metadata.annotations === undefined ? type : `${type} of the end of initial events`;
    });
  }

  const FIRST = ["ADDED", "BOOKMARK of the end of initial events", "BOOKMARK"];

  test.each([
    ["that name no version", "&allowWatchBookmarks=1", FIRST],
    ["that take any version", "&allowWatchBookmarks=1&resourceVersion=0", FIRST],
    ["without bookmarks", "", ["ADDED"]],
    ["that want no initial events", "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", []],
    ["that want them", "&sendInitialEvents=TRUE&resourceVersionMatch=NotOlderThan", ["ADDED"]],
  ])("%s", async (_what, query, expected) => {
    expect(await events(query)).toEqual(expected);
  });

  const FORBIDDEN = "resourceVersionMatch: Forbidden: ";
  const UNKNOWN = (value: string): string =>
    `resourceVersionMatch: Unsupported value: "${value}": supported values: "NotOlderThan"`;
  const NEEDED = `${FORBIDDEN}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`;

  test.each([
    ["&sendInitialEvents=true", NEEDED],
    ["&sendInitialEvents=true&resourceVersionMatch=Exact", `[${NEEDED}, ${UNKNOWN("Exact")}]`],
    [
      "&resourceVersionMatch=Exact&resourceVersion=1",
      `[${FORBIDDEN}resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, ${UNKNOWN("Exact")}]`,
    ],
    ["&continue=x", `${FORBIDDEN}resourceVersionMatch is forbidden when continue is provided`],
  ])("refused: %s", async (query, why) => {
    expect(await refusal("GET", `${SELECTED}${query}`)).toEqual([422, `ListOptions.meta.k8s.io "" is invalid: ${why}`]);
  });
});

describe("deletions", () => {
  const SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27";

  test.each([
    ['{"kind":"Pod","apiVersion":"v1"}', `no kind "Pod" is registered for version "v1" in scheme "${SCHEME}"`],
    ['{"kind":"Foo"}', `no kind "Foo" is registered for version "meta.k8s.io/v1" in scheme "${SCHEME}"`],
    ["[]", "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct"],
    ['"a"', "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct"],
    ['{"dryRun":"All"}', "json: cannot unmarshal string into Go struct field DeleteOptions.dryRun of type []string"],
    ['{"orphanDependents":"x"}', "json: cannot unmarshal string into Go struct field DeleteOptions.orphanDependents"],
  ])("nothing is deleted by %s", async (body, message) => {
    for (const path of [`${MAPS}/a`, `${MAPS}?labelSelector=of=test`]) {
      expect(await refusal("DELETE", path, body)).toEqual([400, expect.stringContaining(message)]);
    }
    expect(await names(`${MAPS}?labelSelector=of=test`)).toEqual([["a", "b", "c"], false]);
  });

  test("the options of any group do", async () => {
    for (const [name, version] of [
      ["a", "apps/v1"],
      ["b", "meta.k8s.io/v1"],
    ] as const) {
      const body = JSON.stringify({ kind: "DeleteOptions", apiVersion: version });
      expect((await send("DELETE", `${MAPS}/${name}`, body)).code).toBe(200);
    }
    expect(await names(`${MAPS}?labelSelector=of=test`)).toEqual([["c"], false]);
  });

  test("a body says all, and the query where there is none", async () => {
    expect((await send("DELETE", `${MAPS}/a?dryRun=All`)).code).toBe(200);
    expect((await names(`${MAPS}?labelSelector=of=test`))[0]).toContain("a");
    expect((await send("DELETE", `${MAPS}/a?dryRun=All&propagationPolicy=x`, "{}")).code).toBe(200);
    expect((await names(`${MAPS}?labelSelector=of=test`))[0]).not.toContain("a");
  });
});

test("whoever replaces an object that is gone is told so, and of one that never was that it is not there", async () => {
  const put = (metadata: object): Promise<[number, string]> =>
    refusal("PUT", `${MAPS}/gone`, JSON.stringify({ metadata: { name: "gone", ...metadata } }));
  const [code, message] = await put({ uid: "u" });
  expect(code).toBe(409);
  expect(message).toContain("Precondition failed: UID in precondition: u, UID in object meta: ");
  expect(await put({})).toEqual([404, 'configmaps "gone" not found']);
});

describe("the body of a subresource is of the object that the path names", () => {
  const BASE = "/apis/apps/v1/namespaces/default/replicasets/r";
  const POD = "/api/v1/namespaces/default/pods/p";

  beforeAll(async () => {
    const { loopback } = server.component.server;
    const template = { metadata: { labels: { app: "r" } }, spec: { containers: [{ name: "c", image: "i" }] } };
    await loopback.create(REPLICA_SETS, {
      metadata: { name: "r", namespace: "default" },
      spec: { replicas: 0, selector: { matchLabels: { app: "r" } }, template },
    } as never);
    await loopback.create(PODS, { metadata: { name: "p", namespace: "default" }, spec: template.spec } as never);
  });

  const SCALED = { spec: { replicas: 0 } };
  const ELSEWHERE = "the namespace of the provided object does not match the namespace sent on the request";

  test.each([
    [
      "PUT",
      `${BASE}/scale`,
      { metadata: { name: "s" }, ...SCALED },
      "the name of the object (s) does not match the name on the URL (r)",
    ],
    [
      "PUT",
      `${BASE}/scale`,
      SCALED,
      "the name of the object (r based on URL) was undeterminable: name must be provided",
    ],
    [
      "PUT",
      `${BASE}/scale`,
      { metadata: { name: "r", namespace: "other" }, ...SCALED },
      "the namespace of the object (other) does not match the namespace on the request (default)",
    ],
    ["POST", `${POD}/binding`, { target: { name: "n" } }, "name in URL does not match name in Binding object"],
    ["POST", `${POD}/binding`, { metadata: { name: "p", namespace: "other" }, target: { name: "n" } }, ELSEWHERE],
    ["POST", `${POD}/eviction`, {}, "name in URL does not match name in Eviction object"],
    ["POST", `${POD}/eviction`, { metadata: { name: "p", namespace: "other" } }, ELSEWHERE],
    [
      "POST",
      "/api/v1/namespaces/default/serviceaccounts/default/token",
      { metadata: { namespace: "other" }, spec: {} },
      ELSEWHERE,
    ],
  ])("%s %s %j: %s", async (method, path, body, message) => {
    expect(await refusal(method, path, JSON.stringify(body))).toEqual([400, message]);
  });

  test.each([
    ["spec.host=n", []],
    ["spec.host=", ["p"]],
    ["spec.host!=n", ["p"]],
    ["status.podIPs=10.0.0.1", []],
    ["status.podIPs=", ["p"]],
  ])("pods by %s", async (selector, expected) => {
    const path = `/api/v1/namespaces/default/pods?fieldSelector=${encodeURIComponent(selector)}`;
    expect(await names(path)).toEqual([expected, false]);
  });

  test("namespaces by a field that they no longer have", async () => {
    expect(await refusal("GET", "/api/v1/namespaces?fieldSelector=name=default")).toEqual([
      400,
      "field label not supported: name",
    ]);
  });

  test("and else it is taken", async () => {
    const scale = { metadata: { name: "r", namespace: "default" }, ...SCALED };
    expect((await send("PUT", `${BASE}/scale`, JSON.stringify(scale))).code).toBe(200);
  });
});
