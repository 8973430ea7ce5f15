// Evictions ask the pod's disruption budget: what it allows, what it refuses and how that reads, also when many ask at once.
import { POD_DISRUPTION_BUDGETS, PODS, type Pod, type PodDisruptionBudget } from "@coxswain/api";
import type { StatusError } from "@coxswain/apimachinery";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.stop();
});

const NAMESPACE = "default";

async function makePod(name: string, app: string, ready = true, phase = "Running"): Promise<void> {
  const { client } = server;
  const created = await client.create<Pod>(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, labels: { app } },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "x" }], terminationGracePeriodSeconds: 30 },
  });
  const conditions = [{ type: "Ready", status: ready ? "True" : "False" }];
  await client.update(PODS, { ...created, status: { phase, conditions } }, { subresource: "status" });
}

async function makeBudget(app: string, status: object, spec: object = {}): Promise<void> {
  const { client } = server;
  const created = await client.create<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: app, namespace: NAMESPACE },
    spec: { selector: { matchLabels: { app } }, minAvailable: 1, ...spec },
  });
  const conditions = [
    {
      type: "DisruptionAllowed",
      status: "True",
      reason: "SufficientPods",
      message: "",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    },
  ];
  const whole = { observedGeneration: 1, expectedPods: 0, conditions, ...status };
  await client.update(POD_DISRUPTION_BUDGETS, { ...created, status: whole } as PodDisruptionBudget, {
    subresource: "status",
  });
}

const evict = (name: string, more: object = {}): Promise<unknown> =>
  server.client.create(
    PODS,
    { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace: NAMESPACE }, ...more },
    { namespace: NAMESPACE, name, subresource: "eviction" },
  );

async function refusal(evicting: Promise<unknown>): Promise<StatusError> {
  return await evicting.then(
    () => expect.fail("the eviction was allowed"),
    (error: unknown) => error as StatusError,
  );
}

const getPod = (name: string): Promise<Pod> => server.client.get<Pod>(PODS, { namespace: NAMESPACE, name });
const getBudget = (name: string): Promise<PodDisruptionBudget> =>
  server.client.get<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS, { namespace: NAMESPACE, name });

test("a pod without a budget goes, and says why", async () => {
  await makePod("free", "free");
  await evict("free");
  const pod = await getPod("free");
  expect(pod.metadata?.deletionTimestamp).toBeDefined();
  expect(pod.status?.conditions?.find(({ type }) => type === "DisruptionTarget")).toMatchObject({
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
  });
});

test("an eviction may be of the older version, and of none that there never was", async () => {
  await makePod("older", "older");
  const dry = { deleteOptions: { dryRun: ["All"] } };
  await evict("older", { ...dry, apiVersion: "policy/v1beta1" });
  expect((await refusal(evict("older", { ...dry, apiVersion: "policy/v2" }))).message).toContain("policy/v2");
  expect((await refusal(evict("older", { ...dry, apiVersion: "other/v1beta1" }))).message).toContain("other/v1beta1");
});

test("however many ask at once, no more go than the budget allows", async () => {
  const names = Array.from({ length: 8 }, (_, at) => `many-${at}`);
  for (const name of names) await makePod(name, "many");
  await makeBudget("many", { disruptionsAllowed: 3, currentHealthy: 8, desiredHealthy: 5, expectedPods: 8 });
  const outcomes = await Promise.allSettled(names.map((name) => evict(name)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
  const { status } = await getBudget("many");
  expect(status?.disruptionsAllowed).toBe(0);
  expect(Object.keys(status?.disruptedPods ?? {})).toHaveLength(3);
  expect(status?.conditions?.[0]).toMatchObject({ status: "False", reason: "InsufficientPods" });
  const pods = await Promise.all(names.map(getPod));
  expect(pods.filter(({ metadata }) => metadata?.deletionTimestamp !== undefined)).toHaveLength(3);
});

test("a budget that is used up refuses with 429 and its counts", async () => {
  await makePod("last", "full");
  await makeBudget("full", { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 });
  const { code, reason, message, details } = await refusal(evict("last"));
  expect({ code, reason, message, details }).toEqual({
    code: 429,
    reason: "TooManyRequests",
    message: "Cannot evict pod as it would violate the pod's disruption budget.",
    details: {
      causes: [
        { reason: "DisruptionBudget", message: "The disruption budget full needs 1 healthy pods and has 1 currently" },
      ],
    },
  });
  expect((await getPod("last")).metadata?.deletionTimestamp).toBeUndefined();
});

test("a budget that nobody has looked at yet asks for patience", async () => {
  await makePod("early", "unseen");
  await makeBudget("unseen", { observedGeneration: 0, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 });
  const { code, details } = await refusal(evict("early"));
  expect(code).toBe(429);
  expect(details).toMatchObject({
    retryAfterSeconds: 10,
    causes: [{ message: "The disruption budget unseen is still being processed by the server." }],
  });
});

test("two budgets for one pod are refused", async () => {
  await makePod("torn", "torn");
  await makeBudget("torn", { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 });
  await makeBudget(
    "torn-too",
    { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 },
    {
      selector: { matchLabels: { app: "torn" } },
    },
  );
  const { code, message } = await refusal(evict("torn"));
  expect([code, message]).toEqual([
    500,
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
  ]);
});

test("pods that are not ready go by the budget's policy", async () => {
  const used = { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 2, expectedPods: 3 };
  await makePod("sick", "strict", false);
  await makeBudget("strict", used);
  expect((await refusal(evict("sick"))).code).toBe(429);
  await makePod("sick-too", "lenient", false);
  await makeBudget("lenient", used, { unhealthyPodEvictionPolicy: "AlwaysAllow" });
  await evict("sick-too");
  await makePod("sick-three", "healthy", false);
  await makeBudget("healthy", { ...used, currentHealthy: 2 });
  await evict("sick-three");
  expect((await getBudget("healthy")).status?.disruptedPods).toBeUndefined();
});

test("pods that have not begun or have ended are not counted", async () => {
  await makePod("pending", "idle", false, "Pending");
  await makePod("done", "idle", false, "Succeeded");
  await makeBudget("idle", { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 2, expectedPods: 2 });
  await evict("pending");
  await evict("done");
  const pending = await getPod("pending");
  expect(pending.metadata?.deletionTimestamp).toBeDefined();
  expect(pending.status?.conditions).toContainEqual(
    expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI" }),
  );
});

test.each([
  ["SyncFailed", "no", 3, "failed it", "does not allow evicting pods currently because it failed sync: failed it"],
  ["SyncFailed", "empty", 1, "", "needs 2 healthy pods and has 1 currently"],
  ["Paused", "paused", 3, "not now", "does not allow evicting pods currently (Paused): not now"],
  ["Paused", "silent", 3, "", "does not allow evicting pods currently"],
])("a budget refuses with what it says of itself: %s, %s", async (reason, name, currentHealthy, message, said) => {
  await makePod(name, name);
  const condition = { type: "DisruptionAllowed", status: "False", lastTransitionTime: "2026-01-01T00:00:00Z" };
  const conditions = [{ ...condition, reason, message }];
  await makeBudget(name, { disruptionsAllowed: 0, currentHealthy, desiredHealthy: 2, conditions });
  const { details } = await refusal(evict(name));
  expect(details.causes?.map((cause) => cause.message)).toEqual([`The disruption budget ${name} ${said}`]);
});

test("a dry run counts nothing and deletes nothing", async () => {
  await makePod("trial", "trial");
  await makeBudget("trial", { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 });
  await evict("trial", { deleteOptions: { dryRun: ["All"] } });
  expect((await getBudget("trial")).status?.disruptionsAllowed).toBe(1);
  const pod = await getPod("trial");
  expect(pod.metadata?.deletionTimestamp).toBeUndefined();
  expect(pod.status?.conditions?.map(({ type }) => type)).toEqual(["Ready"]);
});
