// Probes over loopback sockets: what counts as well, and the words for what does not.
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { createServer, type AddressInfo, type Server } from "node:net";
import { createRealEnv } from "@coxswain/env";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpTarget } from "../src/probes/contract.ts";
import { decodeHealthResponse, encodeHealthRequest } from "../src/probes/grpc-probe.ts";
import { urlOf } from "../src/probes/http-probe.ts";
import { createNetworkProber } from "../src/probes/network-prober.ts";
import { portOf } from "../src/probes/probe-handler.ts";

const network = createNetworkProber(createRealEnv().timers);
const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

async function listen(server: Pick<Server, "listen" | "address" | "close">): Promise<number> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return (server.address() as AddressInfo).port;
}

const target = (port: number, more: Partial<HttpTarget> = {}): HttpTarget => ({
  scheme: "http",
  host: "127.0.0.1",
  port,
  path: "/",
  headers: [],
  userAgent: "kube-probe/1.35",
  ...more,
});

async function closedPort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  open.length = 0;
  return port;
}

describe("http", () => {
  const serve = (handler: RequestListener): Promise<number> => listen(createHttp(handler));

  test("asks as the kubelet does, and takes 200 to 399 as well", async () => {
    const port = await serve((request, response) => {
      response.end(
        JSON.stringify([request.url, request.headers["user-agent"], request.headers.host, request.headers["x-a"]]),
      );
    });
    const headers = [
      { name: "X-A", value: "b" },
      { name: "Host", value: "example.com" },
    ];
    const result = await network.http(target(port, { path: "/x?y=1", headers }), 1_000);
    expect(result).toEqual({
      outcome: "success",
      output: JSON.stringify(["/x?y=1", "kube-probe/1.35", "example.com", "b"]),
    });
  });

  test("says how it fails", async () => {
    const port = await serve((request, response) => {
      if (request.url === "/slow") return;
      response.writeHead(request.url === "/elsewhere" ? 302 : 500, { location: "http://127.0.0.2/" });
      response.end("sorry");
    });
    const says = async (path: string, ms = 1_000): Promise<string> =>
      (await network.http(target(port, { path }), ms)).output;
    expect(await says("/")).toBe("HTTP probe failed with statuscode: 500");
    expect(await says("/slow", 50)).toBe(
      `Get "http://127.0.0.1:${port}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    );
    expect(await network.http(target(port, { path: "/elsewhere" }), 1_000)).toEqual({
      outcome: "warning",
      output: "Probe terminated redirects, Response body: sorry",
    });
    const closed = await closedPort();
    expect((await network.http(target(closed), 1_000)).output).toBe(
      `Get "http://127.0.0.1:${closed}/": dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    );
  });

  test("follows redirects on the same host, ten at most", async () => {
    const port = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end("there");
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    expect((await network.http(target(port, { path: "/9" }), 1_000)).output).toBe("there");
    expect((await network.http(target(port, { path: "/11" }), 1_000)).output).toContain("stopped after 10 redirects");
  });

  test("an answer without end is read for 10 KiB", async () => {
    const port = await serve((_, response) => {
      const more = (): void => void (response.destroyed || response.write("x".repeat(4096), more));
      more();
    });
    expect((await network.http(target(port), 2_000)).output).toHaveLength(10 * 1024);
  });
});

test("tcp: open, closed", async () => {
  const port = await listen(createServer((socket) => socket.end()));
  expect(await network.tcp("127.0.0.1", port, 1_000)).toEqual({ outcome: "success", output: "" });
  const closed = await closedPort();
  expect(await network.tcp("127.0.0.1", closed, 1_000)).toEqual({
    outcome: "failure",
    output: `dial tcp 127.0.0.1:${closed}: connect: connection refused`,
  });
});

describe("grpc", () => {
  const serve = (status: number, code = 0): Promise<number> => {
    const server = createHttp2();
    server.on("stream", (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(code), "grpc-message": "no such" }));
      stream.end(code === 0 ? Buffer.from([0, 0, 0, 0, 2, 8, status]) : Buffer.alloc(0));
    });
    return listen(server);
  };

  test("healthy, unhealthy, not there, not spoken", async () => {
    const ask = async (port: number): Promise<string> => (await network.grpc("127.0.0.1", port, "", 1_000)).output;
    expect(await ask(await serve(1))).toBe("service healthy");
    expect(await ask(await serve(2))).toBe('service unhealthy (responded with "NOT_SERVING")');
    expect(await ask(await serve(0, 12))).toContain("this server does not implement the grpc health protocol");
    expect(await ask(await closedPort())).toMatch(
      /^timeout: failed to connect service "127.0.0.1:\d+" within 1s: dial tcp/,
    );
  });

  test("the request carries any name of a service", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 400 }), (service) => {
        const frame = encodeHealthRequest(service);
        expect(frame.readUInt32BE(1)).toBe(frame.length - 5);
        expect(frame.subarray(frame.length - Buffer.byteLength(service)).toString()).toBe(
          Buffer.from(service).toString(),
        );
      }),
    );
    expect(decodeHealthResponse(Buffer.alloc(0))).toBe("");
  });
});

test("ports by number, by name, by digits", () => {
  const container = { name: "c", ports: [{ name: "web", containerPort: 8080 }] };
  expect([8, "web", "9", "other", 0].map((port) => portOf(port, container))).toEqual([
    8,
    8080,
    9,
    undefined,
    undefined,
  ]);
});

test("a path keeps its query, and what is no path is escaped", () => {
  expect(urlOf(target(80, { path: "/a b?c=d e" })).href).toBe("http://127.0.0.1/a%20b?c=d%20e");
});
