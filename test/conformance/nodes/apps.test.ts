// Jobs and workloads that depend on how their containers end, and on what they answer.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, namesOf, type Thing } from "../rest-client.ts";
import { gone, type SharedCluster } from "../shared-cluster.ts";
import { BUSYBOX, isReady, NODE, type Part } from "./real-pods.ts";

const LONG = { timeoutMs: 200_000 };
const jobs = conformsShared("Job");

/** A Job of shell scripts; $JOB_COMPLETION_INDEX is there for indexed ones. */
const job = (script: string, spec: Part, restartPolicy = "Never", container: Part = {}): Part => ({
  metadata: { name: "job", labels: { job: "yes" } },
  spec: {
    ...spec,
    template: {
      metadata: { labels: { job: "yes" } },
      spec: {
        restartPolicy,
        terminationGracePeriodSeconds: 1,
        volumes: [{ name: "v", emptyDir: {} }],
        containers: [
          {
            name: "c",
            image: BUSYBOX,
            command: ["sh", "-c", script],
            volumeMounts: [{ name: "v", mountPath: "/v" }],
            ...container,
          },
        ],
      },
    },
  },
});

const indexed = (completions: number, more: Part = {}): Part => ({
  completionMode: "Indexed",
  completions,
  parallelism: completions,
  ...more,
});

/** Makes the Job, waits for the condition, and resolves with the Job. */
async function ends(c: SharedCluster, wish: Part, condition: "Complete" | "Failed"): Promise<Thing> {
  const ns = await c.namespace("job");
  const all = c.api.resource("batch/v1", "jobs", ns);
  await all.create(wish);
  const conditionsOf = (now: Thing): Part[] => at<Part[]>(now, "status.conditions") ?? [];
  return eventually(
    () => all.get("job"),
    (now) => conditionsOf(now).some((one) => one["type"] === condition && one["status"] === "True"),
    120_000,
  );
}

const reasonOf = (thing: Thing, type: string): unknown =>
  (at<Part[]>(thing, "status.conditions") ?? []).find((one) => one["type"] === type)?.["reason"];

jobs(
  "OnFailure local restarts still complete",
  async (c) => {
    const script = "if [ -e /v/once ]; then exit 0; fi; touch /v/once; exit 1";
    const done = await ends(
      c,
      job(script, { completions: 4, parallelism: 2, backoffLimit: 6 }, "OnFailure"),
      "Complete",
    );
    expect([at(done, "status.succeeded"), at(done, "status.failed") ?? 0]).toEqual([4, 0]);
  },
  LONG,
);

jobs(
  "podFailurePolicy on exit code fails Job early",
  async (c) => {
    const podFailurePolicy = { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [1] } }] };
    const failed = await ends(
      c,
      job("exit 1", { completions: 4, parallelism: 2, backoffLimit: 6, podFailurePolicy }),
      "Failed",
    );
    expect(reasonOf(failed, "Failed")).toBe("PodFailurePolicy");
  },
  LONG,
);

jobs(
  "FailIndex action marks index failed",
  async (c) => {
    const podFailurePolicy = { rules: [{ action: "FailIndex", onExitCodes: { operator: "In", values: [42] } }] };
    const script = 'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then exit 42; fi';
    const failed = await ends(c, job(script, indexed(2, { backoffLimitPerIndex: 1, podFailurePolicy })), "Failed");
    expect(reasonOf(failed, "Failed")).toBe("FailedIndexes");
    expect(failed["status"]).toMatchObject({ failedIndexes: "0", completedIndexes: "1", failed: 1, succeeded: 1 });
  },
  LONG,
);

jobs(
  "maxFailedIndexes terminates Job",
  async (c) => {
    const failed = await ends(
      c,
      job("exit 1", indexed(4, { parallelism: 1, backoffLimitPerIndex: 0, maxFailedIndexes: 1 })),
      "Failed",
    );
    expect(reasonOf(failed, "Failed")).toBe("MaxFailedIndexesExceeded");
    expect(at(failed, "status.failedIndexes")).toBe("0,1");
    expect(at(failed, "status.completedIndexes") ?? "").toBe("");
  },
  LONG,
);

for (const [behaviour, rule, script, completed] of [
  ["successPolicy with all indexes", { succeededIndexes: "0,1" }, "true", "0,1"],
  [
    "successPolicy succeededIndexes",
    { succeededIndexes: "0" },
    'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then exit 0; fi; exec sleep 300',
    "0",
  ],
  [
    "successPolicy succeededCount",
    { succeededCount: 1 },
    'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then exit 0; fi; exec sleep 300',
    "0",
  ],
] as const) {
  jobs(
    behaviour,
    async (c) => {
      const done = await ends(c, job(script, indexed(2, { successPolicy: { rules: [rule] } })), "Complete");
      expect(reasonOf(done, "SuccessCriteriaMet")).toBe("SuccessPolicy");
      expect(at(done, "status.completedIndexes")).toBe(completed);
    },
    LONG,
  );
}

jobs(
  "suspended Job patched, resumed, completed, deletecollection",
  async (c) => {
    const ns = await c.namespace("job");
    const all = c.api.resource("batch/v1", "jobs", ns);
    using watch = all.watch({ labelSelector: "job=yes" });
    await all.create(job("true", { suspend: true, completions: 1, parallelism: 1 }));
    await watch.until("added", (event) => event.type === "ADDED");
    await all.patch("job", { metadata: { labels: { patched: "yes" } } }, "strategic");
    await watch.until("patched", (event) => event.object.metadata.labels?.["patched"] === "yes");
    expect((await c.api.resource("v1", "pods", ns).list()).items).toEqual([]);
    await all.patch("job", { metadata: { annotations: { updated: "true" } }, spec: { suspend: false } }, "strategic");
    await watch.until("completed", (event) => reasonOf(event.object, "Complete") !== undefined, 90_000);
    expect(
      (await c.api.resource("batch/v1", "jobs").list({ labelSelector: "job=yes,patched=yes" })).items.some(
        (one) => one.metadata.namespace === ns,
      ),
    ).toBe(true);
    await all.deleteCollection({ labelSelector: "job=yes" }, { propagationPolicy: "Background" });
    await watch.until("deleted", (event) => event.type === "DELETED");
  },
  LONG,
);

const HOSTNAME = "require('http').createServer((q,s)=>s.end(process.env.HOSTNAME)).listen(9376)";
const serving = (app: string, more: Part = {}): Part => ({
  metadata: { labels: { app } },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "main",
        image: NODE,
        command: ["node", "-e", HOSTNAME],
        ports: [{ containerPort: 9376 }],
        readinessProbe: { httpGet: { path: "/", port: 9376 }, periodSeconds: 1 },
        ...more,
      },
    ],
  },
});

for (const [area, behaviour, groupVersion, plural] of [
  ["ReplicaSet", "each replica answers with its hostname via API proxy", "apps/v1", "replicasets"],
  ["ReplicationController", "each replica answers with its hostname", "v1", "replicationcontrollers"],
] as const) {
  conformsShared(area)(
    behaviour,
    async (c) => {
      const ns = await c.namespace("hostname");
      const selector = plural === "replicasets" ? { matchLabels: { app: "web" } } : { app: "web" };
      await c.api
        .resource(groupVersion, plural, ns)
        .create({ metadata: { name: "web" }, spec: { replicas: 2, selector, template: serving("web") } });
      const { items } = await eventually(
        () => c.api.resource("v1", "pods", ns).list({ labelSelector: "app=web" }),
        (list) => list.items.length === 2 && list.items.every(isReady),
        90_000,
      );
      for (const name of namesOf(items)) {
        const answer = await c.api.send("GET", `/api/v1/namespaces/${ns}/pods/${name}:9376/proxy/`, {
          headers: { accept: "*/*" },
        });
        expect([answer.code, answer.text]).toEqual([200, name]);
      }
    },
    LONG,
  );
}

const stateful = conformsShared("StatefulSet");
const statefulSet = (spec: Part, container: Part): Part => ({
  metadata: { name: "ss", labels: { app: "ss" } },
  spec: {
    serviceName: "ss",
    selector: { matchLabels: { app: "ss" } },
    template: {
      metadata: { labels: { app: "ss" } },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "main", image: BUSYBOX, ...container }] },
    },
    ...spec,
  },
});

/** Ready while /ready is there. */
const PROBED = {
  command: ["sh", "-c", "touch /ready; exec sleep 3600"],
  readinessProbe: { exec: { command: ["cat", "/ready"] }, periodSeconds: 1, failureThreshold: 1 },
};

const settled = (c: SharedCluster, ns: string, ready: number, replicas: number): Promise<Thing> =>
  eventually(
    () => c.api.resource("apps/v1", "statefulsets", ns).get("ss"),
    (now) => (at<number>(now, "status.readyReplicas") ?? 0) === ready && at(now, "status.replicas") === replicas,
    90_000,
  );

stateful(
  "Parallel policy bursts past unhealthy pods",
  async (c) => {
    const ns = await c.namespace("ss");
    const sets = c.api.resource("apps/v1", "statefulsets", ns);
    await sets.create(statefulSet({ replicas: 2, podManagementPolicy: "Parallel" }, PROBED));
    await settled(c, ns, 2, 2);
    for (const name of ["ss-0", "ss-1"]) await c.ok(["-n", ns, "exec", name, "--", "rm", "/ready"]);
    await settled(c, ns, 0, 2);
    await sets.patch("ss", { spec: { replicas: 4 } });
    await settled(c, ns, 2, 4);
    for (const name of ["ss-0", "ss-1"]) await c.ok(["-n", ns, "exec", name, "--", "touch", "/ready"]);
    await settled(c, ns, 4, 4);
    await c.ok(["-n", ns, "exec", "ss-3", "--", "rm", "/ready"]);
    await settled(c, ns, 3, 4);
    await sets.patch("ss", { spec: { replicas: 0 } });
    await settled(c, ns, 0, 0);
  },
  LONG,
);

stateful(
  "rolling update and rollback through a broken probe",
  async (c) => {
    const ns = await c.namespace("ss");
    const sets = c.api.resource("apps/v1", "statefulsets", ns);
    await sets.create(statefulSet({ replicas: 3 }, PROBED));
    const before = at<string>(await settled(c, ns, 3, 3), "status.currentRevision");
    await c.ok(["-n", ns, "exec", "ss-1", "--", "rm", "/ready"]);
    await settled(c, ns, 2, 3);
    const mark = (version: string): Part => ({ spec: { template: { metadata: { annotations: { version } } } } });
    await sets.patch("ss", mark("2"), "strategic");
    await eventually(
      () => sets.get("ss"),
      (now) => at(now, "status.updateRevision") !== before,
    );
    const revisions = async (): Promise<string> =>
      (await c.api.resource("v1", "pods", ns).list({ labelSelector: "app=ss" })).items
        .toSorted((a, b) => (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""))
        .map((one) => (one.metadata.labels?.["controller-revision-hash"] === before ? "old" : "new"))
        .join(" ");
    const are = (wanted: string): Promise<string> => eventually(revisions, (now) => now === wanted, 90_000);
    // No update goes past a pod that is not well.
    const heal = (): Promise<string> => c.ok(["-n", ns, "exec", "ss-1", "--", "touch", "/ready"]);
    await heal();
    await are("new new new");
    const after = await settled(c, ns, 3, 3);
    expect(at(after, "status.updateRevision")).not.toBe(before);
    await c.ok(["-n", ns, "exec", "ss-1", "--", "rm", "/ready"]);
    await settled(c, ns, 2, 3);
    await sets.patch("ss", { spec: { template: { metadata: { annotations: null } } } });
    await eventually(
      () => sets.get("ss"),
      (now) => at(now, "status.updateRevision") === before,
    );
    await heal();
    await are("old old old");
    await settled(c, ns, 3, 3);
    await eventually(
      () => sets.get("ss"),
      (now) => at(now, "status.currentRevision") === before,
    );
  },
  LONG,
);

const deployments = conformsShared("Deployment");
const deployment = (replicas: number, image: string, more: Part = {}): Part => ({
  metadata: { name: "d" },
  spec: {
    replicas,
    selector: { matchLabels: { app: "d" } },
    template: {
      metadata: { labels: { app: "d" } },
      spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "main", image, command: ["sleep", "3600"] }] },
    },
    ...more,
  },
});
const withImage = (image: string): Part => ({
  spec: { template: { spec: { containers: [{ name: "main", image }] } } },
});
const sizes = async (c: SharedCluster, ns: string): Promise<string> =>
  (await c.api.resource("apps/v1", "replicasets", ns).list()).items
    .toSorted(
      (a, b) =>
        Number(a.metadata.annotations?.["deployment.kubernetes.io/revision"]) -
        Number(b.metadata.annotations?.["deployment.kubernetes.io/revision"]),
    )
    .map((one) => `${at<number>(one, "spec.replicas")}/${at<number>(one, "status.availableReplicas") ?? 0}`)
    .join(" ");

deployments(
  "proportional scaling across RS (bad image must stay unready)",
  async (c) => {
    const ns = await c.namespace("deploy");
    const all = c.api.resource("apps/v1", "deployments", ns);
    const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } };
    await all.create(deployment(10, BUSYBOX, { strategy }));
    const are = (wanted: string): Promise<string> =>
      eventually(
        () => sizes(c, ns),
        (now) => now === wanted,
        120_000,
      );
    await are("10/10");
    await all.patch("d", withImage("coxswain.local/no-such-image:404"), "strategic");
    await are("8/8 5/0");
    await all.patch("d", { spec: { replicas: 30 } });
    await are("20/20 13/0");
    await all.delete("d");
    await gone(() => all.get("d"));
  },
  LONG,
);

deployments(
  "rollover mid-update (nonexistent image must stay unready)",
  async (c) => {
    const ns = await c.namespace("deploy");
    const all = c.api.resource("apps/v1", "deployments", ns);
    const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
    await all.create(deployment(1, BUSYBOX, { strategy }));
    const are = (wanted: string): Promise<string> =>
      eventually(
        () => sizes(c, ns),
        (now) => now === wanted,
        120_000,
      );
    await are("1/1");
    await all.patch("d", withImage("coxswain.local/no-such-image:404"), "strategic");
    await are("1/1 1/0");
    await all.patch("d", withImage(NODE), "strategic");
    await are("0/0 0/0 1/1");
  },
  LONG,
);
