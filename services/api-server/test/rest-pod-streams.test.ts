// Logs and exec through the api-server to a kubelet: what the kubelet is asked, what the client sees, and errors in between.
import { NODES, PODS } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, request } from "undici";
import { WebSocket } from "ws";
import { startFakeKubelet } from "./support/fake-kubelet.ts";
import type { FakeKubelet } from "./support/fake-kubelet.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

let server: TestServer;
let kubelet: FakeKubelet;
let agent: Agent;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  kubelet = await startFakeKubelet(server);
  const { ca, cert, key } = server.tls("admin");
  agent = new Agent({ connect: { ca, cert, key } });
});

afterAll(async () => {
  await agent.destroy();
  await server.close();
  await kubelet.close();
});

async function log(path: string, method: "GET" | "PUT" | "DELETE" = "GET"): Promise<{ code: number; text: string }> {
  const url = `${server.url}/api/v1/namespaces/default/pods/${path}`;
  const { statusCode, body } = await request(url, { dispatcher: agent, method });
  const text = await body.text();
  return { code: statusCode, text: text.startsWith("{") ? (JSON.parse(text) as { message: string }).message : text };
}

describe("log", () => {
  test("passes on the kubelet's answer, asked with the api-server's own identity", async () => {
    expect(await log("one/log?tailLines=2&timestamps=true&sinceSeconds=60")).toEqual({
      code: 200,
      text: "line one\nline two\n",
    });
    expect(kubelet.asked.at(-1)).toMatchObject({
      node: "node-1",
      namespace: "default",
      pod: "one",
      container: "c",
      tailLines: "2",
      sinceSeconds: "60",
      timestamps: true,
      follow: false,
    });
    expect(kubelet.callers.at(-1)).toBe("system:apiserver");
  });

  test("a kubelet that was away is reached as soon as it is back", async () => {
    await kubelet.stop();
    for (let tries = 0; tries < 3; tries++) expect((await log("one/log")).code).toBeGreaterThanOrEqual(500);
    await kubelet.start();
    expect(await log("one/log")).toEqual({ code: 200, text: "line one\nline two\n" });
  });

  test("a client that goes away stops the kubelet's stream", async () => {
    const url = `${server.url}/api/v1/namespaces/default/pods/one/log?follow=true`;
    const { body } = await request(url, { dispatcher: agent });
    const first = await body[Symbol.asyncIterator]().next();
    expect(String(first.value)).toContain("line one");
    body.on("error", () => undefined).destroy();
    await expect.poll(() => kubelet.gone.followers).toBe(1);
  });

  test.each([
    ["two/log", 400, "a container name must be specified for pod two, choose one of: [a broken]"],
    ["two/log?container=z", 400, "container z is not valid for pod two"],
    ["two/log?container=broken", 400, "the log is gone"],
    ["starting/log", 400, 'container "c" in pod "starting" is waiting to start: ContainerCreating'],
    ["one/log?previous=true", 400, 'previous terminated container "c" in pod "one" not found'],
    ["absent/log", 404, 'pods "absent" not found'],
    ["one/log?stream=Stdout", 422, 'PodLogOptions "one" is invalid: stream: Forbidden: may not be specified'],
    [
      "one/log?sinceSeconds=0",
      422,
      'PodLogOptions "one" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0',
    ],
    [
      "one/log?sinceSeconds=0&sinceTime=2026-01-01T00:00:00Z",
      422,
      'PodLogOptions "one" is invalid: : Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
    ],
    [
      "one/log?tailLines=-1",
      422,
      'PodLogOptions "one" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
    ],
  ])("%s: %i %s", async (path, code, text) => {
    expect(await log(path)).toEqual({ code, text });
  });
});

/** The messages of a log over a WebSocket, and the protocol that was agreed on. */
function logSocket(path: string, protocols: string[], heard?: (socket: WebSocket) => void) {
  const { ca, cert, key } = server.tls("admin");
  const url = `${server.url.replace("https", "wss")}/api/v1/namespaces/default/pods/${path}`;
  const socket = new WebSocket(url, protocols, { ca, cert, key });
  const messages: { text: boolean; data: string }[] = [];
  return new Promise<{ protocol: string; messages: typeof messages; code: number }>((resolve, reject) => {
    socket.on("message", (data: Buffer, binary) => {
      messages.push({ text: !binary, data: data.toString() });
      heard?.(socket);
    });
    socket.on("error", reject);
    socket.on("close", (code) => resolve({ protocol: socket.protocol, messages, code }));
  });
}

describe("log over a WebSocket", () => {
  const said = ({ messages }: Awaited<ReturnType<typeof logSocket>>): string =>
    messages.map(({ data }) => data).join("");

  test("bytes, base64 or no protocol; the first message is empty, and the end closes", async () => {
    for (const protocols of [["binary.k8s.io"], []]) {
      const outcome = await logSocket("one/log", protocols);
      expect(outcome).toMatchObject({ protocol: protocols[0] ?? "", code: 1000 });
      expect(outcome.messages[0]).toEqual({ text: false, data: "" });
      expect(said(outcome)).toBe("line one\nline two\n");
    }
    const coded = await logSocket("one/log", ["base64.binary.k8s.io", "binary.k8s.io"]);
    expect(coded.protocol).toBe("binary.k8s.io");
    const base64 = await logSocket("one/log", ["base64.binary.k8s.io"]);
    expect(base64.messages.every(({ text }) => text)).toBe(true);
    const decoded = base64.messages.map(({ data }) => Buffer.from(data, "base64").toString()).join("");
    expect(decoded).toBe("line one\nline two\n");
  });

  test("a refusal is an HTTP answer", async () => {
    await expect(logSocket("one/log", ["v5.channel.k8s.io"])).rejects.toThrow("400");
    await expect(logSocket("absent/log", ["binary.k8s.io"])).rejects.toThrow("404");
    await expect(logSocket("two/log?container=broken", ["binary.k8s.io"])).rejects.toThrow("400");
  });

  test("a kubelet that was away is reached as soon as it is back", async () => {
    await kubelet.stop();
    for (let tries = 0; tries < 3; tries++) expect((await log("one/log")).code).toBeGreaterThanOrEqual(500);
    await kubelet.start();
    expect(await log("one/log")).toEqual({ code: 200, text: "line one\nline two\n" });
  });

  test("a client that goes away stops the kubelet's stream", async () => {
    const before = kubelet.gone.followers;
    await logSocket("one/log?follow=true", ["binary.k8s.io"], (socket) => socket.terminate());
    await expect.poll(() => kubelet.gone.followers).toBe(before + 1);
  });
});

interface ExecOutcome {
  readonly protocol: string;
  readonly channels: Record<number, string>;
}

function exec(query: string, protocols: string[], onOpen?: (socket: WebSocket) => void): Promise<ExecOutcome> {
  const { ca, cert, key } = server.tls("admin");
  const url = `${server.url.replace("https", "wss")}/api/v1/namespaces/default/pods/one/exec?${query}`;
  const socket = new WebSocket(url, protocols, { ca, cert, key });
  const channels: Record<number, string> = {};
  return new Promise((resolve, reject) => {
    socket.on("open", () => onOpen?.(socket));
    socket.on("message", (data: Buffer) => {
      const channel = data[0] ?? -1;
      channels[channel] = (channels[channel] ?? "") + data.subarray(1).toString();
    });
    socket.on("unexpected-response", (_request, response) => reject(new Error(String(response.statusCode))));
    socket.on("error", reject);
    socket.on("close", () => resolve({ protocol: socket.protocol, channels }));
  });
}

describe("exec", () => {
  test("output, input, its end and the exit code", async () => {
    const outcome = await exec("command=cat&command=-n&stdin=1&stdout=1&stderr=1", ["v5.channel.k8s.io"], (socket) => {
      socket.send(Buffer.from("\0hello"));
      socket.send(Buffer.from([255, 0]));
    });
    expect(outcome.protocol).toBe("v5.channel.k8s.io");
    expect(outcome.channels[1]).toBe("$ cat -n\n");
    expect(outcome.channels[2]).toBe("got hello");
    expect(JSON.parse(outcome.channels[3] ?? "")).toMatchObject({
      status: "Failure",
      reason: "NonZeroExitCode",
      message: "command terminated with non-zero exit code: exit status 3",
      details: { causes: [{ reason: "ExitCode", message: "3" }] },
    });
  });

  test("clients of the first version are told in words that a command failed, and nothing where it did not", async () => {
    const query = "command=cat&command=-n&stdin=1&stdout=1&stderr=1";
    const plain = await exec(query, ["channel.k8s.io"], (socket) => {
      socket.send(Buffer.from("\0hello"));
      socket.send(Buffer.from([255, 0]));
    });
    expect(plain.channels).toMatchObject({
      1: "$ cat -n\n",
      2: "got hello",
      3: "command terminated with non-zero exit code: exit status 3",
    });
  });

  test.each(["base64.channel.k8s.io", "v4.base64.channel.k8s.io"])(
    "%s is text, in both directions",
    async (protocol) => {
      const query = "command=size&stdin=1&stdout=1&stderr=1";
      const outcome = await exec(query, [protocol], (socket) => {
        socket.send(`0${Buffer.from("hello").toString("base64")}`);
      });
      const channel = (digit: string): string =>
        Buffer.from(outcome.channels[digit.charCodeAt(0)] ?? "", "base64").toString();
      expect(channel("1")).toBe("$ size\n");
      expect(channel("2")).toBe("got hello");
      expect(channel("3")).toContain("exit status 3");
    },
  );

  test("v4 clients are served; what cannot be served is refused before the handshake", async () => {
    expect((await exec("command=ls&stdout=1", ["v4.channel.k8s.io"])).channels[1]).toBe("$ ls\n");
    await expect(exec("stdout=1", ["v5.channel.k8s.io"])).rejects.toThrow("400");
    await expect(exec("command=ls&stdout=1", ["v1.channel.k8s.io"])).rejects.toThrow("400");
    await expect(exec("command=ls&stdout=1&container=z", ["v5.channel.k8s.io"])).rejects.toThrow("400");
  });
});

test.each([
  ["one/exec?command=ls&stdout=1", 400, "Upgrade request required"],
  ["one/portforward", 400, "Upgrade request required"],
  ["absent/attach", 404, 'pods "absent" not found'],
  ["absent/exec", 404, 'pods "absent" not found'],
  ["absent/portforward", 404, 'pods "absent" not found'],
  ["two/exec", 400, "a container name must be specified for pod two, choose one of: [a broken]"],
  ["two/attach?container=z", 400, "container z is not valid for pod two"],
])("without an upgrade, %s: %i %s", async (path, code, text) => {
  expect(await log(path)).toEqual({ code, text });
});

test.each(["PUT", "DELETE"] as const)("nothing is opened by %s, as that stands for another right", async (method) => {
  for (const path of ["one/exec?command=ls&stdout=1", "one/attach", "one/portforward", "one/log"]) {
    expect([path, (await log(path, method)).code]).toEqual([path, 405]);
  }
});

test("a pod on a node without an address: refused before the upgrade", async () => {
  const { loopback } = server.component.server;
  await loopback.create(NODES, { apiVersion: "v1", kind: "Node", metadata: { name: "nowhere" } });
  await loopback.create(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "lost", namespace: "default" },
    spec: { nodeName: "nowhere", containers: [{ name: "c", image: "x" }] },
  });
  const asked = [
    ["lost/exec?command=ls&stdout=1", "v5.channel.k8s.io"],
    ["lost/attach?stdout=1", "v5.channel.k8s.io"],
    ["lost/portforward?ports=80", "v4.channel.k8s.io"],
  ] as const;
  for (const [path, protocol] of asked) await expect(logSocket(path, [protocol]), path).rejects.toThrow("503");
});

test("kubectl logs and exec", async () => {
  await prepareKubectl();
  expect((await kubectl(server, ["logs", "one"])).out).toBe("line one\nline two\n");
  const done = await kubectl(server, ["exec", "one", "--", "uname", "-a"]);
  expect(done).toMatchObject({ code: 3, out: "$ uname -a\n", err: "command terminated with exit code 3\n" });
  const piped = await kubectl(server, ["exec", "-i", "one", "--", "cat"], "data");
  expect(piped.err).toContain("got data");
}, 120_000);
