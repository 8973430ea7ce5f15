// Real processes: ports, checks, faults, signals, and what becomes of calls to a frozen one.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client, type ServiceError } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createRealEnv } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import { channelOptions, channelTarget, createCredentials } from "../src/grpc-channel.ts";
import { statusFromServiceError } from "../src/grpc-status.ts";
import { certificateFiles, ensurePki } from "../src/identity/index.ts";
import { loadTlsMaterial } from "../src/tls-files.ts";

interface Running {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[];
  readonly exited: Promise<number | null>;
  /** What it told those who started it. */
  readonly told: readonly string[];
  serving(): Promise<{ port: number; grpcPort: number }>;
}

let dir = "";
const children: ChildProcess[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "coxswain-process-"));
  await ensurePki(dir, {}, createRealEnv());
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function start(...flags: string[]): Running {
  const files = certificateFiles(dir, "scheduler");
  const tls = ["--ca-file", files.caFile, "--cert-file", files.certFile, "--key-file", files.keyFile];
  const script = join(import.meta.dirname, "fixture-component.ts");
  const child = spawn(process.execPath, [script, ...tls, ...flags], {
    stdio: ["ignore", "pipe", "inherit", "pipe"],
    env: { ...process.env, COXSWAIN_READY_FD: "3" },
  });
  children.push(child);
  const told: string[] = [];
  child.stdio[3]?.on("data", (bytes: Buffer) => told.push(bytes.toString()));
  const lines: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout! }).on("line", (line) => {
    lines.push(JSON.parse(line) as Record<string, unknown>);
  });
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  const serving = async (): Promise<{ port: number; grpcPort: number }> => {
    await expect.poll(() => lines.find((line) => line["msg"] === "serving")).toBeDefined();
    return lines.find((line) => line["msg"] === "serving") as unknown as { port: number; grpcPort: number };
  };
  return { child, lines, exited, told, serving };
}

function get(port: number, path: string, identity?: string): Promise<{ code: number | undefined; text: string }> {
  const { ca, ...own } = loadTlsMaterial(certificateFiles(dir, identity ?? "admin"));
  const tls = identity === undefined ? { ca } : { ca, ...own };
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, agent: false, ...tls }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ code: response.statusCode, text: Buffer.concat(chunks).toString() }));
    })
      .on("error", reject)
      .end();
  });
}

async function callOnce(port: number, service: string, method: string, body: object = {}): Promise<object> {
  const target = { addresses: [`127.0.0.1:${port}`], tls: loadTlsMaterial(certificateFiles(dir, "admin")) };
  const client = new Client(channelTarget(target.addresses), createCredentials(target.tls), channelOptions(target));
  const { path, requestSerialize, responseDeserialize } = serviceDefinition(service)[method]!;
  try {
    return await new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, value?: object): void =>
        error === null && value !== undefined ? resolve(value) : reject(statusFromServiceError(error));
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, body, done);
    });
  } finally {
    client.close();
  }
}

describe("a component process", () => {
  test("answers health to all, metrics to those who may, and ends on SIGTERM", async () => {
    const running = start("--instance", "a", "--log-level", "debug");
    const { port, grpcPort } = await running.serving();
    expect(await get(port, "/healthz")).toEqual({ code: 200, text: "ok" });
    expect((await get(port, "/readyz?verbose")).text).toBe(
      "[+]ping ok\n[+]live-heart ok\n[+]warm ok\n[+]shutdown ok\nreadyz check passed\n",
    );
    expect((await get(port, "/metrics")).code).toBe(401);
    expect((await get(port, "/metrics", "kube-proxy")).code).toBe(403);
    const metrics = await get(port, "/metrics", "admin");
    expect(metrics.text).toContain('fixture_beats_total{kind="first"} 1');
    expect((await get(port, "/nope")).code).toBe(404);

    const component = "coxswain.component.v1.Component";
    const info = { component: "fixture", instance: "a", leader: true, facts: { mode: "good" } };
    expect(await callOnce(grpcPort, component, "GetInfo")).toMatchObject({ ...info, pid: String(running.child.pid) });
    expect(await callOnce(grpcPort, component, "SetLogLevel", { level: "warn" })).toEqual({ previous: "debug" });
    await expect(callOnce(grpcPort, component, "SetLogLevel", { level: "loud" })).rejects.toThrow("Unsupported value");
    await expect(callOnce(grpcPort, "coxswain.chaos.v1.Faults", "List")).rejects.toMatchObject({
      reason: "MethodNotAllowed",
    });

    running.child.kill("SIGTERM");
    expect(await running.exited).toBe(0);
    expect(running.lines).toContainEqual(expect.objectContaining({ msg: "beating", part: "heart", instance: "a" }));
  });

  test("tells once that it is ready, to those who started it", async () => {
    const warm = start();
    await expect.poll(() => warm.told.join("")).toBe("ready\n");
    const cold = start("--mode=cold");
    const { port } = await cold.serving();
    expect((await get(port, "/readyz")).code).toBe(500);
    expect(cold.told).toEqual([]);
  });

  test("goes on where nobody hears that it is ready", async () => {
    const running = start();
    running.child.stdio[3]?.destroy();
    const { port } = await running.serving();
    expect(await get(port, "/readyz")).toEqual({ code: 200, text: "ok" });
  });

  test("waits for what it was told to wait for before it runs", async () => {
    const running = start("--mode=waits");
    await expect.poll(() => running.lines.map((line) => line["msg"])).toContain("ran");
    const order = running.lines.map((line) => line["msg"]).filter((msg) => msg === "waited" || msg === "ran");
    expect(order).toEqual(["waited", "ran"]);
  });

  test("is live but not ready while a check fails", async () => {
    const { port, grpcPort } = await start("--mode", "cold").serving();
    expect((await get(port, "/livez")).code).toBe(200);
    const ready = await get(port, "/readyz");
    expect(ready.code).toBe(500);
    expect(ready.text).toContain("[-]warm failed: reason withheld");
    expect(await callOnce(grpcPort, "grpc.health.v1.Health", "Check")).toEqual({ status: "NOT_SERVING" });
  });

  test("arms and heals failpoints where chaos is enabled", async () => {
    const { grpcPort } = await start("--enable-chaos").serving();
    const faults = (method: string, body?: object): Promise<object> =>
      callOnce(grpcPort, "coxswain.chaos.v1.Faults", method, body);
    const fault = { failpoint: "fixture.beat", action: "delay", delayMs: "5" };
    expect(await faults("Inject", { fault })).toMatchObject({ fault: { ...fault, probability: 1, fired: "0" } });
    expect(await faults("List")).toMatchObject({ faults: [fault], failpoints: ["fixture.beat"] });
    expect(await faults("Heal")).toMatchObject({ healed: [fault] });
    await expect(faults("Inject", { fault: { failpoint: "x", action: "explode" } })).rejects.toThrow("fault.action");
  });

  test("exits 1 with a message when it breaks, on its own or by a stray rejection", async () => {
    const broken = start("--mode", "throws");
    expect(await broken.exited).toBe(1);
    expect(JSON.stringify(broken.lines)).toContain("broken heart");
    const stray = start("--mode", "stray");
    expect(await stray.exited).toBe(1);
    expect(JSON.stringify(stray.lines)).toContain("unhandled error");
  });

  test("of two, one that freezes is given up within seconds, and calls go to the other", async () => {
    const [one, two] = [start("--instance", "one"), start("--instance", "two")];
    const ports = await Promise.all([one.serving(), two.serving()]);
    const addresses = ports.map(({ grpcPort }) => `127.0.0.1:${grpcPort}`);
    const tls = loadTlsMaterial(certificateFiles(dir, "admin"));
    const options = channelOptions({ addresses, tls, keepaliveMs: 300, keepaliveTimeoutMs: 1_000 });
    const client = new Client(channelTarget(addresses), createCredentials(tls), options);
    const { path, requestSerialize, responseDeserialize } = serviceDefinition("coxswain.component.v1.Component")[
      "GetInfo"
    ]!;
    const instance = (): Promise<string> =>
      new Promise((resolve) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error, value) => {
          resolve(error === null ? (value as { instance: string }).instance : "failed");
        });
      });
    const seen = new Set<string>();
    await expect.poll(async () => [...seen.add(await instance())]).toEqual(expect.arrayContaining(["one", "two"]));
    one.child.kill("SIGSTOP");
    const answers = await Promise.all([instance(), instance()]);
    expect(answers.toSorted()).toEqual(["failed", "two"]);
    expect([await instance(), await instance(), await instance()]).toEqual(["two", "two", "two"]);
    client.close();
  });

  test("a peer that is busy for seconds is waited for, and a frozen one given up before a leader's time is up", () => {
    const options = channelOptions({
      addresses: ["127.0.0.1:1"],
      tls: loadTlsMaterial(certificateFiles(dir, "admin")),
    });
    const askedMs = Number(options["grpc.keepalive_time_ms"]);
    const busyMs = Number(options["grpc.keepalive_timeout_ms"]);
    expect(busyMs).toBeGreaterThanOrEqual(5_000);
    // The last renewal may be 2 s old when the server freezes, and the lease is given up 10 s after it.
    expect(askedMs + busyMs).toBeLessThan(8_000);
  });

  test("a second signal ends a stubborn one at once", async () => {
    const running = start("--mode", "stubborn");
    await running.serving();
    running.child.kill("SIGTERM");
    await expect.poll(() => running.lines.some((line) => line["msg"] === "stopping")).toBe(true);
    running.child.kill("SIGTERM");
    expect(await running.exited).toBe(1);
  });
});
