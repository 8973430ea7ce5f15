// The audit log: what the policy wants told, what a request leaves in the file, and how files are turned over.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, Metadata } from "@grpc/grpc-js";
import { createChannel, createCredentials } from "@coxswain/component-base/grpc-channel";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createAuditor, type AuditBackend } from "../src/audit/auditor.ts";
import { backupName, createLogFile, planRemovals } from "../src/audit/log-file.ts";
import { decideAudit, parseAuditPolicy } from "../src/audit/policy.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const policyOf = (...rules: string[]): string =>
  `apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n${rules.map((rule) => `- ${rule}\n`).join("")}`;

describe("the policy", () => {
  const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
  const jane = { username: "jane", groups: ["shop"] };
  const get = (resource: string, more: object = {}) => ({ ...nothing, user: jane, verb: "get", resource, ...more });

  test.each([
    ["{ level: Metadata }", get("pods"), "Metadata"],
    ["{ level: Metadata, users: [bob] }", get("pods"), "None"],
    ["{ level: Metadata, userGroups: [shop] }", get("pods"), "Metadata"],
    ["{ level: Metadata, verbs: [list] }", get("pods"), "None"],
    ["{ level: Metadata, namespaces: [a] }", get("pods", { namespace: "a" }), "Metadata"],
    ["{ level: Metadata, namespaces: [''] }", get("nodes"), "Metadata"],
    ["{ level: Metadata, resources: [{ group: '', resources: [pods] }] }", get("pods"), "Metadata"],
    ["{ level: Metadata, resources: [{ group: '', resources: [pods] }] }", get("pods", { subresource: "log" }), "None"],
    [
      "{ level: Metadata, resources: [{ group: '', resources: ['pods/*'] }] }",
      get("pods", { subresource: "log" }),
      "Metadata",
    ],
    [
      "{ level: Metadata, resources: [{ group: '', resources: ['*/log'] }] }",
      get("pods", { subresource: "log" }),
      "Metadata",
    ],
    ["{ level: Metadata, resources: [{ group: apps }] }", get("deployments", { group: "apps" }), "Metadata"],
    [
      "{ level: Metadata, resources: [{ group: '', resources: [pods], resourceNames: [a] }] }",
      get("pods", { name: "b" }),
      "None",
    ],
    ["{ level: Metadata, nonResourceURLs: ['/healthz*'] }", { ...get(""), path: "/healthz/ping" }, "Metadata"],
    ["{ level: Metadata, nonResourceURLs: ['*'] }", get("pods"), "None"],
  ])("%s for %o is %s", (rule, attributes, level) => {
    expect(decideAudit(parseAuditPolicy(policyOf(rule)), attributes).level).toBe(level);
  });

  test("the first rule decides, and its stages add to the policy's", () => {
    const policy = parseAuditPolicy(
      policyOf("{ level: Request, verbs: [get], omitStages: [Panic] }", "{ level: Metadata }"),
    );
    const decision = decideAudit(policy, get("pods"));
    expect([decision.level, [...decision.omitStages]]).toEqual(["Request", ["RequestReceived", "Panic"]]);
  });

  test.each([
    ["{}", "loaded illegal policy with 0 rules"],
    ["kind: Pod", 'no kind "Pod"'],
    [policyOf("{ level: All }"), 'rules[0].level: Unsupported value: "All"'],
    [policyOf("{}"), "rules[0].level: Required value"],
    [policyOf("{ level: None, nonResourceURLs: [healthz] }"), "must begin with a '/' character"],
    [policyOf("{ level: None, nonResourceURLs: ['/a*b'] }"), "must be the final character of the rule"],
    [policyOf("{ level: None, nonResourceURLs: ['/a'], namespaces: [b] }"), "cannot apply to both"],
    [
      policyOf("{ level: None, resources: [{ resourceNames: [a] }] }"),
      "using resourceNames requires at least one resource",
    ],
    [
      policyOf("{ level: None, omitStages: [Never] }"),
      "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
    ],
    [policyOf("{ level: None, users: jane }"), "rules[0].users: Invalid value"],
  ])("is refused: %s", (text, message) => {
    const whole = text === "{}" ? "apiVersion: audit.k8s.io/v1\nkind: Policy" : text;
    expect(() => parseAuditPolicy(whole)).toThrow(message);
  });
});

interface Event {
  readonly level: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly auditID: string;
  readonly [key: string]: unknown;
}

describe("an api-server", () => {
  const events: Event[] = [];
  /** What a write gives. */
  let storing: (() => Promise<void>) | undefined;
  const backend: AuditBackend = {
    get waits() {
      return storing !== undefined;
    },
    write(text) {
      events.push(JSON.parse(text) as Event);
      return storing?.();
    },
    close: async () => {},
  };
  let server: TestServer;
  let admin: Agent;
  let scheduler: Agent;
  let stranger: Agent;

  beforeAll(async () => {
    const policy = parseAuditPolicy(
      policyOf(
        "{ level: None, users: [system:apiserver] }",
        "{ level: Metadata, resources: [{ group: '', resources: [secrets] }] }",
        "{ level: Request, verbs: [patch] }",
        "{ level: RequestResponse, omitManagedFields: true, resources: [{ group: '', resources: [configmaps, pods] }] }",
        "{ level: Metadata, nonResourceURLs: ['/version'] }",
      ),
    );
    const auditor = createAuditor({ policy, backend, clock: createRealEnv().clock });
    server = await startTestServer(["ServiceAccount"], { auditor });
    const { ca } = server.tls("admin");
    admin = new Agent({ connect: server.tls("admin") });
    scheduler = new Agent({ connect: server.tls("scheduler") });
    stranger = new Agent({ connect: { ca: ca as Buffer } });
  });

  afterAll(async () => {
    await Promise.all([admin, scheduler, stranger].map((agent) => agent.destroy()));
    await server.close();
  });

  async function call(
    method: string,
    path: string,
    body?: object,
    more: { agent?: Agent; headers?: Record<string, string> } = {},
  ) {
    const answer = await request(server.url + path, {
      dispatcher: more.agent ?? admin,
      method: method as "GET",
      headers: { "content-type": "application/json", "user-agent": "tests/1", ...more.headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    await answer.body.text();
    const id = String(answer.headers["audit-id"]);
    return { code: answer.statusCode, id, events: events.filter(({ auditID }) => auditID === id) };
  }

  const CONFIG_MAPS_PATH = "/api/v1/namespaces/default/configmaps";

  test("tells who did what, when, from where, and why they might", async () => {
    const { events: told } = await call("POST", CONFIG_MAPS_PATH, { metadata: { name: "a" }, data: { k: "v" } });
    expect(told).toEqual([
      {
        kind: "Event",
        apiVersion: "audit.k8s.io/v1",
        level: "RequestResponse",
        auditID: expect.any(String) as string,
        stage: "ResponseComplete",
        requestURI: CONFIG_MAPS_PATH,
        verb: "create",
        user: expect.objectContaining({
          username: "kubernetes-admin",
          groups: ["system:masters", "system:authenticated"],
        }) as object,
        sourceIPs: ["127.0.0.1"],
        userAgent: "tests/1",
        objectRef: { resource: "configmaps", namespace: "default", apiVersion: "v1" },
        responseStatus: { metadata: {}, code: 201 },
        requestObject: { metadata: { name: "a" }, data: { k: "v" } },
        responseObject: expect.objectContaining({ kind: "ConfigMap", data: { k: "v" } }) as object,
        requestReceivedTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) as string,
        stageTimestamp: expect.any(String) as string,
        annotations: { "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "" },
      },
    ]);
    expect((told[0]!["responseObject"] as { metadata: object }).metadata).not.toHaveProperty("managedFields");
  });

  test("keeps contents of Secrets out at level Metadata", async () => {
    const made = await call("POST", "/api/v1/namespaces/default/secrets", {
      metadata: { name: "s" },
      stringData: { a: "sesame" },
    });
    expect(made.code).toBe(201);
    expect(made.events).toMatchObject([{ level: "Metadata" }]);
    expect(JSON.stringify(made.events)).not.toMatch(/sesame|requestObject|responseObject/);
  });

  test("tells of refusals with their reason", async () => {
    const { code, events: told } = await call("DELETE", `${CONFIG_MAPS_PATH}/a`, undefined, { agent: scheduler });
    expect(code).toBe(403);
    expect(told).toMatchObject([
      {
        verb: "delete",
        objectRef: { resource: "configmaps", namespace: "default", name: "a" },
        responseStatus: { status: "Failure", reason: "Forbidden", code: 403 },
        annotations: {
          "authorization.k8s.io/decision": "forbid",
          "authorization.k8s.io/reason": "",
        },
      },
    ]);
  });

  test("tells of callers whose credentials were no good, and of those who act as others", async () => {
    const bad = await call("GET", CONFIG_MAPS_PATH, undefined, {
      agent: stranger,
      headers: { authorization: "Bearer x" },
    });
    expect(bad.events).toMatchObject([
      { user: { username: "" }, responseStatus: { code: 401, reason: "Unauthorized" } },
    ]);
    const acting = await call("GET", CONFIG_MAPS_PATH, undefined, { headers: { "impersonate-user": "jane" } });
    expect(acting.events).toMatchObject([
      { user: { username: "kubernetes-admin" }, impersonatedUser: { username: "jane" } },
    ]);
  });

  test("takes the client's id where it is one, leaves out what the policy does not want, and knows paths", async () => {
    const named = await call("GET", "/version", undefined, { headers: { "audit-id": "my-own-id" } });
    expect(named.id).toBe("my-own-id");
    expect(named.events).toMatchObject([{ requestURI: "/version", verb: "get" }]);
    expect(named.events[0]).not.toHaveProperty("objectRef");
    expect((await call("GET", "/version", undefined, { headers: { "audit-id": "a b" } })).id).not.toBe("a b");
    expect((await call("GET", "/api/v1/nodes")).events).toEqual([]);
  });

  test("a patch is told as it was sent, without the answer at level Request", async () => {
    const patch = { data: { k: "w" } };
    const headers = { "content-type": "application/merge-patch+json" };
    const { events: told } = await call("PATCH", `${CONFIG_MAPS_PATH}/a`, patch, { headers });
    expect(told).toMatchObject([{ level: "Request", requestObject: patch }]);
    expect(told[0]).not.toHaveProperty("responseObject");
  });

  test("a watch is told when it begins and when it ends", async () => {
    const { events: told } = await call("GET", `${CONFIG_MAPS_PATH}?watch=1&timeoutSeconds=1`);
    expect(told.map(({ stage, verb }) => [stage, verb])).toEqual([
      ["ResponseStarted", "watch"],
      ["ResponseComplete", "watch"],
    ]);
  });

  test("admission adds what it has to say", async () => {
    const privileged = { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "i" }] } };
    const { events: told } = await call("POST", "/api/v1/namespaces/default/pods", privileged);
    expect(told[0]).toMatchObject({
      annotations: { "pod-security.kubernetes.io/enforce-policy": "privileged:latest" },
    });
  });

  describe("whose requests wait", () => {
    afterEach(() => {
      storing = undefined;
    });
    test("answers them when the events are stored", async () => {
      const gate = Promise.withResolvers<void>();
      storing = () => gate.promise;
      let answered = false;
      const before = events.length;
      const asked = call("GET", "/version").then((answer) => ((answered = true), answer));
      await expect.poll(() => events.length).toBeGreaterThan(before);
      expect(events.at(-1)).toMatchObject({ stage: "ResponseComplete", responseStatus: { code: 200 } });
      expect(answered).toBe(false);
      gate.resolve();
      expect((await asked).code).toBe(200);
    });

    test("answers what it did although the end could not be told", async () => {
      storing = () => Promise.reject(new Error("full"));
      const made = await call("POST", CONFIG_MAPS_PATH, { metadata: { name: "told-late" } });
      expect([made.code, made.events.length]).toEqual([201, 1]);
    });
  });

  test("calls over gRPC leave the same", async () => {
    const tls = server.tls("admin");
    const channel = createChannel({ addresses: [server.grpcAddress], tls });
    const client = new Client(server.grpcAddress, createCredentials(tls), { channelOverride: channel });
    const { path, requestSerialize, responseDeserialize } = serviceDefinition("coxswain.api.v1.Resources")["Get"]!;
    const metadata = new Metadata();
    metadata.set("impersonate-user", "jane");
    const target = { version: "v1", resource: "configmaps", namespace: "default", name: "a" };
    const before = events.length;
    await new Promise<void>((resolve) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { target }, metadata, () => resolve());
    });
    client.close();
    expect(events.slice(before).filter(({ verb }) => verb === "get")).toMatchObject([
      {
        requestURI: "/coxswain.api.v1.Resources/Get",
        user: { username: "kubernetes-admin" },
        impersonatedUser: { username: "jane" },
        objectRef: { resource: "configmaps", name: "a" },
        responseStatus: { code: 403 },
      },
    ]);
  });
});

test("an api-server that must not do what it cannot tell does nothing", async () => {
  const policy = parseAuditPolicy(
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{ level: Metadata, verbs: [create] }]",
  );
  const written: string[] = [];
  const backend: AuditBackend = {
    waits: true,
    write(text) {
      written.push((JSON.parse(text) as Event).stage);
      return Promise.reject(new Error("full"));
    },
    close: async () => {},
  };
  const auditor = createAuditor({ policy, backend, clock: createRealEnv().clock });
  const server = await startTestServer(["ServiceAccount"], { auditor });
  const admin = new Agent({ connect: server.tls("admin") });
  try {
    const path = "/api/v1/namespaces/default/configmaps";
    const made = await request(server.url + path, {
      dispatcher: admin,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ metadata: { name: "untold" } }),
    });
    expect([made.statusCode, await made.body.json()]).toMatchObject([
      500,
      { reason: "InternalError", message: "Internal error occurred: failed to store audit event" },
    ]);
    expect(written).toEqual(["RequestReceived"]);
    const read = await request(`${server.url}${path}/untold`, { dispatcher: admin });
    expect(read.statusCode).toBe(404);
    await read.body.dump();
  } finally {
    await admin.destroy();
    await server.close();
  }
});

describe("the file", () => {
  const dirs: string[] = [];
  const folder = (): string => {
    dirs.push(mkdtempSync(join(tmpdir(), "coxswain-audit-")));
    return dirs.at(-1)!;
  };
  afterAll(() => dirs.forEach((dir) => rmSync(dir, { recursive: true, force: true })));
  const limits = { maxAgeDays: 0, maxBackups: 0, maxSizeMegabytes: 0 };

  test("holds a line an event, in order, and makes its folder", async () => {
    const path = join(folder(), "deep", "audit.log");
    const file = createLogFile({ ...limits, path }, createRealEnv());
    for (let at = 0; at < 1000; at++) void file.append([JSON.stringify({ at })]);
    await file.close();
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { at: number }).at)).toEqual(lines.map((_, at) => at));
    expect(lines).toHaveLength(1000);
  });

  test("is turned over at its size, and old ones go", async () => {
    const dir = folder();
    const path = join(dir, "audit.log");
    const env = new VirtualEnv({ seed: 1 });
    const file = createLogFile(
      { ...limits, path, maxSizeMegabytes: 1, maxBackups: 2 },
      { ...createRealEnv(), clock: env.clock },
    );
    const line = "x".repeat(400 * 1024);
    for (let at = 0; at < 12; at++) {
      await env.advance(1_000);
      await file.append([line]);
    }
    const files = readdirSync(dir).toSorted();
    expect(files).toHaveLength(3);
    expect(files.filter((name) => /^audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/.test(name))).toHaveLength(2);
    for (const name of files) expect(readFileSync(join(dir, name)).length).toBeLessThanOrEqual(1 << 20);
  });

  test("tells who gave what the disk refuses, and goes on", async () => {
    const dir = folder();
    const path = join(dir, "audit.log");
    mkdirSync(path);
    const file = createLogFile({ ...limits, path }, createRealEnv());
    await expect(file.append(["a"])).rejects.toThrow("EISDIR");
    rmSync(path, { recursive: true });
    await file.append(["b"]);
    expect(readFileSync(path, "utf8")).toBe("b\n");
  });

  test("which files go is decided by age and number", () => {
    const day = 86_400_000;
    const backups = [1, 2, 3, 4].map((age) => ({ name: `${age}`, atMs: 100 * day - age * day }));
    const plan = (maxAgeDays: number, maxBackups: number): string[] =>
      planRemovals(backups, { ...limits, path: "x", maxAgeDays, maxBackups }, 100 * day).toSorted();
    expect(plan(0, 0)).toEqual([]);
    expect(plan(0, 3)).toEqual(["4"]);
    expect(plan(2, 0)).toEqual(["3", "4"]);
    expect(plan(3, 1)).toEqual(["2", "3", "4"]);
    expect(backupName("/a/audit.log", 0)).toBe("audit-1970-01-01T00-00-00.000.log");
  });
});
