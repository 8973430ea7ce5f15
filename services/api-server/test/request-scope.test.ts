// What lives in no namespace is not reached by way of one, nor what lives in one without it: who may do all in one namespace
// would else have rights on nodes.
import { afterAll, beforeAll, expect, test } from "vitest";
import { CLUSTER_ROLES, CONFIG_MAPS, NODES, PERSISTENT_VOLUMES, PODS } from "@coxswain/api";
import type { ResourceRef } from "@coxswain/apimachinery";
import type { ApiRequest, RequestVerb } from "../src/pipeline/contract.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(CONFIG_MAPS, { metadata: { name: "kept", namespace: "default" } });
});

afterAll(async () => {
  await server.stop();
});

interface Asked {
  readonly ref: ResourceRef;
  readonly verb: RequestVerb;
  readonly namespace: string;
  readonly name?: string;
}

function requestFor({ ref, ...rest }: Asked): ApiRequest {
  return {
    user: { username: "admin", groups: ["system:masters"] },
    name: "",
    subresource: "",
    contentType: "application/json",
    options: {},
    signal: new AbortController().signal,
    ...ref,
    ...rest,
    body: Buffer.from(JSON.stringify({ metadata: { name: "made" } })),
  };
}

const BINDINGS: ResourceRef = { group: "", version: "v1", resource: "bindings" };
const NOT_FOUND = { code: 404, message: "the server could not find the requested resource" };
const NOT_ALLOWED = { code: 405, message: "the server does not allow this method on the requested resource" };

test.each<[string, Asked, object]>([
  ["nodes of a namespace", { ref: NODES, verb: "list", namespace: "default" }, NOT_FOUND],
  ["a node in a namespace", { ref: NODES, verb: "get", namespace: "default", name: "n" }, NOT_FOUND],
  ["a node for a namespace", { ref: NODES, verb: "create", namespace: "default" }, NOT_FOUND],
  ["a role of the cluster", { ref: CLUSTER_ROLES, verb: "update", namespace: "default", name: "admin" }, NOT_FOUND],
  ["volumes away", { ref: PERSISTENT_VOLUMES, verb: "deletecollection", namespace: "default" }, NOT_FOUND],
  ["a binding that was made", { ref: BINDINGS, verb: "get", namespace: "default", name: "made" }, NOT_FOUND],
  ["a binding again", { ref: BINDINGS, verb: "update", namespace: "default", name: "made" }, NOT_FOUND],
  ["an object of no namespace", { ref: CONFIG_MAPS, verb: "get", namespace: "", name: "kept" }, NOT_FOUND],
  ["an object of no namespace away", { ref: CONFIG_MAPS, verb: "delete", namespace: "", name: "kept" }, NOT_FOUND],
  ["an object for no namespace", { ref: CONFIG_MAPS, verb: "create", namespace: "" }, NOT_ALLOWED],
  ["objects of all namespaces away", { ref: CONFIG_MAPS, verb: "deletecollection", namespace: "" }, NOT_ALLOWED],
])("refused: %s", async (_what, asked, expected) => {
  await expect(server.api.pipeline.handle(requestFor(asked))).rejects.toMatchObject(expected);
});

test("a watch asks no namespace for nodes", async () => {
  const sink = { send: () => true, end: () => undefined };
  const request = requestFor({ ref: NODES, verb: "watch", namespace: "default" });
  await expect(server.api.pipeline.watch(request, sink)).rejects.toMatchObject(NOT_FOUND);
});

test("lists of all namespaces are there, and nothing went", async () => {
  const listed = await server.client.list(CONFIG_MAPS);
  expect(listed.items.map((each) => each.metadata?.name)).toContain("kept");
  expect((await server.client.list(PODS)).items).toEqual([]);
});
