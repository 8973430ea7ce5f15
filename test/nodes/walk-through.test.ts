// Walks through what people do with workloads, by the real kubectl on real nodes: what the API says became of it is what the
// containers themselves say.
import type { CronJob, Job, Pod, StatefulSet } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, replacePods, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const BUSYBOX = "coxswain.local/busybox:1";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ runtime: "containerd", nodes: 2, egress: "none", name: "walk" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

type Part = Record<string, unknown>;

/** A container that says `word` and stays, until it is told to end. */
const says = (word: string): Part => ({
  name: "main",
  image: BUSYBOX,
  command: ["sh", "-c", 'trap "exit 0" TERM; echo $WORD; while :; do sleep 1 & wait; done'],
  env: [{ name: "WORD", value: word }],
});

const template = (app: string, spec: Part): Part => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 5, ...spec },
});

const apply = (object: Part): Promise<string> => k.apply(JSON.stringify(object));
const podsOf = async (app: string): Promise<Pod[]> =>
  (await k.get<{ items: Pod[] }>(["pods", "-l", `app=${app}`])).items.toSorted((a, b) =>
    (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1,
  );
const logs = async (...names: readonly string[]): Promise<string[]> =>
  Promise.all(names.map(async (name) => (await k.ok(["logs", name])).trim()));
/** What the pods that are not on their way out say, each word once. */
const words = async (app: string): Promise<string[]> => {
  const names = (await podsOf(app))
    .filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
    .map(({ metadata }) => `pod/${metadata?.name}`);
  return [...new Set(await logs(...names))].toSorted();
};

test("a rollout: paused in the middle, resumed, undone, with its history", async () => {
  await apply({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web" },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: "web" } },
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: template("web", { containers: [says("one")] }),
    },
  });
  await k.ok(["rollout", "status", "deployment/web", "--timeout=90s"]);
  await k.ok(["annotate", "deployment/web", "kubernetes.io/change-cause=says one"]);
  expect(await words("web")).toEqual(["one"]);

  await k.ok(["rollout", "pause", "deployment/web"]);
  await k.ok(["set", "env", "deployment/web", "WORD=two"]);
  await k.ok(["set", "resources", "deployment/web", "--requests=cpu=10m"]);
  await k.ok(["annotate", "deployment/web", "kubernetes.io/change-cause=says two", "--overwrite"]);
  const seen = ["get", "deployment", "web", "-o", "jsonpath={.metadata.generation} {.status.observedGeneration}"];
  await eventually(
    () => k.ok(seen),
    (text) => new Set(text.split(" ")).size === 1,
  );
  // Two changes, and nothing has come of them.
  expect((await k.ok(["get", "replicasets", "-l", "app=web", "-o", "name"])).trim().split("\n")).toHaveLength(1);
  expect(await words("web")).toEqual(["one"]);
  await k.ok(["rollout", "resume", "deployment/web"]);
  await k.ok(["rollout", "status", "deployment/web", "--timeout=90s"]);
  expect(await words("web")).toEqual(["two"]);
  // Both of them are one revision.
  expect(await k.ok(["rollout", "history", "deployment/web"])).toBe(
    "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         says one\n2         says two\n\n",
  );
  expect(await k.ok(["rollout", "history", "deployment/web", "--revision=1"])).toMatch(/WORD:\s+one/);

  await k.ok(["rollout", "undo", "deployment/web"]);
  await k.ok(["rollout", "status", "deployment/web", "--timeout=90s"]);
  expect(await words("web")).toEqual(["one"]);
  expect(await k.ok(["rollout", "history", "deployment/web"])).toBe(
    "deployment.apps/web \nREVISION  CHANGE-CAUSE\n2         says two\n3         says one\n\n",
  );
  await k.ok(["delete", "deployment", "web"]);
});

test("a drain waits for a budget: pods move one by one, and as many as the budget wants are always there", async () => {
  await apply({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "guarded" },
    spec: {
      replicas: 4,
      selector: { matchLabels: { app: "guarded" } },
      template: template("guarded", { containers: [says("here")] }),
    },
  });
  await k.ok(["rollout", "status", "deployment/guarded", "--timeout=90s"]);
  await k.ok(["create", "poddisruptionbudget", "guarded", "--selector=app=guarded", "--max-unavailable=1"]);
  await eventually(
    () => k.ok(["get", "pdb", "guarded", "-o", "jsonpath={.status.disruptionsAllowed}"]),
    (text) => text === "1",
  );
  const node = (await podsOf("guarded"))[0]?.spec?.nodeName ?? "";
  const least = { ready: 4 };
  const watch = k.start(["get", "deployment", "guarded", "--watch", "-o", "jsonpath={.status.readyReplicas}{'\\n'}"]);
  watch.stdout.on("data", (data: Buffer) => {
    for (const line of data.toString().split("\n")) if (line !== "") least.ready = Math.min(least.ready, Number(line));
  });
  try {
    expect(await k.ok(["drain", node, "--ignore-daemonsets", "--timeout=120s"])).toMatch(/node\/\S+ drained\n$/);
    await k.ok(["rollout", "status", "deployment/guarded", "--timeout=90s"]);
  } finally {
    watch.kill();
  }
  expect(least.ready).toBeGreaterThanOrEqual(3);
  const there = (await podsOf("guarded")).filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
  expect(there.map(({ spec }) => spec?.nodeName === node)).toEqual([false, false, false, false]);

  // What the budget does not allow is not evicted: kubectl says so until its time is over.
  await k.ok(["uncordon", node]);
  await k.ok(["patch", "pdb", "guarded", "--type=merge", "-p", '{"spec":{"maxUnavailable":0}}']);
  await eventually(
    () => k.ok(["get", "pdb", "guarded", "-o", "jsonpath={.status.disruptionsAllowed}"]),
    (text) => text === "0",
  );
  const other = there[0]?.spec?.nodeName ?? "";
  const refused = await k.kubectl([
    "drain",
    other,
    "--ignore-daemonsets",
    "--pod-selector=app=guarded",
    "--timeout=2s",
  ]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("Cannot evict pod as it would violate the pod's disruption budget.");
  expect((await podsOf("guarded")).filter(({ metadata }) => metadata?.deletionTimestamp === undefined)).toHaveLength(4);
  await k.ok(["uncordon", other]);
  await k.ok(["delete", "deployment/guarded", "pdb/guarded"]);
});

test("an indexed Job: each index once, as its pods know it, and those that fail again by themselves", async () => {
  // Index 1 fails the first time, which a folder of the node remembers.
  const script = `echo "index $JOB_COMPLETION_INDEX of $(hostname)"
if [ "$JOB_COMPLETION_INDEX" = 1 ] && mkdir /seen/once 2>/dev/null; then exit 1; fi`;
  await apply({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "pages" },
    spec: {
      completions: 4,
      parallelism: 2,
      completionMode: "Indexed",
      backoffLimitPerIndex: 1,
      template: template("pages", {
        restartPolicy: "Never",
        nodeSelector: { "kubernetes.io/hostname": "node-1" },
        volumes: [{ name: "seen", hostPath: { path: "/tmp/seen", type: "DirectoryOrCreate" } }],
        containers: [
          {
            name: "main",
            image: BUSYBOX,
            command: ["sh", "-c", script],
            volumeMounts: [{ name: "seen", mountPath: "/seen" }],
          },
        ],
      }),
    },
  });
  await k.ok(["wait", "--for=condition=complete", "job/pages", "--timeout=120s"]);
  const { status } = await k.get<Job>(["job", "pages"]);
  expect(status).toMatchObject({ succeeded: 4, failed: 1, completedIndexes: "0-3" });
  const pods = await podsOf("pages");
  const done = pods.filter((pod) => pod.status?.phase === "Succeeded");
  expect(await logs(...done.map(({ metadata }) => metadata?.name ?? ""))).toEqual(
    [0, 1, 2, 3].map((index) => `index ${index} of pages-${index}`),
  );
  const indexOf = (pod: Pod | undefined): string | undefined =>
    pod?.metadata?.annotations?.["batch.kubernetes.io/job-completion-index"];
  expect(pods.filter((pod) => pod.status?.phase === "Failed").map(indexOf)).toEqual(["1"]);
  await k.ok(["delete", "job", "pages"]);
});

test("a CronJob: a Job at each time of its schedule, its log, suspended and gone on with", async () => {
  const job = {
    spec: {
      template: template("tick", {
        restartPolicy: "OnFailure",
        containers: [{ name: "main", image: BUSYBOX, command: ["sh", "-c", "echo tick"] }],
      }),
    },
  };
  await apply({
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "tick" },
    spec: {
      schedule: "@every 2s",
      successfulJobsHistoryLimit: 2,
      concurrencyPolicy: "Forbid",
      jobTemplate: job,
    },
  });
  const cron = (): Promise<CronJob> => k.get<CronJob>(["cronjob", "tick"]);
  // A Job is named after the minute of its time, so that there is one a minute at the most.
  const succeeded = (after = ""): Promise<CronJob> =>
    eventually(cron, ({ status }) => (status?.lastSuccessfulTime ?? "") > after, 120_000);
  const first = await succeeded();
  await succeeded(first.status?.lastSuccessfulTime);
  expect((await words("tick"))[0]).toBe("tick");
  await k.ok(["patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}']);
  const idle = await eventually(cron, ({ status }) => (status?.active ?? []).length === 0);
  expect(await k.ok(["get", "cronjob", "tick", "--no-headers"])).toMatch(/^tick +@every 2s +<none> +True +0 /);
  await k.ok(["patch", "cronjob", "tick", "-p", '{"spec":{"suspend":false}}']);
  await succeeded(idle.status?.lastSuccessfulTime);
  // Of those that have ended as many stay as are wanted.
  await eventually(
    () => k.get<{ items: Job[] }>(["jobs"]),
    ({ items }) => items.filter(({ status }) => status?.succeeded === 1).length <= 2,
  );
  await k.ok(["delete", "cronjob", "tick"]);
}, 300_000);

test("a StatefulSet: from the last to the first, as far as its partition lets it, with names and files that stay", async () => {
  // Each writes down every word that it was ever told, on a volume of its own.
  const remembers = { ...says("one"), volumeMounts: [{ name: "data", mountPath: "/data" }] };
  const script = 'echo $WORD >> /data/words; trap "exit 0" TERM; while :; do sleep 1 & wait; done';
  const claim = {
    metadata: { name: "data" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } } },
  };
  await apply({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db" },
    spec: {
      serviceName: "db",
      replicas: 3,
      selector: { matchLabels: { app: "db" } },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Retain" },
      volumeClaimTemplates: [claim],
      template: template("db", { containers: [{ ...remembers, command: ["sh", "-c", script] }] }),
    },
  });
  await k.ok(["rollout", "status", "statefulset/db", "--timeout=120s"]);
  const remembered = (): Promise<string[]> =>
    Promise.all(
      [0, 1, 2].map(async (n) =>
        (await k.ok(["exec", `db-${n}`, "--", "cat", "/data/words"])).trim().replaceAll("\n", " "),
      ),
    );
  expect(await remembered()).toEqual(["one", "one", "one"]);
  const partition = (n: number): Promise<string> =>
    k.ok([
      "patch",
      "statefulset",
      "db",
      "-p",
      JSON.stringify({ spec: { updateStrategy: { rollingUpdate: { partition: n } } } }),
    ]);
  const updated = (count: number): Promise<StatefulSet> =>
    eventually(
      () => k.get<StatefulSet>(["statefulset", "db"]),
      ({ status, metadata }) =>
        status?.observedGeneration === metadata?.generation &&
        status?.updatedReplicas === count &&
        status?.readyReplicas === 3,
      90_000,
    );
  await partition(2);
  await k.ok(["set", "env", "statefulset/db", "WORD=two"]);
  const partly = await updated(1);
  expect(partly.status?.currentRevision).not.toBe(partly.status?.updateRevision);
  expect(await remembered()).toEqual(["one", "one", "one two"]);
  // One that goes by itself comes back as what its side of the partition is.
  await replacePods(k, ["db-0"]);
  await updated(1);
  expect(await remembered()).toEqual(["one one", "one", "one two"]);
  await partition(0);
  await k.ok(["rollout", "status", "statefulset/db", "--timeout=120s"]);
  expect(await remembered()).toEqual(["one one two", "one two", "one two"]);
  const whole = await updated(3);
  expect(whole.status?.currentRevision).toBe(whole.status?.updateRevision);
  await k.ok(["delete", "statefulset", "db"]);
});
