// Groups that another api-server serves: registered by an APIService, asked through this one with the user's name, listed in
// discovery and OpenAPI, and told of when they cannot be reached. The other server is a real one on loopback.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { API_SERVICES, CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SERVICES } from "@coxswain/api";
import type { APIService, ConfigMap, Service } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { createGrpcAggregatedReader } from "@coxswain/client/grpc/grpc-aggregated-reader";
import { certificateFiles } from "@coxswain/component-base/identity/pki";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import { Agent, request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { eventually } from "./eventually.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

const GROUP = "wardle.example.com";
const BASE = `/apis/${GROUP}/v1alpha1`;
const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const seen: { method: string; url: string; headers: IncomingMessage["headers"]; trusted: boolean }[] = [];
const sockets = new WebSocketServer({ noServer: true });
let server: TestServer;
let remote: Server;
let agent: Agent;
let healthy = true;

const LIST = {
  kind: "APIResourceList",
  apiVersion: "v1",
  groupVersion: `${GROUP}/v1alpha1`,
  resources: [
    {
      name: "flunders",
      singularName: "flunder",
      namespaced: true,
      kind: "Flunder",
      verbs: ["create", "get", "list", "watch"],
      shortNames: ["fl"],
    },
    { name: "flunders/status", singularName: "", namespaced: true, kind: "Flunder", verbs: ["get"] },
  ],
};
const FLUNDER = {
  apiVersion: `${GROUP}/v1alpha1`,
  kind: "Flunder",
  metadata: { name: "one", namespace: "default", uid: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
};
const OPEN_API = { openapi: "3.0.0", info: { title: "flunders", version: "v1" }, paths: {} };

function documentOf(path: string): object | undefined {
  if (path === BASE) return LIST;
  if (path === BASE.replace("v1alpha1", "v1beta1")) return { ...LIST, groupVersion: `${GROUP}/v1beta1` };
  if (path === `/openapi/v3${BASE}`) return OPEN_API;
  if (path === `${BASE}/namespaces/default/flunders`) {
    return { kind: "FlunderList", apiVersion: `${GROUP}/v1alpha1`, metadata: {}, items: [FLUNDER] };
  }
  return undefined;
}

/** Says what it was sent. */
async function echo(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, headers } = incoming;
  const body = await json(incoming);
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ method, type: headers["content-type"], body }));
}

function answer(incoming: IncomingMessage, response: ServerResponse): void {
  const { method = "", url = "", headers } = incoming;
  const { authorized } = incoming.socket as unknown as { authorized: boolean };
  seen.push({ method, url, headers, trusted: authorized });
  const { pathname, searchParams } = new URL(url, "https://remote");
  if (!healthy) response.writeHead(500).end("broken");
  else if (searchParams.get("watch") === "true") response.writeHead(200).write('{"type":"ADDED","object":{}}\n');
  else if (pathname.endsWith("/flunders/teapot")) response.writeHead(418).end("tea");
  else if (pathname.endsWith("/flunders/nothing")) response.writeHead(500).end("null");
  else if (pathname.endsWith("/echo")) void echo(incoming, response);
  else {
    const document = documentOf(pathname);
    if (document === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
  }
}

const service = (name: string): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "shop" },
  spec: { type: "ExternalName", externalName: "localhost" },
});

const apiService = (name: string, more: Partial<NonNullable<APIService["spec"]>>): APIService => ({
  apiVersion: "apiregistration.k8s.io/v1",
  kind: "APIService",
  metadata: { name: `v1alpha1.${name}` },
  spec: { group: name, version: "v1alpha1", groupPriorityMinimum: 17_900, versionPriority: 15, ...more },
});

async function conditionOf(name: string) {
  const { status } = await server.component.server.loopback.get<APIService>(API_SERVICES, { name });
  return status?.conditions?.find(({ type }) => type === "Available");
}

async function get(path: string, headers: Record<string, string> = {}) {
  const { statusCode, body } = await request(server.url + path, { dispatcher: agent, headers });
  return { code: statusCode, text: await body.text() };
}

beforeAll(async () => {
  await prepareKubectl();
  server = await startTestServer(["ServiceAccount"]);
  const tls = server.tls("admin");
  agent = new Agent({ connect: { ca: String(tls.ca), cert: String(tls.cert), key: String(tls.key) } });
  remote = createServer(serverTlsOptions(server.tls("api-server")), answer);
  remote.on("upgrade", (incoming, socket, head) => {
    seen.push({ method: "UPGRADE", url: incoming.url ?? "", headers: incoming.headers, trusted: true });
    sockets.handleUpgrade(incoming, socket, head, (ws) => {
      ws.on("message", (data: Buffer) => ws.send(`flunder says ${data.toString()}`));
    });
  });
  await new Promise<void>((resolve) => remote.listen(0, "localhost", resolve));
  const { loopback } = server.component.server;
  await loopback.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  await loopback.create(SERVICES, service("flunders"));
  const { port } = remote.address() as AddressInfo;
  const caBundle = readFileSync(certificateFiles(server.dir, "admin").caFile).toString("base64");
  const there = { namespace: "shop", name: "flunders", port };
  await loopback.create(API_SERVICES, apiService(GROUP, { service: there, caBundle }));
  await eventually(async () => expect(await conditionOf(`v1alpha1.${GROUP}`)).toMatchObject({ status: "True" }));
});

afterAll(async () => {
  await agent.close();
  await server.close();
  for (const client of sockets.clients) client.terminate();
  remote.closeAllConnections();
  await new Promise((resolve) => remote.close(resolve));
});

test("a remote that answers is available", async () => {
  expect(await conditionOf(`v1alpha1.${GROUP}`)).toMatchObject({ reason: "Passed", message: "all checks passed" });
});

test("a request goes on with the user's name, without credentials, and cannot bring a name of its own", async () => {
  seen.length = 0;
  const { code, text } = await get(`${BASE}/namespaces/default/flunders?limit=5`, {
    "X-Remote-User": "mallory",
    "X-Remote-Extra-Scopes": "all",
  });
  expect(code).toBe(200);
  expect(JSON.parse(text)).toMatchObject({ kind: "FlunderList" });
  const [one] = seen;
  expect(one).toMatchObject({ method: "GET", url: `${BASE}/namespaces/default/flunders?limit=5`, trusted: true });
  expect(one?.headers["x-remote-user"]).toBe("kubernetes-admin");
  expect(one?.headers["x-remote-group"]).toBe("system:masters, system:authenticated");
  expect(one?.headers["x-remote-extra-scopes"]).toBeUndefined();
  expect(one?.headers.authorization).toBeUndefined();
});

test("a user who may not is refused here", async () => {
  seen.length = 0;
  const { code, text } = await get(`${BASE}/namespaces/default/flunders`, { "Impersonate-User": "jane" });
  expect(code).toBe(403);
  expect(text).toContain(`flunders.${GROUP} is forbidden: User \\"jane\\" cannot list resource \\"flunders\\"`);
  expect(seen).toEqual([]);
});

test("components read it over gRPC, with their own rights", async () => {
  const readerOf = (name: string) =>
    createGrpcAggregatedReader({ env: server.env, addresses: [server.grpcAddress], tls: server.tls(name) });
  const [admin, scheduler] = [readerOf("admin"), readerOf("scheduler")];
  seen.length = 0;
  const path = `${BASE}/namespaces/default/flunders?labelSelector=a%3Db`;
  expect(await admin.read(path)).toMatchObject({ kind: "FlunderList" });
  expect(seen[0]).toMatchObject({ url: path, headers: { "x-remote-user": "kubernetes-admin" } });
  const refused = `flunders.${GROUP} is forbidden: User "system:kube-scheduler" cannot list resource "flunders"`;
  await expect(scheduler.read(path)).rejects.toThrow(refused);
  await expect(admin.read(`${BASE}/namespaces/default/flunders/teapot`)).rejects.toMatchObject({
    reason: "ServiceUnavailable",
    message: "the server answered 418: tea",
  });
  await expect(admin.read(`${BASE}/namespaces/default/flunders/nothing`)).rejects.toMatchObject({
    reason: "ServiceUnavailable",
    message: "the server answered 500: null",
  });
  await expect(admin.read("/apis/apps/v1/deployments")).rejects.toMatchObject({ reason: "NotFound" });
  await expect(admin.read("/api/v1/pods")).rejects.toThrow("path: must begin with /apis/");
  admin.close();
  scheduler.close();
});

test("components change what is there over gRPC, with their own rights", async () => {
  const clientOf = (name: string) =>
    createGrpcAggregatedReader({ env: server.env, addresses: [server.grpcAddress], tls: server.tls(name) });
  const [admin, scheduler] = [clientOf("admin"), clientOf("scheduler")];
  seen.length = 0;
  const path = `${BASE}/namespaces/default/flunders/one/echo`;
  const patch = { metadata: { uid: "1", finalizers: [] } };
  expect(await admin.write("PATCH", path, patch)).toEqual({
    method: "PATCH",
    type: "application/merge-patch+json",
    body: patch,
  });
  const options = { kind: "DeleteOptions", apiVersion: "v1", propagationPolicy: "Background" };
  expect(await admin.write("DELETE", path, options)).toEqual({
    method: "DELETE",
    type: "application/json",
    body: options,
  });
  expect(seen.map(({ headers }) => headers["x-remote-user"])).toEqual(["kubernetes-admin", "kubernetes-admin"]);
  const refused = `flunders.${GROUP} "one" is forbidden: User "system:kube-scheduler" cannot delete resource "flunders"`;
  await expect(scheduler.write("DELETE", `${BASE}/namespaces/default/flunders/one`, options)).rejects.toThrow(refused);
  await expect(admin.write("DELETE", BASE, options)).rejects.toThrow("path: must name a resource");
  expect(await scheduler.read(BASE)).toEqual(LIST);
  await expect(admin.read("/apis/nobody.example.com/v1")).rejects.toMatchObject({ reason: "NotFound" });
  admin.close();
  scheduler.close();
});

test("codes pass through, watches stream, and so do upgraded connections", async () => {
  expect(await get(`${BASE}/namespaces/default/flunders/teapot`)).toEqual({ code: 418, text: "tea" });
  const watch = await request(`${server.url}${BASE}/namespaces/default/flunders?watch=true`, { dispatcher: agent });
  for await (const chunk of watch.body) {
    expect(String(chunk)).toContain("ADDED");
    break;
  }
  const { ca, cert, key } = server.tls("admin");
  const ws = new WebSocket(`${server.url.replace("https", "wss")}${BASE}/namespaces/default/flunders/one/connect`, {
    ca,
    cert,
    key,
  });
  const said = new Promise((resolve) => ws.once("message", (data: Buffer) => resolve(data.toString())));
  ws.on("open", () => ws.send("hello"));
  expect(await said).toBe("flunder says hello");
  ws.terminate();
});

test("discovery and OpenAPI list the remote's version among the others, in the order of priorities", async () => {
  const groups = JSON.parse((await get("/apis")).text) as { groups: { name: string }[] };
  const names = groups.groups.map(({ name }) => name);
  expect(names.slice(0, 3)).toEqual(["apiregistration.k8s.io", GROUP, "apps"]);
  expect(JSON.parse((await get(`/apis/${GROUP}`)).text)).toMatchObject({
    kind: "APIGroup",
    preferredVersion: { groupVersion: `${GROUP}/v1alpha1` },
  });
  expect(JSON.parse((await get(BASE)).text)).toEqual(LIST);
  const aggregated = JSON.parse((await get("/apis", { accept: AGGREGATED })).text) as {
    items: { metadata: { name: string }; versions: object[] }[];
  };
  expect(aggregated.items.find(({ metadata }) => metadata.name === GROUP)?.versions).toEqual([
    {
      version: "v1alpha1",
      freshness: "Current",
      resources: [
        {
          resource: "flunders",
          responseKind: { group: GROUP, version: "v1alpha1", kind: "Flunder" },
          scope: "Namespaced",
          singularResource: "flunder",
          verbs: ["create", "get", "list", "watch"],
          shortNames: ["fl"],
          subresources: [
            {
              subresource: "status",
              responseKind: { group: GROUP, version: "v1alpha1", kind: "Flunder" },
              verbs: ["get"],
            },
          ],
        },
      ],
    },
  ]);
  const index = JSON.parse((await get("/openapi/v3")).text) as { paths: Record<string, object> };
  expect(index.paths).toHaveProperty([`apis/${GROUP}/v1alpha1`]);
  expect(JSON.parse((await get(`/openapi/v3${BASE}`)).text)).toEqual(OPEN_API);
});

test("kubectl speaks to it like to any other resource", async () => {
  const { out } = await kubectl(server, ["get", "fl", "-n", "default", "-o", "name"]);
  expect(out).toBe(`flunder.${GROUP}/one\n`);
  const listed = await kubectl(server, ["get", "apiservices", `v1alpha1.${GROUP}`, "v1.apps", "--no-headers"]);
  expect(listed.out).toMatch(new RegExp(`^v1alpha1\\.${GROUP}\\s+shop/flunders\\s+True`, "m"));
  expect(listed.out).toMatch(/^v1\.apps\s+Local\s+True/m);
});

test("what cannot be reached says why, and its requests are unavailable", async () => {
  const { loopback } = server.component.server;
  const nobody = { service: { namespace: "shop", name: "nobody", port: 443 } };
  await loopback.create(API_SERVICES, apiService("nobody.example.com", nobody));
  await eventually(async () =>
    expect(await conditionOf("v1alpha1.nobody.example.com")).toMatchObject({
      status: "False",
      reason: "ServiceNotFound",
      message: 'service/nobody in "shop" is not present',
    }),
  );
  const { code, text } = await get("/apis/nobody.example.com/v1alpha1/things");
  expect({ code, text }).toEqual({ code: 503, text: "service unavailable\n" });
  await loopback.delete(API_SERVICES, { name: "v1alpha1.nobody.example.com" });
  await eventually(async () => expect((await get("/apis/nobody.example.com/v1alpha1/things")).code).toBe(404));
});

test("a remote with a certificate of another name is available and not believed", async () => {
  const { loopback } = server.component.server;
  const { port } = remote.address() as AddressInfo;
  await loopback.create(SERVICES, service("impostor"));
  const caBundle = readFileSync(certificateFiles(server.dir, "admin").caFile).toString("base64");
  const spec = { group: GROUP, version: "v1beta1", service: { namespace: "shop", name: "impostor", port }, caBundle };
  const created = { ...apiService(GROUP, spec), metadata: { name: `v1beta1.${GROUP}` } };
  await loopback.create(API_SERVICES, created);
  await eventually(async () => expect(await conditionOf(`v1beta1.${GROUP}`)).toMatchObject({ status: "True" }));
  const { code, text } = await get(`/apis/${GROUP}/v1beta1/namespaces/default/flunders`);
  expect(code).toBe(503);
  expect(text).toContain("error trying to reach service: Hostname/IP does not match certificate's altnames");
  await loopback.delete(API_SERVICES, { name: `v1beta1.${GROUP}` });
});

test("a remote that breaks is stale in discovery, and current again when it is mended", async () => {
  const { loopback } = server.component.server;
  const touch = async (value: string): Promise<void> => {
    const target = { namespace: "shop", name: "flunders" };
    const present = await loopback.get<Service>(SERVICES, target);
    await loopback.update(SERVICES, { ...present, metadata: { ...present.metadata, annotations: { touched: value } } });
  };
  const freshness = async (): Promise<unknown> => {
    const { items } = JSON.parse((await get("/apis", { accept: AGGREGATED })).text) as {
      items: { metadata: { name: string }; versions: { freshness: string; resources: object[] }[] }[];
    };
    const [version] = items.find(({ metadata }) => metadata.name === GROUP)?.versions ?? [];
    return [version?.freshness, version?.resources.length];
  };
  healthy = false;
  await touch("1");
  await eventually(async () => expect(await freshness()).toEqual(["Stale", 1]));
  await eventually(async () =>
    expect(await conditionOf(`v1alpha1.${GROUP}`)).toMatchObject({ status: "False", reason: "FailedDiscoveryCheck" }),
  );
  healthy = true;
  await eventually(async () => expect(await freshness()).toEqual(["Current", 1]));
  await eventually(async () => expect(await conditionOf(`v1alpha1.${GROUP}`)).toMatchObject({ status: "True" }));
});

test("custom resources are registered as long as they are served", async () => {
  const { loopback } = server.component.server;
  const names = { plural: "boats", singular: "boat", kind: "Boat", listKind: "BoatList" };
  const schema = { openAPIV3Schema: { type: "object" } };
  await loopback.create(CUSTOM_RESOURCE_DEFINITIONS, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "boats.sea.example.com" },
    spec: {
      group: "sea.example.com",
      names,
      scope: "Namespaced",
      versions: [{ name: "v1", served: true, storage: true, schema }],
    },
  } as never);
  await eventually(async () =>
    expect(await conditionOf("v1.sea.example.com")).toMatchObject({ status: "True", reason: "Local" }),
  );
  await loopback.delete(CUSTOM_RESOURCE_DEFINITIONS, { name: "boats.sea.example.com" });
  await eventually(async () => {
    const gone = await conditionOf("v1.sea.example.com").then(
      () => false,
      (error: unknown) => isReason(error, "NotFound"),
    );
    expect(gone).toBe(true);
  });
});

test("extension api-servers find out whom to believe", async () => {
  const target = { namespace: "kube-system", name: "extension-apiserver-authentication" };
  const { data } = await server.component.server.loopback.get<ConfigMap>(CONFIG_MAPS, target);
  expect(data).toMatchObject({
    "requestheader-allowed-names": '["system:apiserver"]',
    "requestheader-username-headers": '["X-Remote-User"]',
  });
  expect(data?.["requestheader-client-ca-file"]).toContain("BEGIN CERTIFICATE");
  const reader = ["--as=system:kube-scheduler", "-n", "kube-system"];
  const may = await kubectl(server, ["auth", "can-i", "get", `configmaps/${target.name}`, ...reader]);
  expect(may.out).toBe("yes\n");
});
