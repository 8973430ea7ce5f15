// The audit log of what runs long: commands, logs, forwarded ports and proxied requests have an event of their beginning, with the code
// that the client gets, and wait for it where requests wait for their events.
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { PODS } from "@coxswain/api";
import { createRealEnv } from "@coxswain/env";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { createAuditor, type AuditBackend } from "../src/audit/auditor.ts";
import { parseAuditPolicy } from "../src/audit/policy.ts";
import { startFakeKubelet, type FakeKubelet } from "./support/fake-kubelet.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

interface Event {
  readonly stage: string;
  readonly verb: string;
  readonly responseStatus?: { readonly code: number };
  readonly annotations?: Readonly<Record<string, string>>;
}

const events: Event[] = [];
/** What stands between an event of the stage and its storage. */
const gates = new Map<string, PromiseWithResolvers<void>>();
const backend: AuditBackend = {
  waits: true,
  async write(text) {
    const event = JSON.parse(text) as Event;
    events.push(event);
    await gates.get(event.stage)?.promise;
  },
  close: async () => {},
};
const PATH = "/api/v1/namespaces/default/pods";
let server: TestServer;
let kubelet: FakeKubelet;
let web: Server;
let admin: Agent;

beforeAll(async () => {
  const policy = parseAuditPolicy(
    `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: Metadata
    users: [kubernetes-admin]
    resources: [{ group: "", resources: ["pods/*"] }]
`,
  );
  const auditor = createAuditor({ policy, backend, clock: createRealEnv().clock });
  server = await startTestServer(["ServiceAccount"], {
    auditor,
    dial: (_host, port) => connect({ host: "127.0.0.1", port }),
  });
  kubelet = await startFakeKubelet(server);
  web = createServer((asked, answer) => void answer.writeHead(418).end(`tea for ${asked.url}`));
  web.on("upgrade", (_asked, socket) => {
    socket.on("error", () => undefined).end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const { loopback } = server.component.server;
  const port = (web.address() as AddressInfo).port;
  const made = await loopback.create(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default" },
    spec: { nodeName: "node-1", containers: [{ name: "c", image: "x", ports: [{ containerPort: port }] }] },
  });
  const status = { phase: "Running", podIP: "10.244.1.5", podIPs: [{ ip: "10.244.1.5" }] };
  await loopback.update(PODS, { ...made, status } as typeof made, { subresource: "status" });
  admin = new Agent({ connect: server.tls("admin") });
});
afterAll(async () => {
  await admin.destroy();
  await server.close();
  await kubelet.close();
  web.close();
});
beforeEach(() => void events.splice(0));
afterEach(() => {
  for (const { resolve } of gates.values()) resolve();
  gates.clear();
});

const told = (): [string, number | undefined][] =>
  events.map(({ stage, responseStatus }) => [stage, responseStatus?.code]);

async function get(path: string): Promise<{ code: number; text: string }> {
  const { statusCode, body } = await request(`${server.url}${PATH}/${path}`, { dispatcher: admin });
  return { code: statusCode, text: await body.text() };
}

/** Resolves with 101 once it is open and closed again, else with the code of the refusal. */
function open(path: string): { readonly socket: WebSocket; readonly code: Promise<number> } {
  const { ca, cert, key } = server.tls("admin");
  const url = `${server.url.replace("https", "wss")}${PATH}/${path}`;
  const socket = new WebSocket(url, ["v5.channel.k8s.io"], { ca, cert, key });
  const code = new Promise<number>((resolve) => {
    socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
    socket.on("open", () => socket.on("close", () => resolve(101)));
    socket.on("error", () => undefined);
  });
  return { socket, code };
}

const stages = (code: number): [string, number | undefined][] => [
  ["RequestReceived", undefined],
  ["ResponseStarted", code],
  ["ResponseComplete", code],
];

describe("stages", () => {
  test.each([
    ["a log", "one/log", 200],
    ["the log of no pod", "nobody/log", 404],
    ["a proxied request", "web/proxy/a", 418],
    ["one that is sent elsewhere", "web/proxy", 301],
    ["one to no pod", "nobody/proxy/", 404],
    ["a command that is not asked for as one", "one/exec?command=x&stdout=1", 400],
  ])("%s", async (_what, path, code) => {
    expect((await get(path)).code).toBe(code);
    await expect.poll(told).toEqual(stages(code));
    expect(events.at(-1)?.annotations).toMatchObject({ "authorization.k8s.io/decision": "allow" });
  });

  test.each([
    ["a command", "one/exec?command=x&stdout=1", 101],
    ["one in no pod", "nobody/exec?command=x&stdout=1", 404],
    ["a proxied upgrade that the pod refuses", "web/proxy/", 403],
  ])("%s over a WebSocket", async (_what, path, code) => {
    expect(await open(path).code).toBe(code);
    await expect.poll(() => told().slice(0, 2)).toEqual(stages(code).slice(0, 2));
    await expect.poll(() => events.at(-1)?.stage).toBe("ResponseComplete");
    expect(events).toHaveLength(3);
  });
});

describe("an answer that waits for its events", () => {
  const gate = (stage: string): PromiseWithResolvers<void> => {
    const made = Promise.withResolvers<void>();
    gates.set(stage, made);
    return made;
  };

  test.each([
    ["a log", "one/log", "line one\nline two\n"],
    ["a proxied answer", "web/proxy/b", "tea for /b"],
  ])("%s begins and ends when they are stored", async (_what, path, text) => {
    const [starting, ending] = [gate("ResponseStarted"), gate("ResponseComplete")];
    let headed = false;
    let ended = false;
    const asked = request(`${server.url}${PATH}/${path}`, { dispatcher: admin }).then((answer) => {
      headed = true;
      return answer;
    });
    await expect.poll(() => events.at(-1)?.stage).toBe("ResponseStarted");
    expect(headed).toBe(false);
    starting.resolve();
    const { body } = await asked;
    const read = body.text().then((all) => {
      ended = true;
      return all;
    });
    await expect.poll(() => events.at(-1)?.stage).toBe("ResponseComplete");
    expect(ended).toBe(false);
    ending.resolve();
    expect(await read).toBe(text);
  });

  test("a command begins when its event is stored", async () => {
    const starting = gate("ResponseStarted");
    const { socket, code } = open("one/exec?command=x&stdout=1");
    await expect.poll(() => events.at(-1)?.stage).toBe("ResponseStarted");
    expect(socket.readyState).toBe(WebSocket.CONNECTING);
    starting.resolve();
    expect(await code).toBe(101);
  });
});
