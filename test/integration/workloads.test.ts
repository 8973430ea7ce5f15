// Workloads on simulated nodes by the real kubectl: what users of Jobs, CronJobs, DaemonSets, StatefulSets and disruption budgets
// do and read.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CronJob, DaemonSet, Job, Pod, StatefulSet } from "@coxswain/api";
import { deployment, eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 3, name: "workloads" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const apply = (...objects: readonly object[]): Promise<string> =>
  k.apply(objects.map((object) => JSON.stringify(object)).join("\n---\n"));

const container = (command: readonly string[]) => ({ name: "main", image: "example.test/app:v1", command });

describe("Jobs", () => {
  test("run to their end, and kubectl shows it", async () => {
    await k.ok(["create", "job", "once", "--image=example.test/app:v1", "--", "sleep", "1"]);
    await k.ok(["wait", "--for=condition=complete", "job/once", "--timeout=60s"]);
    expect(await k.ok(["get", "job", "once", "--no-headers"])).toMatch(/^once\s+Complete\s+1\/1\s/);
    const { items } = await k.get<{ items: Pod[] }>(["pods", "-l", "job-name=once"]);
    expect(items.map(({ metadata, status }) => [metadata?.finalizers, status?.phase])).toEqual([
      [undefined, "Succeeded"],
    ]);
    await k.ok(["delete", "job", "once"]);
    await eventually(
      () => k.get<{ items: Pod[] }>(["pods", "-l", "job-name=once"]),
      (list) => list.items.length === 0,
    );
  });

  test("with indexes run each once; a failing one fails by its limit", async () => {
    const job = (name: string, command: readonly string[], spec: object) => ({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name },
      spec: { template: { spec: { restartPolicy: "Never", containers: [container(command)] } }, ...spec },
    });
    await apply(
      job("indexed", ["true"], { completions: 4, parallelism: 2, completionMode: "Indexed" }),
      job("failing", ["false"], { backoffLimit: 0 }),
    );
    await k.ok(["wait", "--for=condition=complete", "job/indexed", "--timeout=60s"]);
    expect((await k.get<Job>(["job", "indexed"])).status).toMatchObject({ succeeded: 4, completedIndexes: "0-3" });
    await k.ok(["wait", "--for=condition=failed", "job/failing", "--timeout=60s"]);
    const { status } = await k.get<Job>(["job", "failing"]);
    expect(status?.conditions?.find(({ type }) => type === "Failed")).toMatchObject({ reason: "BackoffLimitExceeded" });
    expect(status?.failed).toBe(1);
  });

  test("of a CronJob are made by its schedule, and by hand", async () => {
    await apply({
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "tick" },
      spec: {
        schedule: "@every 1s",
        successfulJobsHistoryLimit: 2,
        jobTemplate: { spec: { template: { spec: { restartPolicy: "Never", containers: [container(["true"])] } } } },
      },
    });
    const { status } = await eventually(
      () => k.get<CronJob>(["cronjob", "tick"]),
      (cron) => cron.status?.lastSuccessfulTime !== undefined,
    );
    expect(status?.lastScheduleTime).toBeDefined();
    await k.ok(["create", "job", "now", "--from=cronjob/tick"]);
    await k.ok(["wait", "--for=condition=complete", "job/now", "--timeout=60s"]);
    await k.ok(["delete", "cronjob", "tick"]);
  });
});

test("a DaemonSet has a pod on every node, rolls out and back", async () => {
  await apply({
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent" },
    spec: {
      selector: { matchLabels: { app: "agent" } },
      template: {
        metadata: { labels: { app: "agent" } },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "main", image: "example.test/agent:v1" }] },
      },
    },
  });
  await k.ok(["rollout", "status", "daemonset/agent", "--timeout=60s"]);
  const nodes = await k.ok(["get", "pods", "-l", "app=agent", "-o", "custom-columns=N:.spec.nodeName", "--no-headers"]);
  expect(
    nodes
      .trim()
      .split("\n")
      .toSorted((a, b) => (a < b ? -1 : 1)),
  ).toEqual(["node-1", "node-2", "node-3"]);
  await k.ok(["set", "image", "daemonset/agent", "main=example.test/agent:v2"]);
  await k.ok(["rollout", "status", "daemonset/agent", "--timeout=90s"]);
  expect(await k.ok(["rollout", "history", "daemonset/agent"])).toMatch(/REVISION.*\n1\s.*\n2\s/);
  await k.ok(["rollout", "undo", "daemonset/agent"]);
  await k.ok(["rollout", "status", "daemonset/agent", "--timeout=90s"]);
  const { status, spec } = await k.get<DaemonSet>(["daemonset", "agent"]);
  expect(spec?.template?.spec?.containers[0]?.image).toBe("example.test/agent:v1");
  expect(status).toMatchObject({ desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3 });
  await k.ok(["delete", "daemonset", "agent"]);
});

test("a StatefulSet has names in order, scales, rolls out and back", async () => {
  await apply({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db" },
    spec: {
      serviceName: "db",
      replicas: 2,
      selector: { matchLabels: { app: "db" } },
      template: {
        metadata: { labels: { app: "db" } },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "main", image: "example.test/db:v1" }] },
      },
    },
  });
  await k.ok(["rollout", "status", "statefulset/db", "--timeout=60s"]);
  await k.ok(["scale", "statefulset/db", "--replicas=3"]);
  await k.ok(["wait", "--for=condition=Ready", "pod/db-2", "--timeout=60s"]).catch(() =>
    // It may not be there yet when kubectl looks.
    eventually(
      () => k.get<StatefulSet>(["statefulset", "db"]),
      ({ status }) => status?.readyReplicas === 3,
    ),
  );
  await k.ok(["set", "image", "statefulset/db", "main=example.test/db:v2"]);
  await k.ok(["rollout", "status", "statefulset/db", "--timeout=90s"]);
  await k.ok(["rollout", "undo", "statefulset/db"]);
  await k.ok(["rollout", "status", "statefulset/db", "--timeout=90s"]);
  const { items } = await k.get<{ items: Pod[] }>(["pods", "-l", "app=db"]);
  expect(items.map(({ metadata, spec }) => [metadata?.name, spec?.containers[0]?.image])).toEqual([
    ["db-0", "example.test/db:v1"],
    ["db-1", "example.test/db:v1"],
    ["db-2", "example.test/db:v1"],
  ]);
  await k.ok(["delete", "statefulset", "db"]);
});

test("kubectl drain waits for a disruption budget, and goes on when it allows", async () => {
  await k.apply(deployment({ name: "guarded", replicas: 2 }));
  await k.ok(["rollout", "status", "deployment/guarded", "--timeout=60s"]);
  await k.ok(["create", "poddisruptionbudget", "guarded", "--selector=app=guarded", "--min-available=2"]);
  await eventually(
    () => k.ok(["get", "pdb", "guarded", "-o", "jsonpath={.status.expectedPods}"]),
    (text) => text === "2",
  );
  const [node = ""] = (
    await k.ok(["get", "pods", "-l", "app=guarded", "-o", "custom-columns=N:.spec.nodeName", "--no-headers"])
  ).split("\n");
  const refused = await k.kubectl(["drain", node, "--ignore-daemonsets", "--force", "--timeout=2s"]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("Cannot evict pod as it would violate the pod's disruption budget.");
  await k.ok(["patch", "pdb", "guarded", "--type=merge", "-p", '{"spec":{"minAvailable":1}}']);
  await k.ok(["drain", node, "--ignore-daemonsets", "--force", "--timeout=60s"]);
  await k.ok(["uncordon", node]);
  await k.ok(["delete", "deployment/guarded", "pdb/guarded"]);
});
