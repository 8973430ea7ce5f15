// Job, CronJob, StatefulSet, DaemonSet, ReplicationController, ControllerRevision: defaults, refusals, rows.
import { deepClone } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import { parseSchedule } from "../src/batch-v1/cron-job/schedule.ts";
import type { ControllerRevision, CronJob, DaemonSet, Job, JobSpec, StatefulSet } from "../src/index.ts";
import { cells, created, createErrors, kindNamed, updateErrors } from "./support/kind-cases.ts";

const template = (restartPolicy?: string, labels: Record<string, string> = { app: "a" }) => ({
  metadata: { labels },
  spec: { containers: [{ name: "c", image: "i:1" }], ...(restartPolicy === undefined ? {} : { restartPolicy }) },
});
const job = (spec: Partial<JobSpec> = {}): Job & { spec: JobSpec } => ({
  metadata: { name: "j", namespace: "d", uid: "u" },
  spec: { template: template("Never"), ...spec },
});
const POLICY = { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [1] } }] };

test("a job gets its defaults, a selector of its own, and no status", () => {
  const stored = created("jobs.batch", job({ podFailurePolicy: POLICY }));
  expect(stored.spec).toMatchObject({
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    completionMode: "NonIndexed",
    suspend: false,
    podReplacementPolicy: "Failed",
    selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "u" } },
  });
  expect(stored.spec.template.metadata?.labels).toEqual({
    app: "a",
    "controller-uid": "u",
    "job-name": "j",
    "batch.kubernetes.io/controller-uid": "u",
    "batch.kubernetes.io/job-name": "j",
  });
  // As upstream's, which takes the template's labels for its own before it adds to them.
  expect(stored.metadata).toMatchObject({ generation: 1, labels: { app: "a", "job-name": "j" } });
  expect(stored.status).toEqual({});
});

const BAD_JOBS: [string, Job, string[]][] = [
  ["a good one", job(), []],
  [
    "pods that always restart",
    job({ template: template() }),
    ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
  ],
  [
    "fewer than no completions",
    job({ completions: -1 }),
    ["spec.completions: Invalid value: -1: must be greater than or equal to 0"],
  ],
  [
    "indexes without completions",
    job({ completionMode: "Indexed", parallelism: 2 }),
    ["spec.completions: Required value: when completion mode is Indexed"],
  ],
  [
    "limits an index that is not there",
    job({ backoffLimitPerIndex: 1 }),
    ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
  ],
  [
    "a selector of somebody else",
    job({ selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "other" } } }),
    [
      'spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"other"}}: `selector` not auto-generated',
      'spec.template.metadata.labels: Invalid value: {"app":"a","batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"j"}: `selector` does not match template `labels`',
    ],
  ],
  [
    "a failure policy with pods that restart",
    job({ podFailurePolicy: POLICY, template: template("OnFailure") }),
    [
      'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
    ],
  ],
  [
    "no rule of success",
    job({ completionMode: "Indexed", completions: 3, successPolicy: { rules: [{ succeededIndexes: "0-5" }] } }),
    [
      'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-5": error parsing succeededIndexes: too large index: "5"',
    ],
  ],
];
test.each(BAD_JOBS)("job: %s", (_, object, errors) => expect(createErrors("jobs.batch", object)).toEqual(errors));

describe("updates of a job", () => {
  test("its template never changes, unless it was suspended and never ran", () => {
    const move = (object: Job) => {
      if (object.spec?.template.spec) object.spec.template.spec.nodeSelector = { disk: "ssd" };
    };
    expect(updateErrors("jobs.batch", job(), move).join()).toContain("spec.template: Invalid value");
    expect(updateErrors("jobs.batch", job({ suspend: true }), move)).toEqual([]);
  });
  test("indexed completions change only with parallelism", () => {
    const indexed = job({ completionMode: "Indexed", completions: 2, parallelism: 2 });
    expect(
      updateErrors("jobs.batch", indexed, ({ spec }) => Object.assign(spec, { completions: 3, parallelism: 3 })),
    ).toEqual([]);
    expect(updateErrors("jobs.batch", indexed, ({ spec }) => Object.assign(spec, { completions: 3 }))).toEqual([
      "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
    ]);
  });
});

const at = (seconds: number) => new Date(seconds * 1000).toISOString();
test("what kubectl shows of a job", () => {
  const done = {
    ...job({ completions: 3 }),
    status: {
      succeeded: 3,
      startTime: at(10),
      completionTime: at(75),
      conditions: [{ type: "Complete", status: "True" }],
    },
  };
  expect(cells("jobs.batch", { ...done, metadata: { name: "j", creationTimestamp: at(0) } }, 300_000)).toEqual({
    Name: "j",
    Status: "Complete",
    Completions: "3/3",
    Duration: "65s",
    Age: "5m",
  });
});

const cronJob = (spec: object = {}): CronJob => ({
  metadata: { name: "cj" },
  spec: { schedule: "*/5 * * * *", jobTemplate: { spec: { template: template("Never") } }, ...spec },
});
const BAD_CRON_JOBS: [string, object, string[]][] = [
  ["a good one", {}, []],
  ["no schedule", { schedule: "" }, ["spec.schedule: Required value"]],
  [
    "too few fields",
    { schedule: "* * *" },
    ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
  ],
  [
    "a minute that never comes",
    { schedule: "70 * * * *" },
    ['spec.schedule: Invalid value: "70 * * * *": end of range (70) above maximum (59): 70'],
  ],
  [
    "a zone in the schedule",
    { schedule: "TZ=UTC 0 * * * *" },
    [
      'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    ],
  ],
  [
    "a zone nobody knows",
    { timeZone: "Moon/Tycho" },
    ['spec.timeZone: Invalid value: "Moon/Tycho": unknown time zone Moon/Tycho'],
  ],
  [
    "a policy nobody knows",
    { concurrencyPolicy: "Maybe" },
    ['spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"'],
  ],
];
test.each(BAD_CRON_JOBS)("cron job: %s", (_, spec, errors) => {
  expect(createErrors("cronjobs.batch", cronJob(spec))).toEqual(errors);
});

test.each([
  ["@daily", { minutes: [0], hours: [0], anyDay: true }],
  ["0,30 8-10/2 1 JAN mon", { minutes: [0, 30], hours: [8, 10], days: [1], months: [1], weekdays: [1], anyDay: false }],
  ["50/5 * ? * *", { minutes: [50, 55], anyDay: true, anyWeekday: true }],
  ["@every 1h30m", { everyMs: 5_400_000 }],
])("the schedule %s", (text, expected) => expect(parseSchedule(text)).toMatchObject(expected));

const claims = (mount = "data"): StatefulSet => ({
  metadata: { name: "s" },
  spec: {
    serviceName: "s",
    selector: { matchLabels: { app: "a" } },
    template: {
      metadata: { labels: { app: "a" } },
      spec: { containers: [{ name: "c", image: "i", volumeMounts: [{ name: mount, mountPath: "/d" }] }] },
    },
    volumeClaimTemplates: [
      {
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
      },
    ],
  },
});

test("a stateful set: defaults, claims as volumes, and what may change", () => {
  expect(created("statefulsets.apps", claims()).spec).toMatchObject({
    replicas: 1,
    podManagementPolicy: "OrderedReady",
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
    volumeClaimTemplates: [
      { kind: "PersistentVolumeClaim", spec: { volumeMode: "Filesystem" }, status: { phase: "Pending" } },
    ],
  });
  expect(createErrors("statefulsets.apps", claims())).toEqual([]);
  expect(createErrors("statefulsets.apps", claims("other"))).toEqual([
    'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "other"',
  ]);
  const scaled = updateErrors("statefulsets.apps", claims(), ({ spec }) => Object.assign(spec ?? {}, { replicas: 3 }));
  expect(scaled).toEqual([]);
  expect(
    updateErrors("statefulsets.apps", claims(), ({ spec }) => Object.assign(spec ?? {}, { serviceName: "t" })),
  ).toEqual([
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
  ]);
});

const daemonSet = (updateStrategy = {}): DaemonSet => ({
  metadata: { name: "d" },
  spec: { selector: { matchLabels: { app: "a" } }, template: template(), updateStrategy },
});

test("a daemon set: defaults, template generation, refusals", () => {
  const stored = created("daemonsets.apps", daemonSet());
  expect(stored.metadata?.annotations).toEqual({ "deprecated.daemonset.template.generation": "1" });
  const next = deepClone(stored);
  if (next.spec?.template.spec?.containers[0]) next.spec.template.spec.containers[0].image = "i:2";
  kindNamed("daemonsets.apps").strategy.prepareForUpdate(next, stored, { nowMs: 0 });
  expect(next.metadata).toMatchObject({
    generation: 2,
    annotations: { "deprecated.daemonset.template.generation": "2" },
  });
  expect(createErrors("daemonsets.apps", daemonSet({ rollingUpdate: { maxSurge: 1 } }))).toEqual([
    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
  ]);
  expect(
    createErrors("daemonsets.apps", { ...daemonSet(), spec: { ...daemonSet().spec, selector: {} } } as DaemonSet),
  ).toEqual(["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"]);
});

test("a replication controller takes labels and selector from its template", () => {
  const stored = created("replicationcontrollers", {
    metadata: { name: "r" },
    spec: { template: template() },
  });
  expect(stored).toMatchObject({ metadata: { labels: { app: "a" } }, spec: { replicas: 1, selector: { app: "a" } } });
  expect(
    createErrors("replicationcontrollers", { spec: { selector: { app: "b" }, template: template() } } as object),
  ).toEqual(['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`']);
});

test("a revision never changes what it holds", () => {
  const revision: ControllerRevision = { metadata: { name: "r" }, revision: 1, data: { spec: 1 } };
  expect(updateErrors("controllerrevisions.apps", revision, (object) => (object.data = { spec: 2 }))).toEqual([
    'data: Invalid value: {"spec":2}: field is immutable',
  ]);
});
