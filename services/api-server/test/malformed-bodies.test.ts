// Bodies that parse and make no sense: each is refused with what is wrong in it, under every admission plugin.
import { afterAll, beforeAll, expect, test } from "vitest";
import { CONFIG_MAPS, PODS, ROLE_BINDINGS, ROLES, SERVICES } from "@coxswain/api";
import type { ResourceRef } from "@coxswain/apimachinery";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ disabledAdmission: [] });
  await post({ group: "", version: "v1", resource: "serviceaccounts" }, '{"metadata":{"name":"default"}}');
});

afterAll(async () => {
  await server.stop();
});

function post(ref: ResourceRef, body: string, contentType = "application/json") {
  return server.api.pipeline.handle({
    ...ref,
    user: { username: "admin", groups: ["system:masters"] },
    verb: "create",
    namespace: "default",
    name: "",
    subresource: "",
    body: Buffer.from(body),
    contentType,
    options: {},
    signal: new AbortController().signal,
  });
}

const CASES: readonly (readonly [string, ResourceRef, string, number, readonly string[]])[] = [
  ["nothing at all", PODS, "{}", 422, ["metadata.name: Required value", "spec.containers: Required value"]],
  ["a null spec", PODS, '{"metadata":{"name":"p"},"spec":null}', 422, ["spec.containers: Required value"]],
  ["null containers", PODS, '{"metadata":{"name":"p"},"spec":{"containers":[null]}}', 422, ["spec.containers[0].name"]],
  [
    "volumes without a name",
    PODS,
    '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"volumes":[{},null]}}',
    422,
    ["spec.volumes[0].name: Required value", "spec.volumes[1].name: Required value"],
  ],
  ["null ports", SERVICES, '{"metadata":{"name":"s"},"spec":{"ports":[null]}}', 422, ["spec.ports[0].port"]],
  ["null rules", ROLES, '{"metadata":{"name":"r"},"rules":[null]}', 422, ["rules[0].verbs: Required value"]],
  ["null finalizers", CONFIG_MAPS, '{"metadata":{"name":"c","finalizers":[null]}}', 422, ["metadata.finalizers"]],
  [
    "null subjects",
    ROLE_BINDINGS,
    '{"metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[null]}',
    422,
    ["subjects[0].name: Required value"],
  ],
];

test.each(CASES)("%s in %o", async (_what, ref, body, code, messages) => {
  const error: unknown = await post(ref, body).catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code });
  for (const message of messages) expect((error as Error).message).toContain(message);
});

test("null values of a map are empty", async () => {
  const answer = await post(CONFIG_MAPS, '{"metadata":{"name":"c","labels":{"a":null}},"data":{"key":null}}');
  expect(answer).toMatchObject({ object: { object: { metadata: { labels: { a: "" } }, data: { key: "" } } } });
});

const HALF = 3 * 512 * 1024 - 1000;

// In time: the parser would need most of a minute for each.
test.each([
  ["lists in each other", `values: ${"[".repeat(HALF)}${"]".repeat(HALF)}`],
  ["lists that are not closed", `values: ${"[".repeat(2 * HALF)}`],
  ["lists of lists on one line", "- ".repeat(HALF)],
  ["keys of keys on one line", "? ".repeat(HALF)],
])("YAML with %s is too deep, which is seen at once", async (_what, body) => {
  await expect(post(CONFIG_MAPS, body, "application/yaml")).rejects.toMatchObject({
    code: 400,
    message: expect.stringContaining("error converting YAML to JSON: yaml: exceeded max depth") as string,
  });
});

test("YAML with many collections, and with rulers in its texts, is not deep", async () => {
  const text = ["[", "-", " ", "{"].map((each) => `    ${each.repeat(5000)}\n`).join("");
  const quoted = JSON.stringify("[{".repeat(2000));
  const owners = Array.from({ length: 1200 }, (_, at) => `{kind: K, name: n${at}, apiVersion: v1, uid: u${at}}`);
  const body = `metadata: {name: deep, ownerReferences: [${owners.join(", ")}]}\ndata:\n  plain: a${"[".repeat(2000)}\n  quoted: ${quoted}\n  text: |\n${text}`;
  await expect(post(CONFIG_MAPS, body, "application/yaml")).resolves.toMatchObject({
    object: { object: { data: { quoted: "[{".repeat(2000), plain: `a${"[".repeat(2000)}` } } },
  });
});

test.each(["*x", "a: &a [*a]", "a: &x {b: 1}\nc: *y"])("YAML with a bad alias: %s", async (body) => {
  await expect(post(CONFIG_MAPS, body, "application/yaml")).rejects.toMatchObject({
    code: 400,
    message: expect.stringContaining("error converting YAML to JSON") as string,
  });
});
