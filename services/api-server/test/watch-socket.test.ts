// Watches over WebSockets, and what bounds a request: its time, its head, its body.
import { connect } from "node:tls";
import { CONFIG_MAPS, SERVICE_ACCOUNTS } from "@coxswain/api";
import { Agent, request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { requestTimeoutMs } from "../src/rest/request-timeout.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

let server: TestServer;
let admin: Agent;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  admin = new Agent({ connect: server.tls("admin") });
});

afterAll(async () => {
  await admin.destroy();
  await server.close();
});

const loopback = () => server.component.server.loopback;

interface Event {
  readonly type: string;
  readonly object: { readonly metadata: { readonly name?: string }; readonly code?: number };
}

function open(
  path: string,
  protocols: string[] = [],
  certificate = true,
): { socket: WebSocket; events: Event[]; closed: Promise<number> } {
  const { ca, cert, key } = server.tls("admin");
  const socket = new WebSocket(server.url.replace("https", "wss") + path, protocols, {
    ca,
    ...(certificate ? { cert, key } : {}),
  });
  const events: Event[] = [];
  socket.on("message", (data: Buffer) => events.push(JSON.parse(data.toString()) as Event));
  const closed = new Promise<number>((resolve, reject) => {
    socket.on("close", resolve);
    socket.on("error", reject);
  });
  return { socket, events, closed };
}

test("each event is a message, and the end closes the socket", async () => {
  await loopback().create(CONFIG_MAPS, { metadata: { namespace: "default", name: "early" } });
  const { socket, events, closed } = open("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=2");
  await new Promise((resolve) => socket.once("open", resolve));
  await loopback().create(CONFIG_MAPS, { metadata: { namespace: "default", name: "late" } });
  expect(await closed).toBe(1000);
  expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([
    ["ADDED", "early"],
    ["ADDED", "late"],
  ]);
});

test("a refusal is an HTTP answer", async () => {
  await expect(open("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=x").closed).rejects.toThrow("400");
  await expect(open("/api/v1/namespaces/default/configmaps?watch=1", [], false).closed).rejects.toThrow("403");
  await expect(open("/api/v1/nope?watch=1").closed).rejects.toThrow("404");
});

test("a token may come as a subprotocol, and is not told back", async () => {
  await loopback().create(SERVICE_ACCOUNTS, { metadata: { namespace: "default", name: "page" } });
  const binding = {
    metadata: { name: "page" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "page", namespace: "default" }],
  };
  await loopback().create(
    { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings" },
    binding as never,
  );
  const answer = await request(`${server.url}/api/v1/namespaces/default/serviceaccounts/page/token`, {
    dispatcher: admin,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  const { status } = (await answer.body.json()) as { status: { token: string } };
  const token = `base64url.bearer.authorization.k8s.io.${Buffer.from(status.token).toString("base64url")}`;
  const path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1";
  const { socket, closed } = open(path, [token, "base64.binary.k8s.io"], false);
  expect(await closed).toBe(1000);
  expect(socket.protocol).toBe("base64.binary.k8s.io");
  await expect(open(path, [token], false).closed).rejects.toThrow("403");
});

test("a request may ask for less time, and gets no more than there is", () => {
  expect([requestTimeoutMs(null, 60_000), requestTimeoutMs("2s", 60_000), requestTimeoutMs("2h", 60_000)]).toEqual([
    60_000, 2000, 60_000,
  ]);
  expect([requestTimeoutMs("0", 60_000), requestTimeoutMs("-1s", 60_000)]).toEqual([60_000, 60_000]);
});

async function send(path: string, body?: Buffer): Promise<{ code: number; message: string }> {
  const answer = await request(server.url + path, {
    dispatcher: admin,
    ...(body === undefined ? {} : { method: "POST" as const, body, headers: { "content-type": "application/json" } }),
  });
  const text = await answer.body.text();
  return {
    code: answer.statusCode,
    message: text.startsWith("{") ? (JSON.parse(text) as { message: string }).message : text,
  };
}

test("a timeout that is none is refused", async () => {
  expect(await send("/api/v1/namespaces?timeout=soon")).toEqual({
    code: 400,
    message: 'invalid timeout specified in the request URL - time: invalid duration "soon"',
  });
});

test("a body beyond 3 MiB is refused, a long URL is not, and a head beyond 1 MiB is", async () => {
  expect(await send("/api/v1/namespaces/default/configmaps", Buffer.alloc(3 * 1024 * 1024 + 1, 0x20))).toEqual({
    code: 413,
    message: "Request entity too large: limit is 3145728",
  });
  const selector = Array.from({ length: 4_000 }, (_, at) => `key-${at}`).join(",");
  expect((await send(`/api/v1/namespaces?labelSelector=${selector}`)).code).toBe(200);
  const { ca, cert, key } = server.tls("admin");
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(server.url).port), ca, cert, key });
  const said = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.on("error", () => resolve(text)).on("close", () => resolve(text));
  });
  socket.write(`GET /version HTTP/1.1\r\nHost: x\r\nX-Long: ${"y".repeat(2 << 20)}\r\n\r\n`);
  expect(await said).toMatch(/^HTTP\/1\.1 431 /);
});
