// What a client is told when it asks for what cannot be, in upstream's words, and that nothing changes then.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLUSTER_ROLES, CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, type Pod } from "@coxswain/api";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import type { ApiRequest, ApiResult } from "../src/pipeline/contract.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ disabledAdmission: [] });
});

afterAll(async () => {
  await server.stop();
});

interface Raw {
  readonly ref: ResourceRef;
  readonly verb: ApiRequest["verb"];
  readonly name?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly options?: ApiRequest["options"];
  readonly user?: ApiRequest["user"];
}

function raw({ ref, body, ...rest }: Raw): Promise<ApiResult> {
  return server.api.pipeline.handle({
    user: { username: "admin", groups: ["system:masters"] },
    namespace: "default",
    name: "",
    subresource: "",
    contentType: "application/json",
    options: {},
    signal: new AbortController().signal,
    ...ref,
    ...rest,
    body: body === undefined ? undefined : Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
  });
}

const configMap = (name: string, extra: object = {}): KubeObject & Record<string, unknown> => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  ...extra,
});

const pod = (name: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { containers: [{ name: "c", image: "example.test/app:1" }] },
});

test("an update may leave out what identifies an object, and be refused where it says otherwise", async () => {
  const create = { ref: CONFIG_MAPS, verb: "create", body: configMap("same") } as const;
  await raw(create);
  const update = (metadata: object): Promise<ApiResult> =>
    raw({
      ref: CONFIG_MAPS,
      verb: "update",
      name: "same",
      body: configMap("same", { metadata: { name: "same", ...metadata } }),
    });
  await expect(update({ creationTimestamp: null, generateName: "other-" })).resolves.toMatchObject({
    object: { object: { metadata: { generateName: "other-", creationTimestamp: expect.stringContaining("Z") } } },
  });
  // The time is told in many forms, as by clients that read it as one of their own language's.
  const { creationTimestamp } = (await server.client.get(CONFIG_MAPS, { namespace: "default", name: "same" }))
    .metadata!;
  for (const other of ["2001-01-01T00:00:00Z", creationTimestamp?.replace("Z", ".000Z")]) {
    await expect(update({ creationTimestamp: other })).resolves.toMatchObject({
      object: { object: { metadata: { creationTimestamp } } },
    });
  }
  const refused = (field: string): object => ({ code: 422, message: expect.stringContaining(`metadata.${field}: `) });
  const old = "2001-01-01T00:00:00Z";
  await expect(update({ deletionTimestamp: old })).rejects.toMatchObject(refused("deletionTimestamp"));
  const seconds = update({ deletionGracePeriodSeconds: 3 });
  await expect(seconds).rejects.toMatchObject(refused("deletionGracePeriodSeconds"));
  await raw({ ref: CONFIG_MAPS, verb: "delete", name: "same" });
});

describe("requests that cannot be", () => {
  const cases: [string, Raw, number, string][] = [
    [
      "an unknown field under strict validation",
      { ref: CONFIG_MAPS, verb: "create", body: configMap("a", { foo: 1 }), options: { fieldValidation: "Strict" } },
      400,
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "foo"',
    ],
    [
      "fields written twice and unknown ones",
      {
        ref: CONFIG_MAPS,
        verb: "create",
        body: '{"nope":{"x":1,"x":2},"metadata":{"name":"a","name":"b","bad":1},"nope":2,"data":{"k":"v","k":"w"}}',
        options: { fieldValidation: "Strict" },
      },
      400,
      'strict decoding error: unknown field "nope", duplicate field "metadata.name", unknown field "metadata.bad", duplicate field "data.k"',
    ],
    [
      "another kind",
      { ref: CONFIG_MAPS, verb: "create", body: { apiVersion: "v1", kind: "Secret", metadata: { name: "a" } } },
      400,
      'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion',
    ],
    [
      "what is no JSON",
      { ref: NAMESPACES, verb: "create", namespace: "", body: "apiVersion: v1\nkind: Pod\nmetadata: {}\n" },
      400,
      "the object provided is unrecognized (must be of type Namespace): couldn't get version/kind; json parse error: invalid character 'a' looking for beginning of value (61706956657273696f6e3a2076310a6b696e643a20506f640a6d65746164 ...)",
    ],
    [
      "half an object",
      { ref: PODS, verb: "create", body: '{"kind":"Pod"' },
      400,
      `must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input ({"kind":"Pod")`,
    ],
    [
      "nothing",
      { ref: CONFIG_MAPS, verb: "create", body: "" },
      400,
      "json parse error: unexpected end of JSON input (<empty>)",
    ],
    [
      "a list of what would do",
      { ref: CONFIG_MAPS, verb: "create", body: "[{}]" },
      400,
      'json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" } (5b7b7d5d)',
    ],
    [
      "a kind that is no text",
      { ref: CONFIG_MAPS, verb: "create", body: '{"kind":1}' },
      400,
      'json: cannot unmarshal number into Go struct field .kind of type string ({"kind":1})',
    ],
    [
      "another namespace",
      { ref: CONFIG_MAPS, verb: "create", body: { ...configMap("a"), metadata: { name: "a", namespace: "other" } } },
      400,
      "the namespace of the provided object does not match the namespace sent on the request",
    ],
    [
      "an absent namespace",
      { ref: CONFIG_MAPS, verb: "create", namespace: "nowhere", body: configMap("a") },
      404,
      'namespaces "nowhere" not found',
    ],
    [
      "another name",
      { ref: CONFIG_MAPS, verb: "update", name: "b", body: configMap("a") },
      400,
      "the name of the object (a) does not match the name on the URL (b)",
    ],
    [
      "a bad name",
      { ref: CONFIG_MAPS, verb: "create", body: configMap("A_B") },
      422,
      'ConfigMap "A_B" is invalid: metadata.name: Invalid value: "A_B": a lowercase RFC 1123 subdomain must consist of',
    ],
    [
      "a resourceVersion on creation",
      { ref: CONFIG_MAPS, verb: "create", body: { ...configMap("a"), metadata: { name: "a", resourceVersion: "5" } } },
      400,
      "resourceVersion should not be set on objects to be created",
    ],
    [
      "server-side apply by nobody",
      { ref: CONFIG_MAPS, verb: "patch", name: "a", contentType: "application/apply-patch+yaml", body: "{}" },
      422,
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    ],
    [
      "a pod whose service account is absent",
      { ref: PODS, verb: "create", body: pod("p") },
      403,
      'pods "p" is forbidden: error looking up service account default/default: serviceaccount "default" not found',
    ],
    [
      "an object that is too large",
      {
        ref: CLUSTER_ROLES,
        verb: "create",
        namespace: "",
        body: {
          metadata: { name: "large" },
          rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"], resourceNames: ["a".repeat(1_600_000)] }],
        },
      },
      413,
      "Request entity too large",
    ],
    [
      "an unknown resource",
      { ref: { ...PODS, resource: "gizmos" }, verb: "list" },
      404,
      "the server could not find the requested resource",
    ],
    [
      "a field selector nobody knows",
      { ref: CONFIG_MAPS, verb: "list", options: { fieldSelector: "data.x=1" } },
      400,
      "field label not supported: data.x",
    ],
    [
      "a system namespace's end",
      { ref: NAMESPACES, verb: "delete", name: "default", namespace: "" },
      403,
      "this namespace may not be deleted",
    ],
    [
      "a bad dry run",
      { ref: CONFIG_MAPS, verb: "create", body: configMap("a"), options: { dryRun: ["Some"] } },
      422,
      'dryRun: Unsupported value: ["Some"]: supported values: "All"',
    ],
  ];

  const patches: [string, string, unknown, number, string][] = [
    [
      "a strategic patch that makes no object of the kind",
      "strategic-merge-patch",
      { metadata: { labels: "invalid" } },
      422,
      ' "" is invalid: patch: Invalid value: "map[metadata:map[labels:invalid]]": cannot restore map from string',
    ],
    [
      "a merge patch that makes no object of the kind",
      "merge-patch",
      { metadata: { labels: "invalid" } },
      422,
      '}": json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string',
    ],
    [
      "a strategic patch with an unknown field",
      "strategic-merge-patch",
      { foo: 1 },
      422,
      ' "" is invalid: patch: Invalid value: "map[foo:1]": strict decoding error: unknown field "foo"',
    ],
    [
      "a JSON patch that says something twice",
      "json-patch",
      '[{"op":"add","op":"add","path":"/data","value":{}}]',
      422,
      'strict decoding error: json patch duplicate field "[0].op"',
    ],
    [
      "a JSON patch that says what no operation says",
      "json-patch",
      '[{"op":"add","path":"/data","value":{},"foo":1,"op":"add"}]',
      422,
      'strict decoding error: json patch unknown field "[0].foo", json patch duplicate field "[0].op"',
    ],
    [
      "a merge patch for an object of another identity",
      "merge-patch",
      { metadata: { uid: "abc" } },
      422,
      'metadata.uid: Invalid value: "abc": field is immutable',
    ],
    ["a merge patch that is no JSON", "merge-patch", "{]", 400, "error decoding patch: invalid character ']' looking"],
    ["a strategic patch that is no JSON", "strategic-merge-patch", "{]", 400, "invalid character ']' looking"],
    [
      "a strategic patch that is a list",
      "strategic-merge-patch",
      [],
      400,
      "json: cannot unmarshal array into Go value of type map[string]interface {}",
    ],
  ];

  test.each(patches)("%s", async (_what, type, body, code, message) => {
    const unnamed = { ...configMap(""), metadata: { generateName: "patched-", namespace: "kube-system" } };
    const { metadata } = await server.client.create(CONFIG_MAPS, unnamed);
    const { name = "", namespace = "" } = metadata as { name?: string; namespace?: string };
    const contentType = `application/${type}+json`;
    const options = { fieldValidation: "Strict" } as const;
    const patch = raw({ ref: CONFIG_MAPS, verb: "patch", name, namespace, contentType, body, options });
    await expect(patch).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
  });

  test.each(cases)("%s", async (_what, request, code, message) => {
    await expect(raw(request)).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
    const { items } = await server.client.list(CONFIG_MAPS, { namespace: "default" });
    expect(items).toEqual([]);
  });

  test("unknown fields are told under Warn, and dropped", async () => {
    const result = await raw({
      ref: CONFIG_MAPS,
      verb: "create",
      body: configMap("warned", { foo: 1 }),
      options: { fieldValidation: "Warn" },
    });
    expect(result).toMatchObject({ type: "object", code: 201, warnings: ['unknown field "foo"'] });
    expect(
      JSON.stringify(await server.client.get(CONFIG_MAPS, { namespace: "default", name: "warned" })),
    ).not.toContain("foo");
    await server.client.delete(CONFIG_MAPS, { namespace: "default", name: "warned" });
  });

  test("a terminating namespace takes nothing new, and goes when it is finalized", async () => {
    const { client } = server;
    await client.create(NAMESPACES, { metadata: { name: "going" } });
    const marked = await client.delete(NAMESPACES, { name: "going" });
    expect(marked).toMatchObject({ status: { phase: "Terminating" }, spec: { finalizers: ["kubernetes"] } });
    await expect(
      raw({ ref: CONFIG_MAPS, verb: "create", namespace: "going", body: configMap("late") }),
    ).rejects.toMatchObject({
      code: 403,
      details: { causes: [{ reason: "NamespaceTerminating" }] },
      message: expect.stringContaining(
        "unable to create new content in namespace going because it is being terminated",
      ) as string,
    });
    const finalized = { ...marked!, spec: { finalizers: [] } };
    await client.update(NAMESPACES, finalized, { subresource: "finalize" });
    await expect(client.get(NAMESPACES, { name: "going" })).rejects.toThrow('namespaces "going" not found');
  });

  test("a pod is bound once, and gets its token volume", async () => {
    const { client } = server;
    await client.create(
      { ...PODS, resource: "serviceaccounts" },
      { metadata: { name: "default", namespace: "default" } },
    );
    const made = await client.create(PODS, pod("bound"));
    expect(made.spec?.volumes?.[0]?.name).toMatch(/^kube-api-access-[a-z0-9]{5}$/);
    expect(made.spec).toMatchObject({
      serviceAccountName: "default",
      priority: 0,
      preemptionPolicy: "PreemptLowerPriority",
    });
    expect(made.spec?.tolerations).toHaveLength(2);
    const own = { key: "wave", operator: "Exists", effect: "NoSchedule" };
    const updated = await client.update(PODS, { ...made, spec: { ...made.spec!, tolerations: [own] } });
    expect(updated.spec?.tolerations).toEqual([own, ...made.spec!.tolerations!]);
    const bind = (node: string): Promise<unknown> =>
      raw({
        ref: PODS,
        verb: "create",
        name: "bound",
        subresource: "binding",
        body: { metadata: { name: "bound" }, target: { kind: "Node", name: node } },
      });
    await bind("n1");
    await expect(bind("n2")).rejects.toMatchObject({
      reason: "Conflict",
      message: 'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"',
    });
    const bound = await client.get<Pod>(PODS, { namespace: "default", name: "bound" });
    expect(bound.status?.conditions?.[0]).toMatchObject({ type: "PodScheduled", status: "True" });
    const node = { username: "system:node:n2", groups: ["system:nodes"] };
    await expect(raw({ ref: PODS, verb: "delete", name: "bound", user: node })).rejects.toMatchObject({
      reason: "Forbidden",
    });
    const evicted = await raw({
      ref: PODS,
      verb: "create",
      name: "bound",
      subresource: "eviction",
      body: { metadata: { name: "bound" } },
    });
    expect(evicted).toMatchObject({ type: "status", code: 201 });
    const going = await client.get(PODS, { namespace: "default", name: "bound" });
    expect(going.metadata?.deletionGracePeriodSeconds).toBe(30);
    const gone = await client.delete(PODS, { namespace: "default", name: "bound" }, { gracePeriodSeconds: 0 });
    expect(gone?.metadata?.deletionGracePeriodSeconds).toBe(0);
    await expect(client.get(PODS, { namespace: "default", name: "bound" })).rejects.toMatchObject({
      reason: "NotFound",
    });
  });

  test("a lost store is a clear 503 and 504", async () => {
    const { env, client } = server;
    // Without a limit: what the server writes on its own account meets them too.
    const fault = { failpoint: "storage.commit.reply", action: "error", delayMs: 0, probability: 1, count: 0 } as const;
    env.failpoints.inject({ ...fault, id: "reply" });
    const object = { ...configMap("lost"), metadata: { name: "lost", namespace: "default" } };
    await expect(client.create(CONFIG_MAPS, object)).rejects.toMatchObject({ reason: "Timeout", code: 504 });
    env.failpoints.heal();
    env.failpoints.inject({ ...fault, id: "commit", failpoint: "storage.commit" });
    await expect(client.create(CONFIG_MAPS, object)).rejects.toMatchObject({
      reason: "ServiceUnavailable",
      code: 503,
      details: { retryAfterSeconds: 1 },
    });
    env.failpoints.heal();
  });

  test("scale is seen and set through its own document", async () => {
    const { client } = server;
    const labels = { app: "d" };
    await client.create(DEPLOYMENTS, {
      metadata: { name: "d", namespace: "default" },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod("x").spec } },
    } as KubeObject);
    const target = { namespace: "default", name: "d" };
    const scale = await client.get<KubeObject & { spec: { replicas: number } }>(DEPLOYMENTS, target, {
      subresource: "scale",
    });
    expect(scale).toMatchObject({ kind: "Scale", spec: { replicas: 2 }, status: { selector: "app=d" } });
    scale.spec.replicas = 5;
    await client.update(DEPLOYMENTS, scale, { subresource: "scale" });
    expect(await client.get(DEPLOYMENTS, target)).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 5 } });
  });
});

test("owners that are named twice are taken out, with a warning", async () => {
  const owner = { apiVersion: "v1", kind: "ConfigMap", name: "o", uid: "u1" };
  const other = { ...owner, name: "p" };
  const metadata = { name: "owned", ownerReferences: [owner, other, { ...owner }] };
  const made = await raw({ ref: CONFIG_MAPS, verb: "create", body: configMap("owned", { metadata }) });
  const told = (result: ApiResult) =>
    result.type === "object"
      ? { owners: result.object.object.metadata?.ownerReferences, warnings: result.warnings }
      : {};
  const tail =
    "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u1";
  expect(told(made)).toEqual({
    owners: [owner, other],
    warnings: [`.metadata.ownerReferences contains duplicate entries; ${tail}`],
  });
  const patched = await raw({
    ref: CONFIG_MAPS,
    verb: "patch",
    name: "owned",
    body: { metadata: { ownerReferences: [owner, owner] } },
    contentType: "application/merge-patch+json",
  });
  expect(told(patched)).toEqual({
    owners: [owner],
    warnings: [`.metadata.ownerReferences contains duplicate entries after mutating admission happens; ${tail}`],
  });
});
