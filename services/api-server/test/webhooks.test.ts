// Admission webhooks over real HTTPS on loopback: what they are asked, what their answers do, in which order, and what happens
// when they refuse, fail, are slow or talk nonsense.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { CONFIG_MAPS, NAMESPACES, PODS, SERVICES, type ConfigMap } from "@coxswain/api";
import type { KubeObject, ResourceRef, StatusError } from "@coxswain/apimachinery";
import { certificateFiles } from "@coxswain/component-base/identity/pki";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly name?: string;
    readonly namespace?: string;
    readonly object: (ConfigMap & KubeObject) | null;
    readonly oldObject: KubeObject | null;
    readonly kind: object;
    readonly resource: object;
    readonly userInfo: { readonly username: string; readonly groups: readonly string[] };
    readonly dryRun: boolean;
    readonly options: { readonly kind: string };
  };
}

type Answer = Record<string, unknown>;
type Handler = (review: Review, response: ServerResponse) => Answer | undefined;

const configurations = (kind: "Mutating" | "Validating"): ResourceRef => ({
  group: "admissionregistration.k8s.io",
  version: "v1",
  resource: `${kind.toLowerCase()}webhookconfigurations`,
});

const handlers = new Map<string, Handler>();
const asked: { readonly path: string; readonly review: Review }[] = [];
let server: TestServer;
let remote: Server;
let caBundle: string;
const made: { ref: ResourceRef; name: string }[] = [];

async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = "";
  for await (const chunk of incoming) text += String(chunk);
  const path = (incoming.url ?? "").split("?")[0] ?? "";
  const review = JSON.parse(text) as Review;
  asked.push({ path, review });
  const said = handlers.get(path)?.(review, response);
  if (said === undefined) return;
  const { apiVersion, kind, request } = review;
  response.end(JSON.stringify({ apiVersion, kind, response: { uid: request.uid, ...said } }));
}

const patch = (...operations: object[]): Answer => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});

/** Registers webhooks for ConfigMaps of the namespace `hooked`, one a handler. */
async function register(
  type: "Mutating" | "Validating",
  name: string,
  webhooks: readonly { path: string; handler: Handler; more?: object }[],
): Promise<void> {
  const { port } = remote.address() as AddressInfo;
  const rules = [{ operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }];
  for (const { path, handler } of webhooks) handlers.set(path, handler);
  await server.component.server.loopback.create(configurations(type), {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: `${type}WebhookConfiguration`,
    metadata: { name },
    webhooks: webhooks.map(({ path, more }) => ({
      name: `${path.slice(1)}.example.com`,
      clientConfig: { service: { namespace: "shop", name: "flunders", path, port }, caBundle },
      rules,
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "hooked" } },
      ...more,
    })),
  } as KubeObject);
  made.push({ ref: configurations(type), name });
  await eventually(() => expect(server.component.server.source.get(configurations(type), "", name)).toBeDefined());
}

/** The api-server takes note of a configuration that goes a moment after it has answered. */
async function unregisterAll(): Promise<void> {
  const { loopback, source } = server.component.server;
  for (const { ref, name } of made.splice(0)) {
    await loopback.delete(ref, { name });
    await eventually(() => expect(source.get(ref, "", name)).toBeUndefined());
  }
}

const configMap = (name: string, data: Record<string, string> = {}, namespace = "hooked"): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace, labels: { name } },
  data,
});

/** A write whose client goes away once the webhook has been called; resolves once the call has ended too. */
async function abandon(path: string, type: "Mutating" | "Validating", more: object): Promise<void> {
  const called = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const handler: Handler = (_review, response) => {
    response.once("close", () => ended.resolve());
    called.resolve();
    return undefined;
  };
  await register(type, path.slice(1), [{ path, handler, more: { timeoutSeconds: 30, ...more } }]);
  const agent = new Agent({ connect: { ...server.tls("admin"), checkServerIdentity: () => undefined } as never });
  const gone = new AbortController();
  const asking = request(`${server.url}/api/v1/namespaces/hooked/configmaps`, {
    method: "POST",
    dispatcher: agent,
    signal: gone.signal,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(configMap("abandoned")),
  });
  await called.promise;
  gone.abort();
  await expect(asking).rejects.toThrow();
  await ended.promise;
  await agent.close();
}

const create = (name: string, data?: Record<string, string>, namespace?: string): Promise<ConfigMap> =>
  server.component.server.loopback.create<ConfigMap>(CONFIG_MAPS, configMap(name, data, namespace));

async function refusal(creating: Promise<unknown>): Promise<StatusError> {
  return await creating.then(
    () => expect.fail("it was let through"),
    (error: unknown) => error as StatusError,
  );
}

beforeAll(async () => {
  await prepareKubectl();
  server = await startTestServer(["ServiceAccount"]);
  remote = createServer(serverTlsOptions(server.tls("api-server")), (incoming, response) => {
    void answer(incoming, response);
  });
  await new Promise<void>((resolve) => remote.listen(0, "localhost", resolve));
  caBundle = readFileSync(certificateFiles(server.dir, "admin").caFile).toString("base64");
  const { loopback } = server.component.server;
  for (const name of ["shop", "hooked", "other"]) {
    await loopback.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  const spec = { type: "ExternalName", externalName: "localhost" };
  const metadata = { name: "flunders", namespace: "shop" };
  await loopback.create(SERVICES, { apiVersion: "v1", kind: "Service", metadata, spec } as KubeObject);
});

afterEach(async () => {
  await unregisterAll();
  handlers.clear();
  asked.length = 0;
});

test.each([
  ["Mutating", "Fail"],
  ["Validating", "Fail"],
  ["Mutating", "Ignore"],
  ["Validating", "Ignore"],
] as const)(
  "a %s webhook with the policy %s is asked no more for who went away, and nothing is done",
  async (type, policy) => {
    await abandon("/waiting", type, { failurePolicy: policy });
    await unregisterAll();
    await create(`after-${type}-${policy}`.toLowerCase());
    const target = { namespace: "hooked", name: "abandoned" };
    await expect(server.component.server.loopback.get(CONFIG_MAPS, target)).rejects.toMatchObject({
      reason: "NotFound",
    });
  },
);

afterAll(async () => {
  await server.close();
  remote.closeAllConnections();
  await new Promise((resolve) => remote.close(resolve));
});

test("a webhook is told who asks for what, and its patch is stored, with defaults and owner", async () => {
  await register("Mutating", "adds", [
    { path: "/adds", handler: () => patch({ op: "add", path: "/data/added", value: "yes" }) },
  ]);
  const created = await create("one", { own: "1" });
  expect(created.data).toEqual({ own: "1", added: "yes" });
  const [{ review } = expect.fail("nobody was asked")] = asked;
  expect(review).toMatchObject({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      kind: { group: "", version: "v1", kind: "ConfigMap" },
      resource: { group: "", version: "v1", resource: "configmaps" },
      name: "one",
      namespace: "hooked",
      operation: "CREATE",
      userInfo: { username: "system:apiserver" },
      object: { apiVersion: "v1", kind: "ConfigMap", data: { own: "1" } },
      oldObject: null,
      dryRun: false,
      options: { kind: "CreateOptions", apiVersion: "meta.k8s.io/v1" },
    },
  });
});

test("updates and deletions are asked about with the old object", async () => {
  const created = await create("two");
  await register("Validating", "looks", [{ path: "/looks", handler: () => ({ allowed: true }) }]);
  const { loopback } = server.component.server;
  await loopback.update(CONFIG_MAPS, { ...created, data: { a: "b" } });
  await loopback.delete(CONFIG_MAPS, { namespace: "hooked", name: "two" });
  expect(
    asked.map(({ review: { request } }) => [request.operation, request.object?.data, request.oldObject !== null]),
  ).toEqual([
    ["UPDATE", { a: "b" }, true],
    ["DELETE", undefined, true],
  ]);
});

test("selectors, rules and conditions choose what a webhook is asked about", async () => {
  const allow: Handler = () => ({ allowed: true });
  await register("Validating", "choosy", [
    { path: "/all", handler: allow },
    { path: "/labelled", handler: allow, more: { objectSelector: { matchLabels: { name: "three" } } } },
    {
      path: "/secrets",
      handler: allow,
      more: { rules: [{ operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["secrets"] }] },
    },
    {
      path: "/condition",
      handler: allow,
      more: { matchConditions: [{ name: "big", expression: "object.data.size() > 1 && request.name != 'x'" }] },
    },
    {
      path: "/cluster",
      handler: allow,
      more: {
        rules: [{ operations: ["CREATE"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"], scope: "Cluster" }],
      },
    },
  ]);
  await create("three", { a: "1", b: "2" });
  expect(asked.map(({ path }) => path).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    "/all",
    "/condition",
    "/labelled",
  ]);
  asked.length = 0;
  await create("four", { a: "1" });
  expect(asked.map(({ path }) => path)).toEqual(["/all"]);
  asked.length = 0;
  await create("three", {}, "other");
  expect(asked).toEqual([]);
});

test("a refusal reads as upstream's, with the webhook's own code", async () => {
  await register("Validating", "no", [
    { path: "/no", handler: () => ({ allowed: false, status: { message: "not today", code: 418 } }) },
  ]);
  const error = await refusal(create("five"));
  expect([error.code, error.message]).toEqual([
    418,
    'admission webhook "no.example.com" denied the request: not today',
  ]);
  handlers.set("/no", () => ({ allowed: false }));
  const bare = await refusal(create("five"));
  expect([bare.code, bare.message]).toEqual([
    400,
    'admission webhook "no.example.com" denied the request without explanation',
  ]);
  const { err } = await kubectl(server, ["create", "configmap", "five", "-n", "hooked"]);
  expect(err).toContain('admission webhook "no.example.com" denied the request without explanation');
});

test("warnings reach kubectl", async () => {
  await register("Validating", "warns", [
    { path: "/warns", handler: () => ({ allowed: true, warnings: ["think again"] }) },
  ]);
  const { err, code } = await kubectl(server, ["create", "configmap", "six", "-n", "hooked"]);
  expect([code, err]).toEqual([0, "Warning: think again\n"]);
});

test("webhooks change the object one after the other, and are asked again where they wish and it has changed", async () => {
  const count: Handler = ({ request }) =>
    patch({ op: "add", path: "/data/count", value: String(Number(request.object?.data?.["count"] ?? 0) + 1) });
  await register("Mutating", "b-second", [
    { path: "/late", handler: () => patch({ op: "add", path: "/data/late", value: "yes" }) },
  ]);
  await register("Mutating", "a-first", [
    { path: "/counter", handler: count, more: { reinvocationPolicy: "IfNeeded" } },
    { path: "/once", handler: count },
  ]);
  const { data } = await create("seven", { own: "1" });
  expect(asked.map(({ path }) => path)).toEqual(["/counter", "/once", "/late", "/counter"]);
  expect(data).toEqual({ own: "1", count: "3", late: "yes" });
});

test("a webhook that fails refuses or is passed over, by its policy", async () => {
  const broken: Handler = (_review, response) => void response.writeHead(500).end("oops");
  await register("Validating", "fails", [{ path: "/fails", handler: broken }]);
  const error = await refusal(create("eight"));
  expect([error.code, error.reason, error.message]).toEqual([
    500,
    "InternalError",
    'Internal error occurred: failed calling webhook "fails.example.com": failed to call webhook: an error on the server ("oops") has prevented the request from succeeding',
  ]);
  await unregisterAll();
  await register("Validating", "fails", [{ path: "/fails", handler: broken, more: { failurePolicy: "Ignore" } }]);
  await create("eight");
});

test("a webhook that does not answer in time fails", async () => {
  await register("Validating", "slow", [{ path: "/slow", handler: () => undefined, more: { timeoutSeconds: 1 } }]);
  const { message } = await refusal(create("nine"));
  expect(message).toMatch(
    /failed to call webhook: Post "https:\/\/flunders\.shop\.svc:\d+\/slow\?timeout=1s": context deadline exceeded$/,
  );
});

test.each([
  ["another uid", { uid: "x", allowed: true }, "expected response.uid="],
  [
    "a patch of another type",
    { allowed: true, patch: "e30=", patchType: "Merge" },
    'invalid response.patchType of "Merge"',
  ],
  ["a patch that does not apply", patch({ op: "remove", path: "/data/none" }), "applying its patch"],
  ["a patch that makes nonsense", patch({ op: "add", path: "/data", value: 7 }), "applying its patch"],
])("nonsense is refused: %s", async (_name, said, message) => {
  await register("Mutating", "nonsense", [{ path: "/nonsense", handler: () => said }]);
  const error = await refusal(create("ten"));
  expect([error.code, error.message]).toEqual([500, expect.stringContaining(message) as unknown]);
});

test("nobody behind the name is a failure with the address", async () => {
  await register("Validating", "gone", [
    {
      path: "/gone",
      handler: () => ({ allowed: true }),
      more: { clientConfig: { service: { namespace: "shop", name: "nobody", path: "/gone" }, caBundle } },
    },
  ]);
  const { message } = await refusal(create("eleven"));
  expect(message).toContain(
    'failed calling webhook "gone.example.com": failed to call webhook: Post "https://nobody.shop.svc:443/gone?timeout=10s": service/nobody in "shop" is not present',
  );
});

test("a certificate that is not of the bundle is not believed", async () => {
  const { port } = remote.address() as AddressInfo;
  await register("Validating", "stranger", [
    {
      path: "/stranger",
      handler: () => ({ allowed: true }),
      more: { clientConfig: { url: `https://localhost:${port}/stranger` } },
    },
  ]);
  const { message } = await refusal(create("twelve"));
  expect(message).toContain("failed to call webhook");
  expect(asked).toEqual([]);
});

test("webhooks cannot keep their own configuration from being taken away", async () => {
  await register("Validating", "jailer", [
    {
      path: "/jailer",
      handler: () => ({ allowed: false }),
      more: {
        namespaceSelector: {},
        rules: [{ operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"] }],
      },
    },
  ]);
  expect((await refusal(create("thirteen"))).message).toContain("denied the request");
  await unregisterAll();
  await create("thirteen");
});

test("a dry run says so", async () => {
  await register("Validating", "dry", [{ path: "/dry", handler: () => ({ allowed: true }) }]);
  await server.component.server.loopback.create(CONFIG_MAPS, configMap("fourteen"), { dryRun: true });
  expect(asked[0]?.review.request.dryRun).toBe(true);
});

test("connections and evictions are asked about, with what they are asked for", async () => {
  const { loopback } = server.component.server;
  await loopback.create(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "guarded", namespace: "hooked" },
    spec: { containers: [{ name: "main", image: "x" }] },
  });
  const rules = [
    { operations: ["CONNECT"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods/attach", "pods/exec"] },
    { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods/eviction"] },
  ];
  await register("Validating", "gate", [
    { path: "/gate", handler: () => ({ allowed: false, status: { message: "closed" } }), more: { rules } },
  ]);
  const said = 'admission webhook "gate.example.com" denied the request: closed';
  const exec = await kubectl(server, ["exec", "-n", "hooked", "guarded", "--", "true"]);
  expect([exec.code, exec.err]).toEqual([1, expect.stringContaining(said) as unknown]);
  const attach = await kubectl(server, ["attach", "-n", "hooked", "guarded"]);
  expect([attach.code, attach.err]).toEqual([1, expect.stringContaining("closed") as unknown]);
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "guarded", namespace: "hooked" } };
  const target = { namespace: "hooked", name: "guarded", subresource: "eviction" };
  expect((await refusal(loopback.create(PODS, eviction, target))).message).toBe(said);
  const seen = asked.map(({ review: { request } }) => [request.operation, request.kind, request.object]);
  expect(seen).toContainEqual([
    "CONNECT",
    { group: "", version: "v1", kind: "PodExecOptions" },
    expect.objectContaining({ kind: "PodExecOptions", command: ["true"], stdout: true }),
  ]);
  expect(seen.at(-1)).toEqual([
    "CREATE",
    { group: "policy", version: "v1", kind: "Eviction" },
    expect.objectContaining({ kind: "Eviction" }),
  ]);
});

const podOf = (name: string): KubeObject & { spec: object } => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "hooked" },
  spec: { containers: [{ name: "main", image: "x" }] },
});

const seenOf = (index: number): object | undefined => asked[index]?.review.request;

test("a patch is an update, a collection has no name, a Namespace lies in itself, and a connection has no options", async () => {
  const { loopback } = server.component.server;
  await create("fifteen");
  await loopback.create(NAMESPACES, { metadata: { name: "apart" } });
  await loopback.create(PODS, podOf("entered"));
  const rules = [
    { operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps", "namespaces", "pods/exec"] },
  ];
  const more = {
    rules,
    namespaceSelector: {
      matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "In", values: ["hooked", "apart"] }],
    },
  };
  await register("Validating", "notes", [
    { path: "/notes", handler: () => ({ allowed: true, warnings: ["noted"] }), more },
  ]);
  const at = { namespace: "hooked", name: "fifteen" };
  await loopback.patch(CONFIG_MAPS, at, "application/merge-patch+json", { data: { a: "b" } });
  await loopback.patch(NAMESPACES, { name: "apart" }, "application/merge-patch+json", {
    metadata: { labels: { a: "b" } },
  });
  const cleared = await kubectl(server, ["delete", "configmaps", "-n", "hooked", "--all"]);
  expect(cleared.err).toContain("Warning: noted");
  await kubectl(server, ["exec", "-n", "hooked", "entered", "--", "true"]);
  const options = { kind: "UpdateOptions", apiVersion: "meta.k8s.io/v1" };
  expect(seenOf(0)).toMatchObject({ operation: "UPDATE", name: "fifteen", namespace: "hooked", options });
  expect(seenOf(1)).toMatchObject({ operation: "UPDATE", name: "apart", namespace: "apart", options });
  expect(asked.at(-1)?.review.request).toMatchObject({ operation: "CONNECT", name: "entered", options: null });
});

test("who deletes a collection is asked about each object, but names none", async () => {
  const { loopback } = server.component.server;
  for (const name of ["sixteen", "seventeen"]) await create(name);
  await register("Validating", "each", [{ path: "/each", handler: () => ({ allowed: true }) }]);
  await loopback.deleteCollection(CONFIG_MAPS, { namespace: "hooked" });
  const deletions = asked.map(({ review: { request } }) => [
    request.operation,
    request.name,
    request.oldObject?.metadata?.name,
  ]);
  expect(deletions).toContainEqual(["DELETE", undefined, "sixteen"]);
  expect(deletions).toContainEqual(["DELETE", undefined, "seventeen"]);
});

test("who is refused hears the warnings, too", async () => {
  await register("Mutating", "hints", [
    { path: "/hints", handler: () => ({ allowed: true, warnings: ["mind the step"] }) },
  ]);
  await register("Validating", "shuts", [{ path: "/shuts", handler: () => ({ allowed: false }) }]);
  const { err, code } = await kubectl(server, ["create", "configmap", "eighteen", "-n", "hooked"]);
  expect([code, err]).toEqual([1, expect.stringMatching(/^Warning: mind the step\n.*denied/) as unknown]);
});

test("a Scale, a Binding and a TokenRequest are asked about as such, and are taken as webhooks change them", async () => {
  const { loopback } = server.component.server;
  for (const name of ["bound", "tied"]) await loopback.create(PODS, podOf(name));
  const controllers: ResourceRef = { group: "", version: "v1", resource: "replicationcontrollers" };
  await loopback.create(controllers, {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: { name: "scaled", namespace: "hooked" },
    spec: { replicas: 1, selector: { a: "b" }, template: { metadata: { labels: { a: "b" } }, spec: podOf("x").spec } },
  } as KubeObject);
  const resources = ["replicationcontrollers/scale", "pods/binding", "bindings", "serviceaccounts/token"];
  const rules = [{ operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources }];
  const change: Handler = ({ request }) => {
    const { kind } = request.kind as { kind: string };
    if (kind === "Scale") return patch({ op: "replace", path: "/spec/replicas", value: 3 });
    if (kind === "Binding") return patch({ op: "add", path: "/metadata/annotations", value: { hooked: "yes" } });
    return { allowed: true };
  };
  await register("Mutating", "changes", [{ path: "/changes", handler: change, more: { rules } }]);
  await loopback.patch(
    controllers,
    { namespace: "hooked", name: "scaled" },
    "application/merge-patch+json",
    { spec: { replicas: 2 } },
    { subresource: "scale" },
  );
  expect(await loopback.get(controllers, { namespace: "hooked", name: "scaled" })).toMatchObject({
    spec: { replicas: 3 },
  });
  const binding = (name: string): KubeObject =>
    ({
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace: "hooked" },
      target: { name: "n" },
    }) as KubeObject;
  await loopback.create(PODS, binding("bound"), { namespace: "hooked", name: "bound", subresource: "binding" });
  await loopback.create({ group: "", version: "v1", resource: "bindings" }, binding("tied"));
  for (const name of ["bound", "tied"]) {
    expect(await loopback.get(PODS, { namespace: "hooked", name })).toMatchObject({
      metadata: { annotations: { hooked: "yes" } },
      spec: { nodeName: "n" },
    });
  }
  const accounts: ResourceRef = { group: "", version: "v1", resource: "serviceaccounts" };
  await loopback.create(accounts, { metadata: { name: "bearer", namespace: "hooked" } });
  const token = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", metadata: {}, spec: {} };
  await loopback.create(accounts, token, { namespace: "hooked", name: "bearer", subresource: "token" });
  const seen = asked.map(({ review: { request } }) => [
    request.operation,
    (request.resource as { resource: string }).resource,
    (request.kind as { kind: string }).kind,
    request.object?.kind,
    request.oldObject?.kind,
  ]);
  expect(seen).toEqual([
    ["UPDATE", "replicationcontrollers", "Scale", "Scale", "Scale"],
    ["CREATE", "pods", "Binding", "Binding", undefined],
    ["CREATE", "bindings", "Binding", "Binding", undefined],
    ["CREATE", "serviceaccounts", "TokenRequest", "TokenRequest", undefined],
  ]);
});

test("reviews are asked about", async () => {
  const rules = [{ operations: ["CREATE"], apiGroups: ["*"], apiVersions: ["v1"], resources: ["tokenreviews"] }];
  const more = { rules, namespaceSelector: {} };
  await register("Validating", "reviews", [{ path: "/reviews", handler: () => ({ allowed: false }), more }]);
  const reviews: ResourceRef = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };
  const review = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    metadata: { name: "named" },
    spec: { token: "x" },
  };
  expect((await refusal(server.component.server.loopback.create(reviews, review))).message).toContain("denied");
  expect(seenOf(0)).toMatchObject({ operation: "CREATE", name: "named", object: { kind: "TokenReview" } });
});
