// pods, services and nodes NAME/proxy through a whole api-server to servers on loopback that stand for pods: what arrives
// there, what comes back, who may ask, and what cannot be reached.
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { ENDPOINT_SLICES, NODES, PODS, SERVICES } from "@coxswain/api";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import { Agent, request } from "undici";
import type { Dispatcher } from "undici";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { startFakeKubelet } from "./support/fake-kubelet.ts";
import type { FakeKubelet } from "./support/fake-kubelet.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

const POD_IP = "10.244.1.5";
const dialled: string[] = [];
const seen: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[] = [];
let server: TestServer;
let kubelet: FakeKubelet;
let agent: Agent;
const backends: Server[] = [];
const sockets = new WebSocketServer({ noServer: true });
/** Ports of the pod, and of the node's kubelet. */
const ports = { http: 0, https: 0, kubelet: 0, closed: 1 };

async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = "", url = "", headers } = incoming;
  let body = "";
  for await (const chunk of incoming) body += String(chunk);
  seen.push({ method, url, headers, body });
  const [path] = url.split("?");
  if (path === "/moved") response.writeHead(302, { location: "/login?next=1" }).end();
  else if (path === "/moved-away") response.writeHead(302, { location: "http://example.test/login" }).end();
  else if (path === "/teapot") response.writeHead(418, "Short and stout", { "x-pot": "1" }).end("tea");
  else if (path === "/page") {
    const page = gzipSync('<a href="/basket?a=1&amp;b">é</a><script>"<a href=/x>"</script>');
    response.writeHead(200, { "content-type": "text/html", "content-encoding": "gzip" }).end(page);
  } else if (path === "/endless") response.writeHead(200).write("first ");
  else response.writeHead(200, { "content-type": "text/plain" }).end(`pod says ${method} ${url} ${body}`);
}

async function listenOn(backend: Server): Promise<number> {
  backends.push(backend);
  await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  return (backend.address() as AddressInfo).port;
}

/** Creates it, with the status that it tells. */
async function put(ref: ResourceRef, object: KubeObject & Record<string, unknown>): Promise<void> {
  const { loopback } = server.component.server;
  const created = await loopback.create(ref, object);
  if (object["status"] === undefined) return;
  const filled = { ...created, status: object["status"] } as KubeObject;
  await loopback.update(ref, filled, { subresource: "status" });
}

const node = (name: string, runtime: string, annotations: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, annotations },
  status: {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: ports.kubelet } },
    nodeInfo: { containerRuntimeVersion: runtime },
  },
});

const pod = (name: string, nodeName: string, ip: string | undefined) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName, containers: [{ name: "c", image: "x", ports: [{ containerPort: ports.http }] }] },
  status: ip === undefined ? { phase: "Pending" } : { phase: "Running", podIP: ip, podIPs: [{ ip }] },
});

async function putService(name: string, endpoints: readonly object[]): Promise<void> {
  const metadata = { name, namespace: "default" };
  const servicePorts = [
    { name: "web", port: 80 },
    { name: "tls", port: 443 },
  ];
  await put(SERVICES, {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: { selector: { a: "b" }, ports: servicePorts },
  });
  await put(ENDPOINT_SLICES, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...metadata, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints,
    ports: [
      { name: "web", port: ports.http },
      { name: "tls", port: ports.https },
    ],
  });
}

const endpoint = (ip: string, podName: string, ready = true) => ({
  addresses: [ip],
  conditions: { ready },
  targetRef: { kind: "Pod", namespace: "default", name: podName },
});

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"], {
    dial: (host, port) => {
      dialled.push(`${host}:${port}`);
      return connect({ host: "127.0.0.1", port });
    },
  });
  kubelet = await startFakeKubelet(server);
  const own = createServer((incoming, response) => void answer(incoming, response));
  own.on("upgrade", (incoming, socket, head) => {
    if (incoming.url !== "/ws?a=1") socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    else
      sockets.handleUpgrade(incoming, socket, head, (ws) =>
        ws.on("message", (data: Buffer) => ws.send(`echo ${data.toString()}`)),
      );
  });
  ports.http = await listenOn(own);
  const tls = serverTlsOptions(server.tls("kubelet-node-1"));
  ports.https = await listenOn(createTlsServer(tls, (incoming, response) => void answer(incoming, response)));
  ports.kubelet = await listenOn(
    createTlsServer({ ...tls, rejectUnauthorized: true }, (incoming, response) => void answer(incoming, response)),
  );
  const { loopback } = server.component.server;
  const known = await loopback.get(NODES, { name: "node-1" });
  const grpc = known.metadata?.annotations ?? {};
  await put(NODES, node("real", "containerd://1.6.20", {}));
  await put(NODES, node("simulated", "simulated://0.1.0", grpc));
  await put(PODS, pod("web", "real", POD_IP));
  await put(PODS, pod("waiting", "real", undefined));
  await put(PODS, pod("local", "real", "127.0.0.1"));
  await put(PODS, pod("phantom", "simulated", "10.244.9.9"));
  await put(PODS, pod("lost", "gone", "10.244.9.8"));
  await putService("shop", [
    endpoint("10.244.1.6", "web"),
    endpoint(POD_IP, "web"),
    endpoint("10.244.1.7", "web", false),
  ]);
  await putService("foreign", [{ addresses: ["192.0.2.1"], conditions: { ready: true } }]);
  await putService("phantoms", [endpoint("10.244.9.9", "phantom")]);
  const { ca, cert, key } = server.tls("admin");
  agent = new Agent({ connect: { ca, cert, key } });
});

afterAll(async () => {
  await agent.destroy();
  await server.close();
  await kubelet.close();
  for (const backend of backends) {
    backend.close();
    backend.closeAllConnections();
  }
});

interface Options {
  readonly method?: Dispatcher.HttpMethod;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  readonly dispatcher?: Agent;
}

async function ask(path: string, options: Options = {}) {
  const url = `${server.url}/api/v1/${path}`;
  const { statusCode, headers, body } = await request(url, { dispatcher: agent, ...options });
  const text = await body.text();
  const message = text.startsWith("{") ? (JSON.parse(text) as { message: string }).message : text;
  return { code: statusCode, text: message, headers };
}

const WEB = "namespaces/default/pods/web";

describe("pods", () => {
  test("method, path as it was escaped, query and body arrive, and the credentials do not", async () => {
    const headers = {
      authorization: "Basic bm9ib2R5",
      "impersonate-user": "mate",
      "impersonate-group": "system:masters",
      "x-own": "1",
    };
    const asked = await ask(`${WEB}/proxy/a%20b//c/?q=1&q=%26`, {
      method: "PUT",
      body: "data",
      headers,
    });
    expect(asked).toMatchObject({ code: 200, text: "pod says PUT /a%20b//c/?q=1&q=%26 data" });
    expect(dialled.at(-1)).toBe(`${POD_IP}:${ports.http}`);
    const got = seen.at(-1)!;
    expect(got.headers).toMatchObject({
      "x-own": "1",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-uri": `/api/v1/${WEB}/proxy/a%20b//c/`,
    });
    expect(asked.headers).toMatchObject({ "content-type": "text/plain", "audit-id": expect.any(String) });
    expect(Object.keys(got.headers).filter((name) => /^(authorization|impersonate)/.test(name))).toEqual([]);
  });

  test.each(["POST", "PATCH", "DELETE", "OPTIONS"] as const)("%s", async (method) => {
    expect(await ask(`${WEB}:${ports.http}/proxy/x`, { method })).toMatchObject({ text: `pod says ${method} /x ` });
  });

  test("HEAD", async () => {
    expect(await ask(`${WEB}/proxy/teapot`, { method: "HEAD" })).toMatchObject({ code: 418, text: "" });
  });

  test("an answer's code and headers, and redirects that stay behind the proxy", async () => {
    expect(await ask(`${WEB}/proxy/teapot`)).toMatchObject({ code: 418, text: "tea", headers: { "x-pot": "1" } });
    const moved = await ask(`${WEB}/proxy/moved`);
    expect(moved).toMatchObject({ code: 302, headers: { location: `/api/v1/${WEB}/proxy/login?next=1` } });
    const away = await ask(`${WEB}/proxy/moved-away`);
    expect(away.headers["location"]).toBe("http://example.test/login");
  });

  test("a page's links lead through the proxy", async () => {
    const { headers, text } = await ask(`${WEB}/proxy/page`);
    expect(headers["content-encoding"]).toBeUndefined();
    const link = `/api/v1/${WEB}/proxy/basket?a=1&amp;b`;
    expect(text).toBe(`<a href="${link}">é</a><script>"<a href=/x>"</script>`);
  });

  test("without a slash at the end a reader is sent to it, and a writer served", async () => {
    const sent = await ask(`${WEB}/proxy?a=1`);
    expect(sent).toMatchObject({ code: 301, headers: { location: `/api/v1/${WEB}/proxy/?a=1` } });
    expect(await ask(`${WEB}/proxy?a=1`, { method: "POST" })).toMatchObject({ text: "pod says POST /?a=1 " });
    expect(await ask(`${WEB}/proxy/`)).toMatchObject({ text: "pod says GET / " });
  });

  test("TLS to a pod that says https", async () => {
    const name = `https:web:${ports.https}`;
    expect(await ask(`namespaces/default/pods/${name}/proxy/safe`)).toMatchObject({ text: "pod says GET /safe " });
  });

  test("an answer is passed on as it comes, and a client that goes ends it", async () => {
    const { body } = await request(`${server.url}/api/v1/${WEB}/proxy/endless`, { dispatcher: agent });
    const { value } = (await body[Symbol.asyncIterator]().next()) as { value: Buffer };
    expect(value.toString()).toBe("first ");
    const open = (): Promise<number> =>
      new Promise((resolve) => backends[0]!.getConnections((_e, count) => resolve(count)));
    expect(await open()).toBe(1);
    body.on("error", () => undefined).destroy();
    await expect.poll(open).toBe(0);
  });

  test.each([
    ["absent", 404, 'pods "absent" not found'],
    ["ftp:web:1", 400, 'invalid pod request "ftp:web:1"'],
    ["a:b:c:d", 400, 'invalid pod request "a:b:c:d"'],
    ["waiting", 400, "address not allowed"],
    ["local", 400, "address not allowed"],
    ["web:http", 503, "error trying to reach service: dial tcp: lookup tcp/http: unknown port"],
    ["web:1", 503, `error trying to reach service: dial tcp ${POD_IP}:1: connect: connection refused`],
    ["https:web:1", 503, `error trying to reach service: dial tcp ${POD_IP}:1: connect: connection refused`],
    ["lost", 503, 'error trying to reach service: nodes "gone" not found'],
  ])("%s: %i %s", async (name, code, text) => {
    expect(await ask(`namespaces/default/pods/${name}/proxy/`)).toMatchObject({ code, text });
  });

  test("of a simulated node: its kubelet answers, and nobody is dialled", async () => {
    const before = dialled.length;
    const { code, text } = await ask("namespaces/default/pods/phantom:83/proxy/");
    expect({ code, text }).toEqual({ code: 503, text: "error trying to reach service: hello" });
    expect(await ask("namespaces/default/services/phantoms:80/proxy/")).toMatchObject({ code: 503 });
    expect(dialled.length).toBe(before);
  });
});

describe("services", () => {
  test.each(["shop:80", "shop:web", "http:shop:web", "https:shop:tls", "https:shop:443"])("%s", async (name) => {
    const path = `namespaces/default/services/${name}/proxy/basket?size=2`;
    expect(await ask(path)).toMatchObject({ code: 200, text: "pod says GET /basket?size=2 " });
    expect(dialled.at(-1)).toMatch(`${POD_IP}:`);
  });

  test.each([
    ["absent", 404, 'services "absent" not found'],
    ["shop:81", 503, 'no service port 81 found for service "shop"'],
    ["shop", 503, 'no endpoints available for service "shop"'],
    ["shop:other", 503, 'no endpoints available for service "shop:other"'],
    ["foreign:80", 503, 'no endpoints available for service "foreign:80"'],
    ["ftp:shop:80", 400, 'invalid service request "ftp:shop:80"'],
  ])("%s: %i %s", async (name, code, text) => {
    expect(await ask(`namespaces/default/services/${name}/proxy/`)).toMatchObject({ code, text });
  });
});

describe("nodes", () => {
  test("the kubelet's own port, by the api-server's certificate", async () => {
    expect(await ask("nodes/real/proxy/pods?a=1")).toMatchObject({ text: "pod says GET /pods?a=1 " });
    expect(await ask(`nodes/simulated:${ports.kubelet}/proxy/healthz`)).toMatchObject({
      text: "pod says GET /healthz ",
    });
  });

  test("none by way of a namespace, whose rights would do then", async () => {
    const text = "the server could not find the requested resource";
    expect(await ask("namespaces/default/nodes/real/proxy/pods")).toMatchObject({ code: 404, text });
    expect(await ask("pods/web:80/proxy/")).toMatchObject({ code: 404, text });
  });

  test.each([
    ["absent", 404, 'nodes "absent" not found'],
    ["real:1", 400, "address not allowed"],
    ["a:b:c:d", 400, 'invalid node request "a:b:c:d"'],
    ["node-1", 503, "no preferred addresses found; known addresses: []"],
  ])("%s: %i %s", async (name, code, text) => {
    expect(await ask(`nodes/${name}/proxy/`)).toMatchObject({ code, text });
  });
});

describe("who may", () => {
  test.each([
    ["GET", "get"],
    ["OPTIONS", "get"],
    ["POST", "create"],
    ["PUT", "update"],
    ["PATCH", "patch"],
    ["DELETE", "delete"],
  ] as const)("%s needs %s", async (method, verb) => {
    const { ca, cert, key } = server.tls("kube-proxy");
    const other = new Agent({ connect: { ca, cert, key } });
    const { code, text } = await ask(`${WEB}:80/proxy/`, { method, dispatcher: other });
    await other.close();
    const what = `pods "web:80" is forbidden: User "system:kube-proxy" cannot ${verb} resource "pods/proxy"`;
    expect({ code, text }).toEqual({ code: 403, text: `${what} in API group "" in the namespace "default"` });
  });
});

describe("upgrades", () => {
  const open = (path: string): WebSocket => {
    const { ca, cert, key } = server.tls("admin");
    return new WebSocket(`${server.url.replace("https", "wss")}/api/v1/${path}`, { ca, cert, key });
  };

  test("a WebSocket to a pod", async () => {
    const socket = open(`${WEB}/proxy/ws?a=1`);
    const heard = await new Promise((resolve, reject) => {
      socket.on("open", () => socket.send("ahoy")).on("error", reject);
      socket.on("message", (data: Buffer) => resolve(data.toString()));
    });
    expect(heard).toBe("echo ahoy");
    const gone = new Promise((resolve) => [...sockets.clients][0]!.once("close", resolve));
    socket.terminate();
    await gone;
  });

  test.each([
    [`${WEB}/proxy/other`, 403],
    [`${WEB}:1/proxy/ws`, 503],
    ["namespaces/default/pods/absent/proxy/ws", 404],
  ])("%s: %i", async (path, code) => {
    const socket = open(path);
    socket.on("error", () => undefined);
    expect(
      await new Promise((resolve) =>
        socket.on("unexpected-response", (_request, response) => resolve(response.statusCode)),
      ),
    ).toBe(code);
    socket.terminate();
  });
});

test("kubectl get --raw and discovery", async () => {
  await prepareKubectl();
  const raw = await kubectl(server, ["get", "--raw", `/api/v1/${WEB}/proxy/tide?high=1`]);
  expect(raw).toMatchObject({ code: 0, out: "pod says GET /tide?high=1 " });
  const { resources } = JSON.parse((await kubectl(server, ["get", "--raw", "/api/v1"])).out) as {
    resources: { name: string; kind: string; verbs: string[] }[];
  };
  for (const [name, kind] of [
    ["pods", "Pod"],
    ["services", "Service"],
    ["nodes", "Node"],
  ]) {
    const verbs = ["create", "delete", "get", "patch", "update"];
    expect(resources).toContainEqual(
      expect.objectContaining({ name: `${name}/proxy`, kind: `${kind}ProxyOptions`, verbs }),
    );
  }
});
