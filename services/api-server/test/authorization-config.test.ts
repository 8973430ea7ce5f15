// --authorization-config: what is read of it, how authorizers stand one behind the other, and what a webhook is asked and believed.
import { createServer, type Server, type ServerResponse } from "node:http";
import { mkdtempSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CONFIG_MAPS } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { createMetrics } from "@coxswain/component-base/metrics";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { parseAuthorizationConfiguration } from "../src/auth/authorization-config/configuration.ts";
import { createChain } from "../src/auth/authorization-config/links.ts";
import { AuthorizationMetrics, ReloadMetrics } from "../src/auth/authorization-config/metrics.ts";
import { runAuthorizationReload } from "../src/auth/authorization-config/reload.ts";
import type { AuthorizerSettings, WebhookSettings } from "../src/auth/authorization-config/types.ts";
import { ALLOWED, alwaysDeny, AuthorizerChain, NO_OPINION, type ChainLink } from "../src/auth/authorizer-chain.ts";
import { createInProcessClient } from "../src/client/in-process-client.ts";
import { eventually } from "./eventually.ts";
import { startTestServer } from "./test-server.ts";
import type { AuthorizationAttributes, AuthorizationDecision, Authorizer } from "../src/pipeline/contract.ts";

const dir = mkdtempSync(join(tmpdir(), "coxswain-authz-"));
const header = { apiVersion: "apiserver.config.k8s.io/v1", kind: "AuthorizationConfiguration" };
const parse = (config: object, required?: readonly string[]) =>
  parseAuthorizationConfiguration(JSON.stringify({ ...header, ...config }), required);
const kubeconfigFile = join(dir, "any.conf");
writeFileSync(kubeconfigFile, "{}");
const hook = (parts: object = {}) => ({
  timeout: "3s",
  subjectAccessReviewVersion: "v1",
  failurePolicy: "NoOpinion",
  connectionInfo: { type: "KubeConfigFile", kubeConfigFile: kubeconfigFile },
  ...parts,
});
const one = (parts: object) => ({ authorizers: [{ type: "Webhook", name: "hook", webhook: hook(parts) }] });
const condition = (...expressions: string[]) => ({
  matchConditionSubjectAccessReviewVersion: "v1",
  matchConditions: expressions.map((expression) => ({ expression })),
});

describe("a configuration", () => {
  test.each(["v1", "v1beta1", "v1alpha1"])("of %s names authorizers in order", (version) => {
    const authorizers = [
      { type: "Node", name: "node" },
      { type: "Webhook", name: "hook", webhook: hook({ cacheUnauthorizedRequests: false, authorizedTTL: "1m30s" }) },
      { type: "AlwaysDeny", name: "alwaysdeny" },
    ];
    const webhook: WebhookSettings = {
      authorizedTtlMs: 90_000,
      unauthorizedTtlMs: 0,
      timeoutMs: 3_000,
      reviewVersion: "v1",
      failurePolicy: "NoOpinion",
      kubeconfigFile,
      conditions: [],
    };
    expect(parse({ apiVersion: `apiserver.config.k8s.io/${version}`, authorizers })).toEqual([
      { type: "Node", name: "node" },
      { type: "Webhook", name: "hook", webhook },
      { type: "AlwaysDeny", name: "alwaysdeny" },
    ]);
  });

  test.each([
    ["that is empty", {}, "authorizers: Required value: at least one authorization mode must be defined"],
    [
      "of another kind",
      { kind: "AuthenticationConfiguration" },
      'failed to load AuthorizationConfiguration from file: no kind "AuthenticationConfiguration" is registered for version "apiserver.config.k8s.io/v1"',
    ],
    [
      "with words of its own",
      { more: 1, authorizers: [{ type: "RBAC", name: "rbac", webook: {} }] },
      'failed to load AuthorizationConfiguration from file: strict decoding error: unknown field "more", unknown field "authorizers[0].webook"',
    ],
    [
      "with types that are none, or twice",
      { authorizers: [{}, { type: "Foo" }, { type: "RBAC", name: "rbac" }, { type: "RBAC", name: "rbac" }] },
      '[authorizers[0].type: Required value, authorizers[1].type: Unsupported value: "Foo": supported values: "ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook", authorizers[3].type: Duplicate value: "RBAC"]',
    ],
    [
      "with names that do not do",
      { authorizers: [{ type: "RBAC", name: "mine" }, { type: "Node" }, { type: "AlwaysAllow", name: "mine" }] },
      '[authorizers[1].name: Required value, authorizers[2].name: Duplicate value: "mine"]',
    ],
    [
      "with a name that is no authorizer's",
      { authorizers: [{ type: "RBAC", name: "mine" }] },
      "expected name rbac for authorizer RBAC instead of mine",
    ],
    [
      "with a webhook where none is",
      { authorizers: [{ type: "RBAC", name: "rbac", webhook: hook() }] },
      'authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook',
    ],
    [
      "without one where one is",
      { authorizers: [{ type: "Webhook", name: "hook" }] },
      "authorizers[0].webhook: Required value: required when type=Webhook",
    ],
    [
      "of policies in files",
      { authorizers: [{ type: "ABAC", name: "abac" }] },
      'authorizers[0].type: Invalid value: "ABAC": ABAC is not supported',
    ],
    [
      "with a webhook that says nothing",
      { authorizers: [{ type: "Webhook", name: "hook", webhook: {} }] },
      "[authorizers[0].timeout: Required value, authorizers[0].subjectAccessReviewVersion: Required value, authorizers[0].failurePolicy: Required value, authorizers[0].connectionInfo.type: Required value]",
    ],
    [
      "with times that do not do",
      one({ timeout: "31s", authorizedTTL: "-1s", unauthorizedTTL: "-2s" }),
      '[authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s, authorizers[0].authorizedTTL: Invalid value: "-1s": must be > 0s, authorizers[0].unauthorizedTTL: Invalid value: "-2s": must be > 0s]',
    ],
    [
      "with a time that is none",
      one({ timeout: "1 s" }),
      'failed to load AuthorizationConfiguration from file: time: unknown unit " s" in duration "1 s"',
    ],
    [
      "with versions and policies of others",
      one({
        subjectAccessReviewVersion: "v2",
        matchConditionSubjectAccessReviewVersion: "v1beta1",
        failurePolicy: "Ignore",
      }),
      '[authorizers[0].subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", "v1beta1", authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: "v1beta1": supported values: "v1", authorizers[0].failurePolicy: Unsupported value: "Ignore": supported values: "NoOpinion", "Deny"]',
    ],
    [
      "with a kubeconfig that is not there",
      one({ connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "/nowhere/at.all" } }),
      'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/nowhere/at.all": error loading file: stat /nowhere/at.all: no such file or directory',
    ],
    [
      "with one by a relative path",
      one({ connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "at.all" } }),
      'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "at.all": must be an absolute path',
    ],
    [
      "with a folder for one",
      one({ connectionInfo: { type: "KubeConfigFile", kubeConfigFile: dir } }),
      `authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "${dir}": must be a regular file`,
    ],
    [
      "of a service in the cluster",
      one({ connectionInfo: { type: "InClusterConfig", kubeConfigFile: "/a" } }),
      '[authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/a": can only be set when type=KubeConfigFile, authorizers[0].connectionInfo.type: Invalid value: "InClusterConfig": is not allowed for the api-server itself]',
    ],
    [
      "with conditions of no version",
      one({ matchConditions: [{ expression: "true" }] }),
      "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified",
    ],
    [
      "with conditions that say nothing, or the same",
      one(condition(" ", "true", "true")),
      '[authorizers[0].matchConditions[0].expression: Required value, authorizers[0].matchConditions[2].expression: Duplicate value: "true"]',
    ],
    [
      "with a condition that holds or not",
      one(condition("request.user")),
      'authorizers[0].matchConditions[0].expression: Invalid value: "request.user": must evaluate to bool but got string',
    ],
    [
      "with too many",
      one(condition(...Array.from({ length: 65 }, (_, index) => `${index} > 0`))),
      "authorizers[0].matchConditions: Too many: 65: must have at most 64 items",
    ],
  ])("%s is refused", (_what, config, message) => {
    expect(() => parse(config)).toThrow(expect.objectContaining({ message }));
  });

  test("with a condition about what is not there is refused, with the place", () => {
    expect(() => parse(one(condition("request.colour == 'red'")))).toThrow(
      /^authorizers\[0\]\.matchConditions\[0\]\.expression: Invalid value: "request.colour == 'red'": compilation failed: ERROR: <input>:1:/,
    );
  });

  test("that is not YAML, or nothing at all, is refused", () => {
    expect(() => parseAuthorizationConfiguration("a: [")).toThrow(
      "failed to load AuthorizationConfiguration from file:",
    );
    expect(() => parseAuthorizationConfiguration("")).toThrow("authorizers: Required value");
    expect(() => parseAuthorizationConfiguration("kind: A")).toThrow("Object 'apiVersion' is missing");
  });

  test("must keep the types that were there", () => {
    const rbac = { authorizers: [{ type: "RBAC", name: "rbac" }] };
    expect(() => parse(rbac, ["RBAC", "Node", "AlwaysDeny"])).toThrow("missing required types: [AlwaysDeny Node]");
  });
});

const alice: UserInfo = { username: "alice", groups: ["team"], uid: "7", extra: { k: ["v"] } };
const ask = (parts: Partial<AuthorizationAttributes> = {}): AuthorizationAttributes => ({
  user: alice,
  verb: "get",
  group: "",
  version: "v1",
  resource: "pods",
  subresource: "",
  namespace: "a",
  name: "x",
  ...parts,
});

describe("authorizers in order", () => {
  const says = (name: string, decision: AuthorizationDecision, late = false): ChainLink => ({
    type: "Test",
    name,
    authorize: () => (late ? Promise.resolve(decision) : decision),
    rulesFor: () => ({ rules: [], unknown: [] }),
  });
  const no = (reason: string, error?: string): AuthorizationDecision => ({
    allowed: false,
    reason,
    ...(error === undefined ? {} : { error }),
  });
  const denied: AuthorizationDecision = { allowed: false, denied: true, reason: "never" };

  test.each([false, true])("end with the first that allows or forbids (late: %s)", async (late) => {
    const chain = new AuthorizerChain([says("a", no("b")), says("b", denied, late), says("c", ALLOWED)]);
    expect(await chain.authorize(ask())).toEqual(denied);
    const other = new AuthorizerChain([says("a", no("b", "c")), says("b", ALLOWED, late), says("c", denied)]);
    expect(await other.authorize(ask())).toEqual(ALLOWED);
    expect(other.counts).toEqual([
      { type: "Test", name: "a", allowed: 0, denied: 0 },
      { type: "Test", name: "b", allowed: 1, denied: 0 },
      { type: "Test", name: "c", allowed: 0, denied: 0 },
    ]);
  });

  test.each([false, true])("tell all that they said where none decides (late: %s)", async (late) => {
    const links = [says("a", no("one", "x"), late), alwaysDeny, says("b", NO_OPINION), says("c", no("two", "y"))];
    expect(await new AuthorizerChain(links).authorize(ask())).toEqual({
      allowed: false,
      reason: "one\nEverything is forbidden.\ntwo",
      error: "[x, y]",
    });
  });

  test("are not asked about system:masters", () => {
    const user = { username: "root", groups: ["system:masters"] };
    expect(new AuthorizerChain([says("a", denied)]).authorize(ask({ user }))).toEqual(ALLOWED);
  });
});

describe("a webhook", () => {
  let server: Server;
  const asked: unknown[] = [];
  let answer: () => { code?: number; headers?: Record<string, string>; body: unknown };
  /** Answers by itself, or not at all. */
  let holding: ((response: ServerResponse) => void) | undefined;
  let target: string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        asked.push(JSON.parse(Buffer.concat(chunks).toString("utf8")));
        if (holding !== undefined) return holding(response);
        const { code = 200, headers = {}, body } = answer();
        response.writeHead(code, headers).end(typeof body === "string" ? body : JSON.stringify(body));
        return undefined;
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    target = join(dir, "hook.conf");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/authorize`;
    writeFileSync(
      target,
      JSON.stringify({
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "s", user: "u" } }],
        clusters: [{ name: "s", cluster: { server: url } }],
        users: [{ name: "u", user: { token: "t" } }],
      }),
    );
  });
  afterAll(() => void server.close());
  beforeEach(() => void asked.splice(0));

  const status = (parts: object, version = "v1") => ({
    body: { apiVersion: `authorization.k8s.io/${version}`, kind: "SubjectAccessReview", status: parts },
  });
  const metrics = createMetrics();
  const env = new VirtualEnv({ seed: 1 });
  const none: ChainLink = { ...alwaysDeny, authorize: () => NO_OPINION };
  const made = (parts: object, virtual = true): AuthorizerChain => {
    const connectionInfo = { type: "KubeConfigFile", kubeConfigFile: target };
    const settings = parse(one({ connectionInfo, ...parts }));
    return createChain(
      settings,
      { Node: none, RBAC: none },
      {
        env: virtual ? env : createRealEnv(),
        logger: silentLogger,
        metrics: new AuthorizationMetrics(metrics),
      },
    );
  };

  test.each(["NoOpinion", "Deny"])(
    "is asked no more for who went away, and nobody else is (%s)",
    async (failurePolicy) => {
      const chain = made({ failurePolicy, timeout: "30s" }, false);
      const called = Promise.withResolvers<void>();
      const ended = Promise.withResolvers<void>();
      holding = (response) => {
        response.once("close", () => ended.resolve());
        called.resolve();
      };
      const gone = new AbortController();
      const asking = chain.authorize(ask(), gone);
      await called.promise;
      gone.abort();
      expect(await asking).toEqual({
        allowed: false,
        denied: true,
        reason: "",
        error: expect.stringMatching(/^Post "http:.*": context canceled$/) as string,
      });
      await ended.promise;
      holding = undefined;
      expect(asked).toHaveLength(1);
    },
  );

  test("is not asked again for who went away meanwhile", async () => {
    const chain = made({ failurePolicy: "Deny" }, false);
    const gone = new AbortController();
    answer = () => {
      gone.abort();
      return { code: 500, body: "broken" };
    };
    expect(await chain.authorize(ask(), gone)).toMatchObject({ allowed: false, denied: true });
    expect(asked).toHaveLength(1);
  });

  test("is asked by a SubjectAccessReview, and believed", async () => {
    const chain = made({});
    answer = () => status({ allowed: true, reason: "friend" });
    const labelSelector = "app in (a,b),!old,n>3";
    const selected = { verb: "list", name: "", labelSelector, fieldSelector: "spec.nodeName=n1,status.phase!=Failed" };
    expect(await chain.authorize(ask(selected))).toEqual({ allowed: true, reason: "friend" });
    const requirements = {
      fields: [
        { key: "spec.nodeName", operator: "In", values: ["n1"] },
        { key: "status.phase", operator: "NotIn", values: ["Failed"] },
      ],
      labels: [
        { key: "app", operator: "In", values: ["a", "b"] },
        { key: "old", operator: "DoesNotExist" },
      ],
    };
    expect(asked).toEqual([
      {
        kind: "SubjectAccessReview",
        apiVersion: "authorization.k8s.io/v1",
        metadata: {},
        spec: {
          resourceAttributes: {
            namespace: "a",
            verb: "list",
            version: "v1",
            resource: "pods",
            fieldSelector: { requirements: requirements.fields },
            labelSelector: { requirements: requirements.labels },
          },
          user: "alice",
          groups: ["team"],
          uid: "7",
          extra: { k: ["v"] },
        },
        status: { allowed: false },
      },
    ]);
  });

  test("of v1beta1 hears of groups by their old name, and of paths", async () => {
    answer = () => status({ denied: true, reason: "no" }, "v1beta1");
    const chain = made({ subjectAccessReviewVersion: "v1beta1" });
    expect(await chain.authorize(ask({ path: "/metrics", resource: "", namespace: "" }))).toEqual({
      allowed: false,
      denied: true,
      reason: "no",
    });
    expect(asked).toMatchObject([
      {
        apiVersion: "authorization.k8s.io/v1beta1",
        spec: { group: ["team"], nonResourceAttributes: { path: "/metrics", verb: "get" } },
      },
    ]);
  });

  test("is not asked again as long as its answer holds", async () => {
    const chain = made({ authorizedTTL: "10s", unauthorizedTTL: "5s" });
    answer = () => status({ allowed: true });
    await chain.authorize(ask());
    await env.advance(9_999);
    expect(chain.authorize(ask())).toEqual(ALLOWED);
    answer = () => status({ allowed: false });
    await env.advance(2);
    await chain.authorize(ask());
    expect(chain.authorize(ask())).toEqual(NO_OPINION);
    await env.advance(5_000);
    await chain.authorize(ask());
    expect(asked).toHaveLength(3);
    // What a caller makes large is not kept.
    await chain.authorize(ask({ name: "x".repeat(10_000) }));
    await chain.authorize(ask({ name: "x".repeat(10_000) }));
    expect(asked).toHaveLength(5);
  });

  test("is asked every time where nothing is to be remembered", async () => {
    const chain = made({ cacheAuthorizedRequests: false, cacheUnauthorizedRequests: false });
    for (const allowed of [true, true, false, false]) {
      answer = () => status({ allowed });
      expect((await chain.authorize(ask())).allowed).toBe(allowed);
    }
    expect(asked).toHaveLength(4);
  });

  test("is asked of what its conditions name, alone", async () => {
    answer = () => status({ denied: true });
    const chain = made(
      condition(
        "has(request.resourceAttributes)",
        "request.resourceAttributes.namespace == 'a'",
        "!('system:nodes' in request.groups)",
        "!has(request.resourceAttributes.labelSelector) || request.resourceAttributes.labelSelector.requirements.exists(r, r.key == 'app' && 'a' in r.values)",
      ),
    );
    const denied = async (parts: Partial<AuthorizationAttributes>): Promise<boolean> =>
      (await chain.authorize(ask(parts))).denied === true;
    expect(await denied({})).toBe(true);
    expect(await denied({ namespace: "b" })).toBe(false);
    expect(await denied({ user: { username: "n", groups: ["system:nodes"] } })).toBe(false);
    expect(await denied({ labelSelector: "app=a" })).toBe(true);
    expect(await denied({ labelSelector: "app=b" })).toBe(false);
    expect(await denied({ path: "/version", resource: "", namespace: "" })).toBe(false);
    expect(asked).toHaveLength(2);
    expect(await metrics.text()).toContain(
      'apiserver_authorization_match_condition_exclusions_total{type="Webhook",name="hook"} 4',
    );
  });

  const absent = "request.nonResourceAttributes.path == '/'";
  test.each([
    ["NoOpinion", {}],
    ["Deny", { denied: true }],
  ])("whose condition cannot be evaluated has its failure policy decide: %s", async (failurePolicy, denied) => {
    const chain = made({ failurePolicy, ...condition(absent) });
    expect(await chain.authorize(ask())).toEqual({
      allowed: false,
      reason: "",
      ...denied,
      error: `cel evaluation error: expression '${absent}' resulted in error: no such key: nonResourceAttributes`,
    });
    // One that is false outweighs it.
    const other = made({ failurePolicy, ...condition(absent, "request.user == 'bob'") });
    expect(await other.authorize(ask())).toEqual(NO_OPINION);
    expect(asked).toEqual([]);
  });

  test.each([
    ["NoOpinion", {}],
    ["Deny", { denied: true }],
  ])("that fails has its failure policy decide, after five tries: %s", async (failurePolicy, denied) => {
    const chain = made({ failurePolicy });
    answer = () => ({ code: 500, body: "sick" });
    const decision = Promise.resolve(chain.authorize(ask()));
    const settled = vi.fn<() => void>();
    void decision.then(settled);
    while (settled.mock.calls.length === 0) {
      await env.advance(100);
      await new Promise(setImmediate);
    }
    expect(await decision).toEqual({
      allowed: false,
      reason: "",
      ...denied,
      error: 'an error on the server ("sick") has prevented the request from succeeding',
    });
    expect(asked).toHaveLength(5);
  });

  test.each([
    [{ code: 403, body: { kind: "Status", message: "who are you" } }, "who are you"],
    [{ body: "?" }, "the webhook's answer is no JSON object"],
    [
      status({ allowed: true }, "v1beta1"),
      'the webhook answered with "SubjectAccessReview" of "authorization.k8s.io/v1beta1" in place of a SubjectAccessReview of authorization.k8s.io/v1',
    ],
  ])("is not believed, and not asked again: %o", async (said, error) => {
    answer = () => said;
    expect(await made({}).authorize(ask())).toEqual({ allowed: false, reason: "", error });
    expect(asked).toHaveLength(1);
  });

  test("that says yes and no is taken for a no", async () => {
    answer = () => status({ allowed: true, denied: true, reason: "?" });
    expect(await made({}).authorize(ask())).toEqual({
      allowed: false,
      denied: true,
      reason: "?",
      error: "webhook subject access review returned both allow and deny response",
    });
  });

  test("that does not answer in time is not waited for", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const port = (silent.address() as AddressInfo).port;
    const file = join(dir, "silent.conf");
    const cluster = { server: `http://127.0.0.1:${port}/` };
    const contexts = [{ name: "c", context: { cluster: "s" } }];
    writeFileSync(file, JSON.stringify({ "current-context": "c", contexts, clusters: [{ name: "s", cluster }] }));
    const connectionInfo = { type: "KubeConfigFile", kubeConfigFile: file };
    const decision = await made({ timeout: "20ms", failurePolicy: "Deny", connectionInfo }, false).authorize(ask());
    expect(decision).toMatchObject({
      denied: true,
      error: `Post "http://127.0.0.1:${port}/": context deadline exceeded`,
    });
    silent.closeAllConnections();
    silent.close();
  });

  test("has its rounds and failures counted", async () => {
    const text = await metrics.text();
    expect(text).toMatch(/apiserver_authorization_webhook_evaluations_total\{name="hook",result="success"\} \d/);
    expect(text).toMatch(/apiserver_authorization_webhook_evaluations_total\{name="hook",result="error"\} 1\d/);
    expect(text).toMatch(/apiserver_authorization_webhook_evaluations_total\{name="hook",result="timeout"\} 1/);
    expect(text).toMatch(/apiserver_authorization_webhook_evaluations_fail_open_total\{name="hook",result="error"\} 4/);
    expect(text).toMatch(/match_condition_evaluation_errors_total\{type="Webhook",name="hook"\} 2/);
  });
});

describe("a file that changes", () => {
  test("is followed, and one that is no good is not", async () => {
    const env = new VirtualEnv({ seed: 1 });
    const registry = createMetrics();
    const text = (...types: string[]): string =>
      JSON.stringify({ ...header, authorizers: types.map((type) => ({ type, name: type.toLowerCase() })) });
    let present: string | Error = text("RBAC");
    const applied: (readonly AuthorizerSettings[])[] = [];
    const abort = new AbortController();
    const running = runAuthorizationReload(
      {
        env,
        logger: silentLogger,
        metrics: new ReloadMetrics(registry, "id"),
        file: {
          text: present,
          authorizers: parseAuthorizationConfiguration(present),
          read: () => (present instanceof Error ? Promise.reject(present) : Promise.resolve(present)),
        },
        apply: (next) => void applied.push(next),
      },
      abort.signal,
    );
    const counted = async (status: string): Promise<number> => {
      const found = new RegExp(`automatic_reloads_total\\{status="${status}".*\\} (\\d+)`).exec(await registry.text());
      return Number(found?.[1] ?? 0);
    };
    const becomes = async (next: string | Error): Promise<void> => {
      present = next;
      await env.advance(3_000);
    };
    await becomes(`${text("RBAC")}\n`);
    expect([applied.length, await counted("success"), await counted("failure")]).toEqual([0, 0, 0]);
    await becomes(text("RBAC", "AlwaysDeny"));
    expect(applied).toEqual([
      [
        { type: "RBAC", name: "rbac" },
        { type: "AlwaysDeny", name: "alwaysdeny" },
      ],
    ]);
    const [, info = ""] = /last_config_info\{(.*)\} 1/.exec(await registry.text()) ?? [];
    // Told once, not each time it is looked at.
    await becomes("nonsense: [");
    await becomes(text("AlwaysDeny"));
    await becomes(text("RBAC", "Node"));
    expect([applied.length, await counted("success"), await counted("failure")]).toEqual([1, 1, 3]);
    expect(await registry.text()).toContain(info);
    await becomes(text("RBAC", "AlwaysAllow"));
    expect([applied.length, await counted("success")]).toEqual([2, 2]);
    expect((await registry.text()).match(/last_config_info\{/g)).toHaveLength(1);
    expect(await registry.text()).not.toContain(info);
    await becomes(new Error("gone"));
    expect(await counted("failure")).toBe(4);
    abort.abort();
    await running;
  });
});

test("policies ask of authorizers outside, and wait for their answer", async () => {
  const questions: string[] = [];
  const late: Authorizer = {
    async authorize({ user, verb, resource, name }) {
      if (user !== alice) return ALLOWED;
      await new Promise(setImmediate);
      questions.push(`${user.username} ${verb} ${resource} ${name}`);
      return { allowed: verb !== "refuse", reason: `asked of ${verb}`, ...(name === "ill" ? { error: "sick" } : {}) };
    },
  };
  const server = await startTestServer({ authorizer: late });
  const group = "admissionregistration.k8s.io";
  const spec = {
    matchConstraints: {
      resourceRules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["*"], resources: ["configmaps"] }],
    },
    failurePolicy: "Fail",
  };
  const check = (verb: string, name = ""): string =>
    `authorizer.group('').resource('boats').name('${name}').check('${verb}')`;
  const policy = { group, version: "v1", resource: "validatingadmissionpolicies" };
  const binding = { group, version: "v1", resource: "validatingadmissionpolicybindings" };
  await server.client.create(policy, {
    apiVersion: `${group}/v1`,
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "late" },
    spec: {
      ...spec,
      matchConditions: [{ name: "others", expression: `${check("match")}.allowed()` }],
      variables: [{ name: "ill", expression: check("look", "ill") }],
      validations: [
        { expression: "variables.ill.errored() && variables.ill.error() == 'sick'" },
        {
          expression: `object.metadata.name == 'good' || ${check("refuse")}.reason() != 'asked of refuse'`,
          message: "no boats",
        },
      ],
    },
  } as KubeObject);
  await server.client.create(binding, {
    apiVersion: `${group}/v1`,
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: "late" },
    spec: { policyName: "late", validationActions: ["Deny"] },
  } as KubeObject);
  await eventually(() => expect(server.api.source.get(binding, "", "late")).toBeDefined());
  const client = createInProcessClient({ pipeline: server.api.pipeline, user: alice, env: server.env });
  const map = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" } });
  await client.create(CONFIG_MAPS, map("good"));
  await expect(client.create(CONFIG_MAPS, map("bad"))).rejects.toThrow("denied request: no boats");
  expect(questions.filter((text) => text === "alice look boats ill")).toHaveLength(2);
  await server.stop();
});

test("a request whose authorizer fails is an internal error, and one that it forbids is forbidden", async () => {
  let decision: AuthorizationDecision = { allowed: false, denied: true, reason: "", error: "sick" };
  const server = await startTestServer({
    authorizer: { authorize: ({ user }) => (user === alice ? Promise.resolve(decision) : ALLOWED) },
  });
  const client = createInProcessClient({ pipeline: server.api.pipeline, user: alice, env: server.env });
  const target = { name: "x", namespace: "a" };
  await expect(client.get(CONFIG_MAPS, target)).rejects.toMatchObject({ code: 500, reason: "InternalError" });
  decision = { allowed: false, denied: true, reason: "because" };
  await expect(client.get(CONFIG_MAPS, target)).rejects.toThrow(
    'configmaps "x" is forbidden: User "alice" cannot get resource "configmaps" in API group "" in the namespace "a": because',
  );
  await server.stop();
});
