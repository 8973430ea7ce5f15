// The client of container runtimes, apart from a real one: how it maps what it says and hears, reads logs, speaks SPDY, and
// what it makes of a runtime that fails, falls silent, or goes away and comes back.
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { inflateSync } from "node:zlib";
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContainerEvent, ContainerStatus, LogLine } from "../src/cri/contract.ts";
import { cpuQuota } from "../src/cri/containerd/container-config.ts";
import { cpuShares } from "../src/cri/cpu-shares.ts";
import { createContainerdCri, type ContainerdCri } from "../src/cri/containerd/containerd-cri.ts";
import { CpuUsage } from "../src/cri/containerd/cpu-usage.ts";
import { criError, CriChannel } from "../src/cri/containerd/cri-channel.ts";
import { LogDecoder, parseLogLine } from "../src/cri/containerd/log-decoder.ts";
import { type LogFileOptions, readLogFile } from "../src/cri/containerd/log-file.ts";
import { planMissedEvents } from "../src/cri/containerd/runtime-events.ts";
import { hasEvents, mountsImages, mountsImageSubPaths } from "../src/cri/containerd/runtime-version.ts";
import { exitCodeOf } from "../src/cri/streaming/remote-command.ts";
import {
  encodeData,
  encodePing,
  encodeSynStream,
  SpdyDecoder,
  type SpdyFrame,
} from "../src/cri/streaming/spdy-frames.ts";
import { containerConfig, podConfig } from "../src/testing/cri-suite.ts";

const env = createRealEnv();

let folder: string;
beforeEach(() => {
  folder = mkdtempSync("/tmp/cox-cri-");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("mapping", () => {
  test.each([
    [undefined, 2],
    [1, 2],
    [100, 102],
    [1000, 1024],
    [1_000_000, 262_144],
  ])("a request of %s thousandths of a CPU is a share of %i", (millis, shares) => {
    expect(cpuShares(millis)).toBe(shares);
  });
  test.each([
    [undefined, 0],
    [0, 0],
    [1, 1000],
    [100, 10_000],
    [1500, 150_000],
  ])("a limit of %s thousandths is %i microseconds a period", (millis, quota) => {
    expect(cpuQuota(millis)).toBe(quota);
  });
  test.each([
    [status.NOT_FOUND, "", "NotFound"],
    [status.UNAVAILABLE, "", "Unavailable"],
    [status.DEADLINE_EXCEEDED, "", "DeadlineExceeded"],
    [status.UNKNOWN, 'name "c_a" is reserved for "1"', "AlreadyExists"],
    [status.UNKNOWN, 'image "x": not found', "NotFound"],
    [status.UNKNOWN, "boom", "Internal"],
  ])("gRPC code %i with %j is %s", (code, details, expected) => {
    expect(criError({ code, details })).toMatchObject({ code: expected, message: details });
  });
  test("exit codes come out of the error stream, and nothing else does", () => {
    expect(exitCodeOf('{"metadata":{},"status":"Success"}')).toBe(0);
    const failed = {
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "7" }] },
    };
    expect(exitCodeOf(JSON.stringify(failed))).toBe(7);
    expect(() => exitCodeOf('{"status":"Failure","message":"boom"}')).toThrow("boom");
    expect(() => exitCodeOf("no JSON")).toThrow("no JSON");
    expect(() => exitCodeOf("")).toThrow(/without a status/);
  });
  test("CPU use needs two samples, and forgets with the counter", () => {
    const usage = new CpuUsage();
    const second = 1_000_000_000n;
    expect(usage.nanoCores("a", 1n * second, 5n * second)).toBeUndefined();
    expect(usage.nanoCores("a", 3n * second, 6n * second)).toBe(500_000_000);
    expect(usage.nanoCores("a", 3n * second + 1n, 7n * second)).toBe(500_000_000);
    expect(usage.nanoCores("a", 5n * second, 0n)).toBeUndefined();
  });
});

describe("SPDY", () => {
  const data = fc.record({
    streamId: fc.integer({ min: 1, max: 0x7fffffff }),
    data: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fin: fc.boolean(),
  });
  test("frames come out as they went in, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(data, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 })), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map((one) => encodeData(one.streamId, one.data, one.fin)));
        const decoder = new SpdyDecoder();
        const found: SpdyFrame[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % Math.max(1, cuts.length)] ?? bytes.length;
          found.push(...decoder.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(found).toEqual(frames.map((one) => ({ kind: "data", ...one })));
      }),
    );
  });
  test("header blocks are one zlib stream", () => {
    const first = encodeSynStream(1, { streamType: "error" }, true);
    const second = encodeSynStream(3, { port: "80" }, false);
    expect(first.subarray(0, 4)).toEqual(Buffer.from([0x80, 3, 0, 1]));
    // Without its last block, which would say that it is one, and its checksum: inflate what is there.
    const stream = Buffer.concat([first.subarray(18), second.subarray(18)]);
    const text = inflateSync(stream, { finishFlush: 2 });
    const word = (value: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]);
    const one = Buffer.from([0, 0, 0, 1]);
    expect(text).toEqual(Buffer.concat([one, word("streamtype"), word("error"), one, word("port"), word("80")]));
  });
  test("pings are told from data", () => {
    expect([...new SpdyDecoder().push(encodePing(6))]).toEqual([{ kind: "ping", id: 6 }]);
  });
});

describe("log files", () => {
  const stored = (text: string, tag = "F", stream = "stdout"): string =>
    `2026-11-24T00:00:00.123456789Z ${stream} ${tag} ${text}\n`;

  test("a stored line has a time to the nanosecond, a stream and a text", () => {
    expect(parseLogLine(Buffer.from(stored("a b").trimEnd()))).toEqual({
      timeMs: Date.parse("2026-11-24T00:00:00.123Z"),
      nanos: 456_789,
      stream: "stdout",
      line: Buffer.from("a b"),
    });
    expect(parseLogLine(Buffer.from("2026-11-24T01:00:00+01:00 stderr F "))).toMatchObject({
      timeMs: Date.parse("2026-11-24T00:00:00Z"),
      nanos: 0,
      line: Buffer.alloc(0),
    });
    for (const bad of ["", "no line", "today stdout F x", "2026-11-24T00:00:00Z stdin F x"]) {
      expect(parseLogLine(Buffer.from(bad))).toBeUndefined();
    }
  });

  test("pieces of a line come out as one, whatever other streams and reads come between", () => {
    const text =
      stored("ab", "P") + stored("err", "F", "stderr") + stored("cd", "P") + stored("ef") + stored("rest", "P");
    fc.assert(
      fc.property(fc.integer({ min: 1, max: text.length }), (size) => {
        const decoder = new LogDecoder();
        const lines: LogLine[] = [];
        for (let at = 0; at < text.length; at += size)
          lines.push(...decoder.push(Buffer.from(text.slice(at, at + size))));
        lines.push(...decoder.end());
        const shown = lines.map(({ stream, line, partial }) => [stream, line.toString(), partial === true]);
        expect(shown).toEqual([
          ["stderr", "err", false],
          ["stdout", "abcdef", false],
          ["stdout", "rest", true],
        ]);
      }),
    );
  });

  test("a line without end comes out in parts", () => {
    const decoder = new LogDecoder();
    const piece = Buffer.from(stored("x".repeat(16_000), "P"));
    const lines = Array.from({ length: 40 }, () => [...decoder.push(piece)]).flat();
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.every(({ partial }) => partial === true)).toBe(true);
  });

  const follow = (file: string, more: Partial<Pick<LogFileOptions, "env" | "ended" | "signal">> = {}) => {
    const seen: string[] = [];
    const { ended = async () => false, signal = new AbortController().signal } = more;
    const run = async (): Promise<void> => {
      for await (const { line } of readLogFile({ env: more.env ?? env, file, follow: true, ended, signal }))
        seen.push(line.toString());
    };
    return { seen, done: run() };
  };

  test("what a runtime writes to the old file after it has made the new one is not missed", async () => {
    const file = path.join(folder, "0.log");
    writeFileSync(file, stored("one"));
    // When the reader first rests, it has read the old file to its end and has seen the new one.
    let rested = false;
    const sleep = async (): Promise<void> => {
      if (!rested) appendFileSync(`${file}.old`, stored("two"));
      rested = true;
    };
    let over = false;
    const slow = { ...env, timers: { ...env.timers, sleep } };
    const { seen, done } = follow(file, { env: slow, ended: async () => over });
    await expect.poll(() => seen).toEqual(["one"]);
    renameSync(file, `${file}.old`);
    writeFileSync(file, stored("three"));
    await expect.poll(() => seen.at(-1)).toBe("three");
    over = true;
    await done;
    expect(seen).toEqual(["one", "two", "three"]);
  });

  test("following reads what is moved away to its end, then the new file, then ends", async () => {
    const file = path.join(folder, "0.log");
    writeFileSync(file, stored("one"));
    let over = false;
    const { seen, done } = follow(file, { ended: async () => over });
    await expect.poll(() => seen).toEqual(["one"]);
    renameSync(file, `${file}.old`);
    appendFileSync(`${file}.old`, stored("two"));
    writeFileSync(file, stored("three"));
    await expect.poll(() => seen).toEqual(["one", "two", "three"]);
    over = true;
    appendFileSync(file, stored("four"));
    await done;
    expect(seen).toEqual(["one", "two", "three", "four"]);
  });

  test("reading waits a moment for the file of a container that runs, as while its log is rotated", async () => {
    const file = path.join(folder, "moved.log");
    const { signal } = new AbortController();
    const read = async (running: boolean): Promise<string[]> => {
      const lines: string[] = [];
      const ended = async (): Promise<boolean> => !running;
      for await (const { line } of readLogFile({ env, file, follow: false, ended, signal }))
        lines.push(line.toString());
      return lines;
    };
    await expect(read(false)).rejects.toMatchObject({ code: "NotFound" });
    const lines = read(true);
    await env.timers.sleep(60);
    writeFileSync(file, stored("after"));
    expect(await lines).toEqual(["after"]);
  });

  test("following waits for a file that is not there yet, in a folder that is not there yet", async () => {
    const abort = new AbortController();
    const file = path.join(folder, "later.log");
    const { seen, done } = follow(file, { signal: abort.signal });
    writeFileSync(file, stored("late"));
    await expect.poll(() => seen).toEqual(["late"]);
    abort.abort();
    await done;
    const missing = path.join(folder, "none", "0.log");
    const once = readLogFile({ env, file: missing, follow: false, ended: async () => true, signal: abort.signal });
    await expect(once[Symbol.asyncIterator]().next()).resolves.toMatchObject({ done: true });
    const signal = new AbortController().signal;
    const read = readLogFile({ env, file: missing, follow: false, ended: async () => true, signal });
    await expect(read[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "NotFound" });
  });
});

describe("events", () => {
  test.each([
    ["containerd", "1.6.20~ds1", false],
    ["containerd", "v1.7.2", true],
    ["containerd", "2.0.0", true],
    ["cri-o", "1.28.0", true],
  ])("%s %s: %s", (runtime, version, expected) => {
    expect(hasEvents(runtime, version)).toBe(expected);
  });
  test.each([
    ["containerd", "1.6.20~ds1", false, false],
    ["containerd", "2.0.5", false, false],
    ["containerd", "v2.1.0-rc.1", true, false],
    ["containerd", "2.2.0", true, true],
    ["cri-o", "1.33.0", true, true],
  ])("%s %s mounts images: %s, folders of them: %s", (runtime, version, whole, folders) => {
    expect([mountsImages(runtime, version), mountsImageSubPaths(runtime, version)]).toEqual([whole, folders]);
  });
  test("what was missed is told once", () => {
    const event = (containerId: string, type: ContainerEvent["type"]): ContainerEvent => ({
      sandboxId: "s",
      containerId,
      type,
    });
    const before = new Map([
      ["a", event("a", "CONTAINER_STARTED_EVENT")],
      ["b", event("b", "CONTAINER_STARTED_EVENT")],
      ["c", event("c", "CONTAINER_STARTED_EVENT")],
    ]);
    const now = [
      { id: "a", sandboxId: "s", state: "CONTAINER_RUNNING" },
      { id: "b", sandboxId: "s", state: "CONTAINER_EXITED" },
      { id: "d", sandboxId: "s", state: "CONTAINER_CREATED" },
    ] as ContainerStatus[];
    expect(planMissedEvents(before, now)).toEqual([
      event("c", "CONTAINER_DELETED_EVENT"),
      event("b", "CONTAINER_STOPPED_EVENT"),
      event("d", "CONTAINER_CREATED_EVENT"),
    ]);
  });
});

describe("a runtime that is not well", () => {
  let cri: ContainerdCri;
  let server: Server | undefined;
  const endpoint = (): string => `unix://${folder}/cri.sock`;

  const serve = async (handlers: UntypedServiceImplementation): Promise<void> => {
    const next = new Server();
    const all = Object.values(serviceDefinition("runtime.v1.RuntimeService")).map((method) => {
      const name = method.originalName ?? "";
      return [name, handlers[name] ?? (() => {})] as const;
    });
    next.addService(serviceDefinition("runtime.v1.RuntimeService"), Object.fromEntries(all));
    await new Promise<void>((resolve, reject) => {
      next.bindAsync(endpoint(), ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
    });
    server = next;
  };
  const stop = (): void => {
    server?.forceShutdown();
    server = undefined;
  };
  beforeEach(() => {
    cri = createContainerdCri({ env, logger: silentLogger, endpoint: endpoint() });
  });
  afterEach(() => {
    cri.close();
    stop();
  });
  type Reply = sendUnaryData<object>;
  const version =
    (runtimeVersion: string) =>
    (_call: unknown, reply: Reply): void =>
      reply(null, { runtimeName: "containerd", runtimeVersion });

  test("that is away makes calls fail at once, and is found again by itself", async () => {
    await expect(cri.version()).rejects.toMatchObject({ code: "Unavailable" });
    for (const round of ["1.6.1", "1.6.2"]) {
      await serve({ version: version(round) });
      const told = async (): Promise<string> =>
        cri.version().then(
          ({ runtimeVersion }) => runtimeVersion,
          (error: Error) => error.message,
        );
      await expect.poll(told).toBe(round);
      stop();
      await expect.poll(() => cri.version().catch((error: unknown) => error)).toMatchObject({ code: "Unavailable" });
    }
    expect(cri.events === undefined).toBe(true);
  });

  test("that does not answer meets a deadline, and an abort ends the wait", async () => {
    await serve({});
    const channel = new CriChannel(env, endpoint());
    await expect(channel.call("version", {}, 50)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    const abort = new AbortController();
    const call = channel.call("version", {}, 60_000, abort.signal);
    abort.abort();
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    channel.close();
  });

  test("tells events where it has them, and those of the time that it was away", async () => {
    const status = { id: "c", metadata: { name: "c" }, state: "CONTAINER_RUNNING" };
    const open = new Set<{ write(value: object): void }>();
    const handlers = (state: string): UntypedServiceImplementation => ({
      version: version("1.7.0"),
      listContainers: (_call: unknown, reply: Reply) =>
        reply(null, { containers: [{ ...status, state, podSandboxId: "s" }] }),
      containerStatus: (_call: unknown, reply: Reply) => reply(null, { status: { ...status, state } }),
      getContainerEvents: (call: { write(value: object): void }) => void open.add(call),
    });
    await serve(handlers("CONTAINER_RUNNING"));
    await cri.version();
    const told: string[] = [];
    const unsubscribe = cri.events?.(({ containerId, sandboxId, type }) =>
      told.push(`${sandboxId}/${containerId} ${type}`),
    );
    await expect.poll(() => told).toEqual(["s/c CONTAINER_STARTED_EVENT"]);
    await expect.poll(() => open.size).toBe(1);
    const event = { containerId: "d", containerEventType: "CONTAINER_CREATED_EVENT", podSandboxStatus: { id: "s" } };
    for (const call of open) call.write(event);
    await expect.poll(() => told.at(-1)).toBe("s/d CONTAINER_CREATED_EVENT");
    stop();
    await serve(handlers("CONTAINER_EXITED"));
    await expect.poll(() => told.slice(2)).toEqual(["s/d CONTAINER_DELETED_EVENT", "s/c CONTAINER_STOPPED_EVENT"]);
    unsubscribe?.();
  });

  test("gets what it needs to know of a container, and its pod", async () => {
    const requests: { config?: { linux?: object; labels?: object; metadata?: object }; sandboxConfig?: object }[] = [];
    const sandbox = podConfig("a", { hostname: "host-a", hostNetwork: true });
    const made: { annotations?: Record<string, string> }[] = [];
    await serve({
      runPodSandbox: (call: ServerUnaryCall<{ config: object }, object>, reply: Reply) => {
        made.push(call.request.config);
        reply(null, { podSandboxId: "s" });
      },
      podSandboxStatus: (_call: unknown, reply: Reply) => {
        const { annotations } = made[0] ?? {};
        const metadata = { name: "a", uid: "uid-a", namespace: "default" };
        reply(null, {
          status: { id: "s", metadata, annotations, linux: { namespaces: { options: { network: "NODE" } } } },
        });
      },
      createContainer: (call: ServerUnaryCall<object, object>, reply: Reply) => {
        requests.push(call.request);
        reply(null, { containerId: "c" });
      },
    });
    const id = await cri.runPodSandbox(sandbox);
    expect(made[0]).toMatchObject({
      hostname: "",
      linux: { securityContext: { namespaceOptions: { network: "NODE" } } },
    });
    expect(await cri.createContainer(id, containerConfig("image", ["true"]))).toBe("c");
    expect(requests[0]).toMatchObject({
      podSandboxId: "s",
      config: {
        labels: { "io.kubernetes.pod.uid": "uid-a", "io.kubernetes.container.name": "c" },
        linux: { securityContext: { namespaceOptions: { network: "NODE", pid: "CONTAINER" } } },
      },
      sandboxConfig: { metadata: { name: "a", uid: "uid-a" } },
    });
    expect((await cri.podSandboxStatus(id)).config).toMatchObject({ hostname: "host-a", hostNetwork: true });
  });
});
