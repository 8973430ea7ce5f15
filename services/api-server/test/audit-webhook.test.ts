// Audit events that go to a webhook: in what batches and when, what is sent again and what is lost, and over a real connection.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { loadTlsMaterial, serverTlsOptions } from "@coxswain/component-base/tls-files";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { Command } from "commander";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { AuditBatches, type BatchOptions } from "../src/audit/batches.ts";
import { blocking, once, withRetries, type SendBatch } from "../src/audit/delivery.ts";
import { addAuditFlags, makeAuditor, type AuditFlags } from "../src/audit/flags.ts";
import { splitBySize, truncated } from "../src/audit/truncate.ts";
import { createWebhookSender } from "../src/audit/webhook.ts";
import { readKubeconfig } from "../src/kubeconfig.ts";

const OPTIONS: BatchOptions = {
  bufferSize: 10,
  maxSize: 3,
  maxWaitMs: 30_000,
  throttle: undefined,
  ordered: false,
};

function batches(options: Partial<BatchOptions> = {}, send?: SendBatch) {
  const env = new VirtualEnv({ seed: 1 });
  const sent: { readonly events: readonly string[]; readonly atMs: number }[] = [];
  const lost: unknown[] = [];
  const logger = { ...silentLogger, error: (details: object) => void lost.push(details) };
  const note: SendBatch = async (events) => {
    sent.push({ events, atMs: env.elapsedMs });
    await send?.(events);
  };
  const backend = new AuditBatches(
    { ...OPTIONS, ...options },
    withRetries({ send: note, env, logger }, 10_000),
    env,
    logger,
  );
  const close = async (): Promise<void> => {
    let closed = false;
    const closing = backend.close().then(() => void (closed = true));
    await env.runUntil(() => closed, env.elapsedMs + 600_000);
    await closing;
  };
  return { env, backend, sent, lost, close };
}

describe("batches", () => {
  test("go when they are full, and when their time has passed", async () => {
    const { env, backend, sent, close } = batches();
    for (const event of ["1", "2", "3", "4"]) backend.write(event);
    await env.advance(1_000);
    expect(sent).toEqual([{ events: ["1", "2", "3"], atMs: 0 }]);
    await env.advance(30_000);
    expect(sent[1]).toEqual({ events: ["4"], atMs: 30_000 });
    await close();
    expect(sent).toHaveLength(2);
  });

  test("go no oftener than the throttle lets them", async () => {
    const { env, backend, sent, close } = batches({ maxSize: 1, throttle: { qps: 10, burst: 2 } });
    for (const event of ["1", "2", "3", "4"]) backend.write(event);
    await env.advance(1_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([0, 0, 100, 200]);
    await close();
  });

  test("are sent again, later each time, and lost after the fifth attempt; others go meanwhile", async () => {
    const refuse: SendBatch = async (events) => {
      if (events[0] === "1") throw new Error("not now");
    };
    const { env, backend, sent, lost, close } = batches({ maxSize: 1 }, refuse);
    backend.write("1");
    backend.write("2");
    await env.advance(300_000);
    const first = sent.filter(({ events }) => events[0] === "1").map(({ atMs }) => atMs);
    expect(first).toHaveLength(5);
    const waits = first.slice(1).map((atMs, index) => atMs - first[index]!);
    for (const [index, wait] of waits.entries()) {
      const least = 10_000 * 1.5 ** index;
      expect(wait).toBeGreaterThanOrEqual(least);
      expect(wait).toBeLessThanOrEqual(least * 1.2);
    }
    expect(sent.filter(({ events }) => events[0] === "2")).toEqual([{ events: ["2"], atMs: 0 }]);
    expect(lost).toEqual([{ error: "Error: not now", events: 1, attempt: 5 }]);
    await close();
  });

  test("that come while the buffer is full are lost, and counted", async () => {
    const { env, backend, sent, lost, close } = batches({ bufferSize: 2, maxSize: 2, throttle: { qps: 1, burst: 1 } });
    for (let event = 0; event < 5; event++) backend.write(String(event));
    await env.advance(10_000);
    expect(sent.map(({ events }) => events)).toEqual([["0", "1"]]);
    expect(lost).toEqual([{ dropped: 3 }]);
    await close();
  });

  test("that are left go when it closes, with one attempt each", async () => {
    let attempts = 0;
    const refuse: SendBatch = async () => {
      attempts++;
      throw new Error("gone");
    };
    const { env, backend, lost, close } = batches({}, refuse);
    for (const event of ["1", "2", "3", "4"]) backend.write(event);
    await env.advance(1_000);
    expect(attempts).toBe(1);
    const before = env.elapsedMs;
    await close();
    // The first is tried once more, the second once.
    expect(attempts).toBe(3);
    expect(lost).toHaveLength(2);
    expect(env.elapsedMs - before).toBeLessThan(1_000);
    backend.write("late");
    expect(attempts).toBe(3);
  });
});

describe("what requests wait for", () => {
  test("batches that may not overtake each other go one after the other", async () => {
    const gates: (() => void)[] = [];
    const { env, backend, sent, close } = batches({ maxSize: 1, maxWaitMs: 0, ordered: true }, () => {
      return new Promise<void>((resolve) => void gates.push(resolve));
    });
    for (const event of ["1", "2"]) expect(backend.write(event)).toBeUndefined();
    await env.advance(1_000);
    expect(sent.map(({ events }) => events)).toEqual([["1"]]);
    gates[0]!();
    await env.advance(1_000);
    expect(sent.map(({ events }) => events)).toEqual([["1"], ["2"]]);
    gates[1]!();
    await close();
  });

  test("a blocking backend lets them go when the event has arrived, or was lost; a strict one tells of the loss", async () => {
    const env = new VirtualEnv({ seed: 1 });
    const lost: unknown[] = [];
    const logger = { ...silentLogger, error: (details: object) => void lost.push(details) };
    let failures = 1;
    const send: SendBatch = async () => {
      if (failures-- > 0) throw new Error("not now");
    };
    const again = blocking(withRetries({ send, env, logger }, 1_000), false);
    expect(again.waits).toBe(true);
    let arrivedMs = -1;
    const written = again.write("1")!.then(() => (arrivedMs = env.elapsedMs));
    await env.advance(2_000);
    await written;
    expect(arrivedMs).toBeGreaterThanOrEqual(1_000);
    expect(lost).toEqual([]);

    failures = Infinity;
    await blocking(once({ send, logger }), false).write("2");
    await expect(blocking(once({ send, logger }), true).write("3")).rejects.toThrow("not now");
    const closing = blocking(withRetries({ send, env, logger }, 3_600_000), true);
    const refused = expect(closing.write("4")).rejects.toThrow("not now");
    await closing.close();
    await refused;
    expect(lost).toHaveLength(3);
  });
});

describe("large events", () => {
  const event = (level: string): string =>
    JSON.stringify({ level, requestObject: "x".repeat(500), responseObject: "y", annotations: { a: "b" } });

  test("lose their objects, or go whole where they are not too large", () => {
    expect(truncated(event("Request"), 1_000)).toBe(event("Request"));
    expect(JSON.parse(truncated(event("RequestResponse"), 200)!)).toEqual({
      level: "RequestResponse",
      annotations: { a: "b", "audit.k8s.io/truncated": "true" },
    });
    expect(truncated(event("Metadata"), 200)).toBeUndefined();
    expect(truncated(event("Request"), 20)).toBeUndefined();
  });

  test("are split by size, each alone where it must be", () => {
    expect(splitBySize(["aaaa", "bb", "c", "dddddddd"], 6)).toEqual([["aaaa", "bb"], ["c"], ["dddddddd"]]);
    expect(splitBySize([], 6)).toEqual([]);
  });
});

describe("over a connection", () => {
  const env = createRealEnv();
  const received: { readonly headers: IncomingMessage["headers"]; readonly body: unknown; readonly who: string }[] = [];
  let dir: string;
  let server: Server;
  let url: string;
  /** Answers with these first. */
  const codes: number[] = [];

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const socket = incoming.socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } };
    const who = socket.getPeerCertificate().subject?.CN ?? "";
    received.push({ headers: incoming.headers, body: await json(incoming), who });
    response.writeHead(codes.shift() ?? 200).end("{}");
  }

  function kubeconfig(user: object, cluster: object = {}): string {
    const file = join(dir, "webhook.yaml");
    const config = {
      clusters: [{ name: "audit", cluster: { server: url, "certificate-authority": "ca.crt", ...cluster } }],
      users: [{ name: "me", user }],
      contexts: [{ name: "it", context: { cluster: "audit", user: "me" } }],
      "current-context": "it",
    };
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  function flagsOf(...args: string[]): AuditFlags {
    const command = new Command();
    addAuditFlags(command);
    command.parse(args, { from: "user" });
    return command.opts<AuditFlags>();
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "coxswain-audit-"));
    await ensurePki(dir, { nodes: [] }, env);
    await ensurePki(join(dir, "other"), { nodes: [] }, env);
    const tls = loadTlsMaterial(certificateFiles(dir, "api-server"));
    server = createServer({ ...serverTlsOptions(tls), requestCert: true }, (...both) => void answer(...both));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
    const rules = "rules: [{ level: Metadata }]";
    writeFileSync(join(dir, "policy.yaml"), `apiVersion: audit.k8s.io/v1\nkind: Policy\n${rules}\n`);
  });
  afterEach(() => {
    received.length = 0;
    codes.length = 0;
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  });

  test("a list of events arrives, with the certificate or the token of the file", async () => {
    const { certFile, keyFile } = certificateFiles(dir, "admin");
    const withCertificate = {
      "client-certificate": certFile,
      "client-key-data": readFileSync(keyFile).toString("base64"),
    };
    for (const user of [withCertificate, { token: "sesame" }]) {
      const sender = createWebhookSender(readKubeconfig(kubeconfig(user)));
      await sender.send(['{"auditID":"1"}', '{"auditID":"2"}']);
      await sender.close();
    }
    const body = {
      kind: "EventList",
      apiVersion: "audit.k8s.io/v1",
      metadata: {},
      items: [{ auditID: "1" }, { auditID: "2" }],
    };
    expect(received.map((each) => [each.who, each.headers.authorization, each.body])).toEqual([
      ["kubernetes-admin", undefined, body],
      ["", "Bearer sesame", body],
    ]);
  });

  test("an answer that is none of success is a failure, and so is a server of another CA", async () => {
    const sender = createWebhookSender(readKubeconfig(kubeconfig({})));
    codes.push(404);
    await expect(sender.send(["{}"])).rejects.toThrow("the webhook answered 404");
    await sender.close();
    const stranger = createWebhookSender(readKubeconfig(kubeconfig({}, { "certificate-authority": "other/ca.crt" })));
    await expect(stranger.send(["{}"])).rejects.toThrow(/certificate/);
    await stranger.close();
    expect(received).toHaveLength(1);
  });

  test("a user of whom a kubeconfig says nothing is nobody", () => {
    const file = kubeconfig({});
    const config = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...config, users: [{ name: "me" }] }));
    const { authorization, tls } = readKubeconfig(file);
    expect([authorization, tls.cert]).toEqual([undefined, undefined]);
  });

  test.each([
    [{ "current-context": "none" }, 'the kubeconfig has no context "none"'],
    [{ users: [] }, 'the kubeconfig has no user "me"'],
    [{ users: [{ name: "me", user: { exec: {} } }] }, "users[].user.exec is not supported"],
    [{ users: ["me"] }, 'the kubeconfig has no user "me"'],
    [{ clusters: [{ name: "audit", cluster: {} }] }, "the cluster has no server"],
  ])("a kubeconfig with %o is refused", (change, message) => {
    const file = kubeconfig({});
    const config = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...config, ...change }));
    expect(() => readKubeconfig(file)).toThrow(message);
  });

  test("what a request leaves reaches the webhook, again where it was not taken, and the file too", async () => {
    const log = join(dir, "audit.log");
    const flags = flagsOf(
      `--audit-policy-file=${join(dir, "policy.yaml")}`,
      `--audit-webhook-config-file=${kubeconfig({})}`,
      `--audit-log-path=${log}`,
      "--audit-webhook-batch-max-wait=50ms",
      "--audit-webhook-initial-backoff=10ms",
    );
    codes.push(500);
    const auditor = makeAuditor(flags, env, silentLogger)!;
    const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
    const jane = { username: "jane", groups: [] };
    const record = auditor.begin({
      auditId: "1",
      attributes: { ...nothing, user: jane, verb: "get", resource: "pods", namespace: "a", name: "b" },
      caller: jane,
      requestUri: "/api/v1/namespaces/a/pods/b",
      sourceIps: ["127.0.0.1"],
      userAgent: "tests/1",
      receivedMs: env.clock.now(),
    });
    void record!.complete(200);
    await expect.poll(() => received.length).toBe(2);
    await auditor.close();
    const told = received.map(({ body }) => (body as { items: { auditID: string; stage: string }[] }).items);
    const expected = ["RequestReceived", "ResponseComplete"].map(
      (stage) => expect.objectContaining({ auditID: "1", stage }) as object,
    );
    expect(told).toEqual([expected, expected]);
    expect(readFileSync(log, "utf8").trim().split("\n")).toHaveLength(2);
  });

  test("the log has the same flags, and knows no throttle where none is wanted", async () => {
    const log = join(dir, "batched.log");
    const files = [`--audit-policy-file=${join(dir, "policy.yaml")}`, `--audit-log-path=${log}`];
    for (const [mode, waits] of [
      ["batch", false],
      ["blocking", true],
      ["blocking-strict", true],
    ] as const) {
      const auditor = makeAuditor(flagsOf(...files, `--audit-log-mode=${mode}`), env, silentLogger)!;
      const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
      const jane = { username: "jane", groups: [] };
      const record = auditor.begin({
        auditId: mode,
        attributes: { ...nothing, user: jane, verb: "get", path: "/version" },
        caller: jane,
        requestUri: "/version",
        sourceIps: [],
        userAgent: undefined,
        receivedMs: env.clock.now(),
      })!;
      expect([record.waits, record.received !== undefined]).toEqual([waits, waits]);
      await record.received;
      if (waits) expect(readFileSync(log, "utf8")).toContain(`"auditID":"${mode}","stage":"RequestReceived"`);
      await record.complete(200);
      await auditor.close();
      const stages = readFileSync(log, "utf8")
        .split("\n")
        .filter((line) => line.includes(`"auditID":"${mode}"`));
      expect(stages.map((line) => (JSON.parse(line) as { stage: string }).stage)).toEqual([
        "RequestReceived",
        "ResponseComplete",
      ]);
    }
    expect(() => makeAuditor(flagsOf(...files, "--audit-log-mode=never"), env, silentLogger)).toThrow(
      "invalid audit log mode never",
    );
    expect(() =>
      makeAuditor(flagsOf(...files, "--audit-log-mode=batch", "--audit-log-batch-max-size=0"), env, silentLogger),
    ).toThrow("invalid audit batch log max batch size 0");
    // What is not used is not looked at.
    await makeAuditor(flagsOf(...files, "--audit-log-batch-max-size=0"), env, silentLogger)!.close();
  });

  test.each([
    [
      "--audit-webhook-mode=sometimes",
      'invalid audit webhook mode sometimes, allowed modes are "batch,blocking,blocking-strict"',
    ],
    ["--audit-webhook-truncate-max-event-size=0", "invalid audit truncate webhook max event size 0"],
    [
      "--audit-webhook-truncate-max-batch-size=1",
      "invalid audit truncate webhook max batch size 1, must be greater than max event size (102400)",
    ],
    ["--audit-webhook-version=audit.k8s.io/v1beta1", 'invalid group version, allowed versions are ["audit.k8s.io/v1"]'],
    ["--audit-webhook-batch-buffer-size=0", "invalid audit batch webhook buffer size 0, must be a positive number"],
    ["--audit-webhook-batch-max-size=0", "invalid audit batch webhook max batch size 0, must be a positive number"],
    ["--audit-webhook-batch-throttle-qps=-1", "invalid audit batch webhook throttle QPS -1, must be a positive number"],
  ])("%s is refused", (flag, message) => {
    const flags = flagsOf(
      `--audit-policy-file=${join(dir, "policy.yaml")}`,
      `--audit-webhook-config-file=${kubeconfig({})}`,
      flag,
    );
    expect(() => makeAuditor(flags, env, silentLogger)).toThrow(message);
  });
});
