// The gRPC services over the whole api-server: the contract that every ResourceClient keeps, readable objects, discovery.
import { Client, Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { resourceClientSuite } from "@coxswain/client/testing/resource-client-suite";
import type { ResourceClient } from "@coxswain/client";
import { silentLogger } from "@coxswain/component-base";
import { createChannel, createCredentials } from "@coxswain/component-base/grpc-channel";
import { serviceDefinition, structToJson } from "@coxswain/protos";
import { startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

let server: TestServer;
let client: ResourceClient;
let raw: Client;

beforeAll(async () => {
  // Pods of the suite have no service account: no controller makes one here.
  server = await startTestServer(["ServiceAccount"]);
  const { env, grpcAddress } = server;
  client = createGrpcResourceClient({ env, logger: silentLogger, addresses: [grpcAddress], tls: server.tls("admin") });
  const tls = server.tls("admin");
  raw = new Client(grpcAddress, createCredentials(tls), {
    channelOverride: createChannel({ addresses: [grpcAddress], tls }),
  });
});

afterAll(async () => {
  raw.close();
  await client.close();
  await server.close();
});

resourceClientSuite("gRPC to the api-server", { makeClient: () => client, unique: () => "grpc" });

function call<T>(service: string, method: string, request: object, metadata = new Metadata()): Promise<T> {
  const definition = serviceDefinition(service)[method];
  if (definition === undefined) throw new Error(`no method ${method}`);
  return new Promise((resolve, reject) => {
    raw.makeUnaryRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize as (bytes: Buffer) => T,
      request,
      metadata,
      (error, answer) => (error === null ? resolve(answer as T) : reject(error)),
    );
  });
}

test("an object is readable on request", async () => {
  const answer = await call<{ object: { readable: Parameters<typeof structToJson>[0] } }>(
    "coxswain.api.v1.Resources",
    "Get",
    { target: { version: "v1", resource: "namespaces", name: "default" }, format: "FORMAT_READABLE" },
  );
  expect(structToJson(answer.object.readable)).toMatchObject({ kind: "Namespace", metadata: { name: "default" } });
});

interface Answer {
  readonly id: string;
  readonly status: Buffer;
  readonly more: readonly Answer[];
}

/** The messages that answer one message of a Batch call. */
async function answersTo(message: object): Promise<Answer[]> {
  const definition = serviceDefinition("coxswain.api.v1.Resources")["Batch"]!;
  const stream = raw.makeBidiStreamRequest<object, Answer>(
    definition.path,
    definition.requestSerialize,
    definition.responseDeserialize as (bytes: Buffer) => Answer,
  );
  stream.write(message);
  stream.end();
  const answers: Answer[] = [];
  for await (const answer of stream) answers.push(answer as Answer);
  return answers;
}

test("operations of one message are answered one by one, or together where the client asks for that", async () => {
  const create = (id: number, name: string) => ({
    id,
    create: {
      target: { version: "v1", resource: "configmaps", namespace: "default" },
      object: { json: Buffer.from(JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } })) },
    },
  });
  const three = (name: string) => ({
    ...create(1, `${name}-1`),
    more: [create(2, `${name}-2`), create(3, "Not a name")],
  });
  const alone = await answersTo(three("alone"));
  expect(alone.map(({ id }) => id).toSorted()).toEqual(["1", "2", "3"]);
  expect(alone.every(({ more }) => more.length === 0)).toBe(true);
  const answers = (await answersTo({ ...three("together"), together: true })).flatMap((one) => [one, ...one.more]);
  const refused = answers.filter(({ status }) => status.length > 0).map(({ id }) => id);
  expect([answers.map(({ id }) => id).toSorted(), refused]).toEqual([["1", "2", "3"], ["3"]]);
});

test("discovery lists resources and gives schemas", async () => {
  const list = await call<{ resources: { resource: string; subresources: string[] }[] }>(
    "coxswain.api.v1.Discovery",
    "ListResources",
    {},
  );
  expect(list.resources.find((one) => one.resource === "pods")?.subresources).toContain("log");
  const found = await call<{ schema: Parameters<typeof structToJson>[0] }>("coxswain.api.v1.Discovery", "GetSchema", {
    group: "apps",
    version: "v1",
    kind: "Deployment",
  });
  expect(structToJson(found.schema)).toHaveProperty(["components", "schemas", "io.k8s.api.apps.v1.DeploymentSpec"]);
});

test("RBAC decides over gRPC as well", async () => {
  const scheduler = createGrpcResourceClient({
    env: server.env,
    logger: silentLogger,
    addresses: [server.grpcAddress],
    tls: server.tls("scheduler"),
  });
  const nodes = { group: "", version: "v1", resource: "nodes" };
  await expect(scheduler.list(nodes)).resolves.toMatchObject({ items: [] });
  await expect(scheduler.delete(nodes, { name: "x" })).rejects.toMatchObject({
    reason: "Forbidden",
    message:
      'nodes "x" is forbidden: User "system:kube-scheduler" cannot delete resource "nodes" in API group "" at the cluster scope',
  });
  await scheduler.close();
});

test("a call may act as somebody else where RBAC lets its caller", async () => {
  const metadata = new Metadata();
  metadata.add("impersonate-user", "jane");
  metadata.add("impersonate-group", "shop");
  metadata.add("impersonate-group", "till");
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const target = { group: "authentication.k8s.io", version: "v1", resource: "selfsubjectreviews" };
  const request = { target, object: { json: Buffer.from(JSON.stringify(body)) } };
  const answer = await call<{ object: { json: Buffer } }>("coxswain.api.v1.Resources", "Create", request, metadata);
  expect(JSON.parse(answer.object.json.toString())).toMatchObject({
    status: { userInfo: { username: "jane", groups: ["shop", "till", "system:authenticated"] } },
  });
  const get = { target: { version: "v1", resource: "namespaces", name: "default" } };
  await expect(call("coxswain.api.v1.Resources", "Get", get, metadata)).rejects.toMatchObject({
    details: expect.stringContaining('User "jane" cannot get resource "namespaces"') as string,
  });
});
