// Admission webhooks, asked by URL over HTTPS: what they may change, refuse and not be asked about.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared, sharedCluster } from "./conforms.ts";
import { discovered, retryOnConflict } from "./lifecycle.ts";
import { ApiError, at, type Resource, type Thing } from "./rest-client.ts";
import type { SharedCluster } from "./shared-cluster.ts";
import { type Part, pod, readyPods } from "./workload.ts";

interface Request {
  readonly uid: string;
  readonly operation: string;
  readonly object: Thing | null;
}

const allow = {};
const deny = (message: string): Part => ({ allowed: false, status: { message, reason: "Forbidden", code: 403 } });
const patch = (operations: readonly Part[]): Part => ({
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});
const data = (request: Request): Record<string, string> => at<Record<string, string>>(request.object, "data") ?? {};
const unwanted = (request: Request): boolean => data(request)["webhook-e2e-test"] === "webhook-disallow";

/** What the webhook at each path says; undefined: nothing, ever. */
const ANSWERS: Readonly<Record<string, (request: Request) => Part | undefined>> = {
  "/deny": (request) => (unwanted(request) ? deny("the configmap contains unwanted key and value") : allow),
  "/deny-pod": ({ object }) =>
    object?.metadata.name?.startsWith("disallowed") === true ? deny("the pod contains unwanted label") : allow,
  "/hang": () => undefined,
  "/deny-all": () => deny("denied by the webhook"),
  "/attach": () => deny("attaching to pod 'to-be-attached-pod' is not allowed"),
  "/stage-1": (request) =>
    data(request)["mutation-start"] === "yes"
      ? patch([{ op: "add", path: "/data/mutation-stage-1", value: "yes" }])
      : allow,
  "/stage-2": (request) =>
    data(request)["mutation-stage-1"] === "yes"
      ? patch([{ op: "add", path: "/data/mutation-stage-2", value: "yes" }])
      : allow,
  "/init-container": () =>
    patch([
      {
        op: "add",
        path: "/spec/initContainers",
        value: [{ name: "webhook-added-init-container", image: "example.test/init:1", resources: {} }],
      },
    ]),
};

const server = createServer();
let base = "";
let caBundle = "";

beforeAll(async () => {
  const file = (name: string): Buffer => readFileSync(path.join(sharedCluster().place.pki, name));
  server.setSecureContext({ cert: file("api-server.crt"), key: file("api-server.key") });
  caBundle = file("ca.crt").toString("base64");
  server.on("request", (incoming, response) => {
    let text = "";
    incoming.on("data", (chunk: Buffer) => (text += chunk.toString()));
    incoming.on("end", () => {
      const review = JSON.parse(text) as { apiVersion: string; request: Request };
      const said = ANSWERS[(incoming.url ?? "").split("?")[0] ?? ""]?.(review.request);
      if (said === undefined) return;
      const { apiVersion, request } = review;
      const body = { apiVersion, kind: "AdmissionReview", response: { uid: request.uid, allowed: true, ...said } };
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const GROUP = "admissionregistration.k8s.io/v1";
type Kind = "mutating" | "validating";
const configurations = (c: SharedCluster, kind: Kind): Resource =>
  c.api.resource(GROUP, `${kind}webhookconfigurations`);
const rule = (operations: readonly string[], apiGroups: string, resources: string, apiVersions = "v1"): Part => ({
  operations,
  apiGroups: [apiGroups],
  apiVersions: [apiVersions],
  resources: [resources],
});

let counter = 0;
/** A namespace that only the test's own webhooks look at. */
async function ground(c: SharedCluster): Promise<{ ns: string; label: string }> {
  const label = `hooks-${process.pid}-${++counter}`;
  return { ns: await c.namespace("webhook", { hooks: label }), label };
}

const hook = (label: string, at: string, rules: readonly Part[], more: Part = {}): Part => ({
  name: `w${++counter}.example.com`,
  clientConfig: { url: `${base}${at}`, caBundle },
  rules,
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
  failurePolicy: "Fail",
  namespaceSelector: { matchLabels: { hooks: label } },
  ...more,
});

async function configure(
  c: SharedCluster,
  kind: Kind,
  name: string,
  webhooks: readonly Part[],
  labels: Record<string, string> = {},
): Promise<void> {
  await configurations(c, kind).create({ metadata: { name, labels }, webhooks });
}

/** What was refused, and with which words; "" where it was not. */
async function refusal(asked: Promise<unknown>): Promise<string> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof ApiError) return error.status.message ?? "";
    throw error;
  }
  return "";
}

const MARKED = { data: { "webhook-e2e-test": "webhook-disallow" } };
const refused = (make: () => Promise<unknown>, text: string): Promise<string> =>
  eventually(
    () => refusal(make()),
    (said) => said.includes(text),
    20_000,
  );
const maps = (c: SharedCluster, ns: string): Resource => c.api.resource("v1", "configmaps", ns);
const dry = { dryRun: "All" };

const webhook = conformsShared("admission webhook");

webhook("admissionregistration group/version/resources in discovery", async ({ api }) => {
  for (const [plural, kind] of [
    ["mutatingwebhookconfigurations", "MutatingWebhookConfiguration"],
    ["validatingwebhookconfigurations", "ValidatingWebhookConfiguration"],
  ] as const)
    await discovered(api, GROUP, { plural, kind, namespaced: false });
});

webhook("denies bad pods/configmaps, hanging webhook times out, namespaceSelector exempts", async (c) => {
  const { ns, label } = await ground(c);
  const pods = c.api.resource("v1", "pods", ns);
  await configure(c, "validating", label, [
    hook(label, "/deny-pod", [rule(["CREATE"], "", "pods")]),
    hook(label, "/deny", [rule(["CREATE", "UPDATE"], "", "configmaps")]),
    hook(label, "/hang", [rule(["CREATE"], "", "secrets")], { timeoutSeconds: 1 }),
  ]);
  await refused(
    () => maps(c, ns).create({ metadata: { name: "marker" }, ...MARKED }, dry),
    "the configmap contains unwanted key and value",
  );
  expect(await refusal(pods.create(pod("disallowed-pod")))).toMatch(
    /^admission webhook "w\d+\.example\.com" denied the request: the pod contains unwanted label$/,
  );
  const slow = await refusal(c.api.resource("v1", "secrets", ns).create({ metadata: { name: "s" } }));
  expect(slow).toMatch(/failed calling webhook .*(deadline|timeout|timed out)/i);
  await maps(c, ns).create({ metadata: { name: "good" }, data: { fine: "yes" } });
  for (const kind of ["merge", "json"] as const) {
    const body = kind === "merge" ? MARKED : [{ op: "add", path: "/data/webhook-e2e-test", value: "webhook-disallow" }];
    expect(await refusal(maps(c, ns).patch("good", body, kind))).toContain(
      "the configmap contains unwanted key and value",
    );
  }
  const exempt = await c.namespace("exempt");
  await maps(c, exempt).create({ metadata: { name: "bad" }, ...MARKED });
  await configurations(c, "validating").delete(label);
});

webhook("update/patch rules switches denial on CREATE off and on", async (c) => {
  const { ns, label } = await ground(c);
  await configure(c, "validating", label, [hook(label, "/deny", [rule(["CREATE"], "", "configmaps")])]);
  const make = (): Promise<Thing> => maps(c, ns).create({ metadata: { name: "m" }, ...MARKED }, dry);
  const allowed = (): Promise<string> =>
    eventually(
      () => refusal(make()),
      (said) => said === "",
    );
  await refused(make, "unwanted");
  await retryOnConflict(async () => {
    const now = await configurations(c, "validating").get(label);
    const [first] = at<Part[]>(now, "webhooks") ?? [];
    return configurations(c, "validating").replace({
      ...now,
      webhooks: [{ ...first, rules: [rule(["UPDATE"], "", "configmaps")] }],
    });
  });
  await allowed();
  const back = [{ op: "replace", path: "/webhooks/0/rules/0/operations", value: ["CREATE"] }];
  await configurations(c, "validating").patch(label, back, "json");
  await refused(make, "unwanted");
  await configurations(c, "validating").delete(label);
  await allowed();
});

const MUTATES = { data: { "mutation-start": "yes" } };

webhook("two mutating webhooks applied in order on a ConfigMap", async (c) => {
  const { ns, label } = await ground(c);
  const rules = [rule(["CREATE"], "", "configmaps")];
  await configure(c, "mutating", label, [hook(label, "/stage-1", rules), hook(label, "/stage-2", rules)]);
  await eventually(
    () => maps(c, ns).create({ metadata: { name: "m" }, ...MUTATES }, dry),
    (now) => Object.keys(at<object>(now, "data") ?? {}).length === 3,
  );
  await maps(c, ns).create({ metadata: { name: "m" }, ...MUTATES });
  expect((await maps(c, ns).get("m"))["data"]).toEqual({
    "mutation-start": "yes",
    "mutation-stage-1": "yes",
    "mutation-stage-2": "yes",
  });
  await configurations(c, "mutating").delete(label);
});

webhook("10 mutating webhooks found by label, mutate; gone after deletecollection", async (c) => {
  const { ns, label } = await ground(c);
  const rules = [rule(["CREATE"], "", "configmaps")];
  const names = Array.from({ length: 10 }, (_, n) => `${label}-${n}`);
  for (const name of names) await configure(c, "mutating", name, [hook(label, "/stage-1", rules)], { set: label });
  const listed = await configurations(c, "mutating").list({ labelSelector: `set=${label}` });
  expect(listed.items).toHaveLength(10);
  const make = (): Promise<Thing> => maps(c, ns).create({ metadata: { name: "m" }, ...MUTATES }, dry);
  const stage = (now: Thing): unknown => at<Record<string, string>>(now, "data")?.["mutation-stage-1"];
  await eventually(make, (now) => stage(now) === "yes");
  await configurations(c, "mutating").deleteCollection({ labelSelector: `set=${label}` });
  await eventually(make, (now) => stage(now) === undefined);
});

webhook("initContainer added by webhook is then defaulted", async (c) => {
  const { ns, label } = await ground(c);
  await configure(c, "mutating", label, [hook(label, "/init-container", [rule(["CREATE"], "", "pods")])]);
  const pods = c.api.resource("v1", "pods", ns);
  const made = await eventually(
    () => pods.create(pod("p"), dry),
    (now) => (at<Part[]>(now, "spec.initContainers") ?? []).length === 1,
  );
  expect(at(made, "spec.initContainers.0")).toMatchObject({
    name: "webhook-added-init-container",
    terminationMessagePolicy: "File",
    terminationMessagePath: "/dev/termination-log",
    imagePullPolicy: "IfNotPresent",
  });
  await configurations(c, "mutating").delete(label);
});

webhook("webhook on CONNECT pods/attach blocks kubectl attach", async (c) => {
  const { ns, label } = await ground(c);
  await c.api.resource("v1", "pods", ns).create(pod("to-be-attached-pod", { p: "yes" }));
  await readyPods(c.api, ns, "p=yes", 1);
  await configure(c, "validating", label, [hook(label, "/attach", [rule(["CONNECT"], "", "pods/attach")])]);
  const said = await eventually(
    () => c.kubectl(["-n", ns, "attach", "to-be-attached-pod", "-c=main"]),
    ({ stderr }) => stderr.includes("attaching to pod"),
    20_000,
  );
  expect(said.code).toBe(1);
  await configurations(c, "validating").delete(label);
});

webhook("webhooks never intercept webhook configuration objects", async (c) => {
  const label = `self-${process.pid}`;
  const everything = {
    ...hook(label, "/deny-all", [{ ...rule(["*"], GROUP.split("/")[0] ?? "", "*"), apiVersions: ["*"] }]),
  };
  delete everything["namespaceSelector"];
  await configure(c, "validating", label, [everything]);
  await configure(c, "mutating", label, [{ ...everything, name: "other.example.com" }]);
  const dummies = { validating: "d-v", mutating: "d-m" } as const;
  for (const kind of ["validating", "mutating"] as const) {
    const name = `${dummies[kind]}-${process.pid}`;
    await configure(c, kind, name, [hook("nobody", "/deny", [rule(["CREATE"], "", "invalid")])]);
    await configurations(c, kind).patch(name, { metadata: { labels: { touched: "yes" } } });
    await configurations(c, kind).delete(name);
  }
  for (const kind of ["validating", "mutating"] as const) await configurations(c, kind).delete(label);
});

for (const kind of ["mutating", "validating"] as const) {
  webhook(`invalid CEL matchConditions refused (${kind})`, async (c) => {
    const matchConditions = [{ name: "invalid-expression-1", expression: "... [] bad expression" }];
    const wish = hook("nobody", "/deny", [rule(["CREATE"], "", "configmaps")], { matchConditions });
    const said = await refusal(configure(c, kind, `bad-${kind}`, [wish]));
    expect(said).toContain("webhooks[0].matchConditions[0].expression");
    expect(said).toContain("compilation failed");
  });
  webhook(`matchConditions stored and updated on ${kind} config`, async (c) => {
    const { ns, label } = await ground(c);
    const matchConditions = [{ name: "expression-1", expression: "object.metadata.namespace == 'production'" }];
    await configure(c, kind, label, [
      hook(label, "/deny-all", [rule(["CREATE"], "", "configmaps")], { matchConditions }),
    ]);
    expect(at(await configurations(c, kind).get(label), "webhooks.0.matchConditions")).toEqual(matchConditions);
    const next = [...matchConditions, { name: "expression-2", expression: "request.namespace != 'kube-system'" }];
    const changed = await retryOnConflict(async () => {
      const now = await configurations(c, kind).get(label);
      const [first] = at<Part[]>(now, "webhooks") ?? [];
      return configurations(c, kind).replace({ ...now, webhooks: [{ ...first, matchConditions: next }] });
    });
    expect(at(changed, "webhooks.0.matchConditions")).toEqual(next);
    expect(await refusal(maps(c, ns).create({ metadata: { name: "m" } }, dry))).toBe("");
    await configurations(c, kind).delete(label);
  });
}

const CRDS = "customresourcedefinitions";
const crd = (group: string, plural: string, schema: Part, labels: Record<string, string> = {}): Part => ({
  metadata: { name: `${plural}.${group}`, labels },
  spec: {
    group,
    scope: "Namespaced",
    names: { plural, kind: "E2eTest" },
    versions: ["v1", "v2"].map((name) => ({
      name,
      served: true,
      storage: name === "v1",
      schema: { openAPIV3Schema: schema },
    })),
  },
});
const OPEN = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

webhook("webhook denies CRD creation", async (c) => {
  const { label } = await ground(c);
  const wish = hook(label, "/deny-all", [rule(["CREATE"], "apiextensions.k8s.io", CRDS)], {
    objectSelector: { matchLabels: { denied: label } },
  });
  delete wish["namespaceSelector"];
  await configure(c, "validating", label, [wish]);
  const definitions = c.api.resource("apiextensions.k8s.io/v1", CRDS);
  await refused(
    () => definitions.create(crd("denied.example.com", "denieds", OPEN, { denied: label }), dry),
    "denied by the webhook",
  );
  expect(await refusal(definitions.create(crd("denied.example.com", "denieds", OPEN, { denied: label })))).toContain(
    "denied the request",
  );
  await configurations(c, "validating").delete(label);
});

for (const [behaviour, closed] of [
  ["webhook mutates a CR", false],
  ["webhook-added CR fields pruned by schema", true],
  ["CR mutated across change of storage version", false],
] as const) {
  webhook(behaviour, async (c) => {
    const { ns, label } = await ground(c);
    const plural = `e2etests${++counter}`;
    const group = `${label}.example.com`;
    const strings = (names: readonly string[]): Part =>
      Object.fromEntries(names.map((name) => [name, { type: "string" }]));
    const known = {
      type: "object",
      properties: { data: { type: "object", properties: strings(["mutation-start", "mutation-stage-1"]) } },
    };
    const definitions = c.api.resource("apiextensions.k8s.io/v1", CRDS);
    await definitions.create(crd(group, plural, closed ? known : OPEN));
    const rules = [rule(["CREATE", "UPDATE"], group, plural, "*")];
    await configure(c, "mutating", label, [hook(label, "/stage-1", rules), hook(label, "/stage-2", rules)]);
    const resources = c.api.resource(`${group}/v1`, plural, ns);
    const wish = { apiVersion: `${group}/v1`, kind: "E2eTest", metadata: { name: "cr" }, ...MUTATES };
    const wanted = {
      "mutation-start": "yes",
      "mutation-stage-1": "yes",
      ...(closed ? {} : { "mutation-stage-2": "yes" }),
    };
    await eventually(
      () => resources.create(wish, dry),
      (now) => JSON.stringify(now["data"]) === JSON.stringify(wanted),
    );
    expect((await resources.create(wish))["data"]).toEqual(wanted);
    if (behaviour.startsWith("CR mutated")) {
      const versions = [
        { op: "replace", path: "/spec/versions/0/storage", value: false },
        { op: "replace", path: "/spec/versions/1/storage", value: true },
      ];
      await definitions.patch(`${plural}.${group}`, versions, "json");
      const second = c.api.resource(`${group}/v2`, plural, ns);
      await eventually(
        () => second.patch("cr", { dummy: "test" }),
        (now) => now["dummy"] === "test",
      );
      expect((await second.get("cr"))["data"]).toEqual(wanted);
      expect((await resources.get("cr"))["dummy"]).toBe("test");
    }
    await configurations(c, "mutating").delete(label);
    await definitions.delete(`${plural}.${group}`);
  });
}
