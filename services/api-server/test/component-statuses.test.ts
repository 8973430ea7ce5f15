// ComponentStatuses over real TLS: parts that are well, ill and away, as kubectl shows them; and the warning that comes with
// every answer of a kind that is deprecated.
import { createServer, type Server } from "node:https";
import { connect, type AddressInfo } from "node:net";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import { afterAll, beforeAll, expect, test } from "vitest";
import { healthOf, parseComponentAddress } from "../src/aggregation/component-probes.ts";
import { kubectl, prepareKubectl, startTestServer, type TestServer } from "./support/test-server.ts";

let server: TestServer;
const parts = new Map<number, Server>();

/** Ports that nothing listens on: the test's own servers stand behind the first two. */
const WELL = 1;
const ILL = 2;
const AWAY = 3;

beforeAll(async () => {
  await prepareKubectl();
  server = await startTestServer([], {
    components: [
      { name: "scheduler", host: "127.0.0.1", port: WELL },
      { name: "controller-manager", host: "127.0.0.1", port: ILL },
      { name: "absent", host: "127.0.0.1", port: AWAY },
    ],
    dial(host, port) {
      const part = parts.get(port)?.address() as AddressInfo | undefined;
      return connect({ host, port: part?.port ?? port });
    },
  });
  for (const port of [WELL, ILL]) {
    const part = createServer(serverTlsOptions(server.tls("scheduler")), (request, response) => {
      response.writeHead(request.url === "/healthz" && port === WELL ? 200 : 500).end("ok");
    });
    await new Promise<void>((resolve) => void part.listen(0, "127.0.0.1", resolve));
    parts.set(port, part);
  }
});
afterAll(async () => {
  await server.close();
  for (const part of parts.values()) part.close();
});

test("kubectl shows what each part says of itself, and that the kind is deprecated", async () => {
  const { out, err } = await kubectl(server, ["get", "componentstatuses"]);
  const lines = out
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/ {2,}/));
  expect(lines).toEqual([
    ["NAME", "STATUS", "MESSAGE", "ERROR"],
    [
      "absent",
      "Unhealthy",
      `Get "https://127.0.0.1:${AWAY}/healthz": dial tcp 127.0.0.1:${AWAY}: connect: connection refused`,
    ],
    ["controller-manager", "Unhealthy", "HTTP probe failed with statuscode: 500"],
    ["etcd-0", "Healthy", "ok"],
    ["scheduler", "Healthy", "ok"],
  ]);
  expect(err).toBe("Warning: v1 ComponentStatus is deprecated in v1.19+\n");
});

test("one part by its name, by a selector, and one that is not there", async () => {
  const { out } = await kubectl(server, ["get", "cs", "scheduler", "-o", "jsonpath={.conditions}"]);
  expect(JSON.parse(out)).toEqual([{ type: "Healthy", status: "True", message: "ok" }]);
  const selected = await kubectl(server, ["get", "cs", "--field-selector=metadata.name=etcd-0", "-o", "name"]);
  expect(selected.out).toBe("componentstatus/etcd-0\n");
  expect((await kubectl(server, ["get", "cs", "-l", "a=b", "-o", "name"])).out).toBe("");
  expect((await kubectl(server, ["get", "cs", "nobody"])).err).toContain(
    'Error from server (NotFound): componentstatuses "nobody" not found',
  );
});

test("nobody can watch them, or make one", async () => {
  const watching = await kubectl(server, ["get", "--raw", "/api/v1/componentstatuses?watch=true"]);
  expect(watching.err).toContain("MethodNotAllowed");
  const made = await kubectl(
    server,
    ["create", "-f", "-"],
    "{apiVersion: v1, kind: ComponentStatus, metadata: {name: a}}",
  );
  expect(made.err).toContain("MethodNotAllowed");
});

test("a deprecated kind warns whoever reads or writes it", async () => {
  const warning = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n";
  const manifest = "{apiVersion: v1, kind: Endpoints, metadata: {name: old}}";
  for (const [args, input] of [
    [["create", "-f", "-"], manifest],
    [["get", "endpoints"], ""],
    [["get", "endpoints", "old"], ""],
    [["delete", "endpoints", "old"], ""],
  ] as const) {
    expect((await kubectl(server, [...args], input)).err).toBe(warning);
  }
});

test("how often each check was asked, and what it said last", async () => {
  await kubectl(server, ["get", "--raw", "/readyz"]);
  await kubectl(server, ["get", "--raw", "/healthz/etcd"]);
  const { out } = await kubectl(server, ["get", "--raw", "/metrics/slis"]);
  expect(out).toMatch(/^# TYPE kubernetes_healthcheck gauge$/m);
  expect(out).toMatch(/^kubernetes_healthcheck\{name="ping",type="readyz"\} 1$/m);
  expect(out).toMatch(/^kubernetes_healthchecks_total\{name="etcd",status="success",type="healthz"\} 1$/m);
  expect(out).not.toContain('name="ping",type="healthz"');
});

test("what an answer means", () => {
  expect(healthOf({ code: 204, body: Buffer.from("fine\n") })).toEqual({ healthy: true, message: "fine" });
  expect(healthOf({ code: 404, body: Buffer.alloc(0) }).healthy).toBe(false);
});

test.each([
  ["scheduler=127.0.0.1:10259", { name: "scheduler", host: "127.0.0.1", port: 10_259 }],
  ["a=[::1]:1", { name: "a", host: "::1", port: 1 }],
])("the address %s", (text, address) => {
  expect(parseComponentAddress(text)).toEqual(address);
});

test.each(["scheduler", "a=b", "a=b:0", "a=b:65536", "=b:1", "a=::1:1"])("%s is no address of a part", (text) => {
  expect(() => parseComponentAddress(text)).toThrow("must be NAME=HOST:PORT");
});
