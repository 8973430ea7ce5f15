// Jobs: what they plan, how failures count, and whole Jobs in a cluster whose pods end as they are told.
import { JOBS, PODS, type Job, type JobSpec, type Pod } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatIndexSet, parseIndexSet } from "../src/job/indexes.ts";
import { isBehind, isTracked, TRACKING_FINALIZER } from "../src/job/job-pods.ts";
import { planJobStatus } from "../src/job/plan-status.ts";
import { planJob } from "../src/job/plan.ts";
import { controllerOf } from "../src/ownership/controller-ref.ts";
import { expiresInMs } from "../src/job/ttl.ts";
import { makeFixture } from "./cluster-fixture.ts";
import { endPods } from "./job-pods-end.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");

function job(spec: Partial<JobSpec> = {}, status: Job["status"] = {}): Job {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "work", namespace: "default", uid: "job-uid", generation: 1 },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      completionMode: "NonIndexed",
      podReplacementPolicy: "TerminatingOrFailed",
      selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "job-uid" } },
      template: {
        metadata: { labels: { "batch.kubernetes.io/controller-uid": "job-uid" } },
        spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] },
      },
      ...spec,
    },
    status,
  };
}

let serial = 0;
interface PodWish {
  readonly phase?: string;
  readonly index?: number;
  readonly exitCode?: number;
  readonly endedMs?: number;
  readonly deleting?: boolean;
  readonly tracked?: boolean;
  readonly failuresBefore?: number;
}

function pod({ phase = "Running", index, exitCode, endedMs, deleting, tracked = true, failuresBefore }: PodWish): Pod {
  const annotations = {
    ...(index === undefined ? {} : { "batch.kubernetes.io/job-completion-index": String(index) }),
    ...(failuresBefore === undefined ? {} : { "batch.kubernetes.io/job-index-failure-count": String(failuresBefore) }),
  };
  const finishedAt = formatTime(endedMs ?? NOW - 60_000);
  const state = exitCode === undefined ? {} : { terminated: { exitCode, finishedAt } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `p${++serial}`,
      namespace: "default",
      uid: `uid-${serial}`,
      annotations,
      ...(tracked ? { finalizers: [TRACKING_FINALIZER] } : {}),
      ...(deleting === true ? { deletionTimestamp: formatTime(NOW) } : {}),
    },
    status: {
      phase,
      conditions: [{ type: "Ready", status: phase === "Running" ? "True" : "False" }],
      containerStatuses: [{ name: "c", image: "i", imageID: "", ready: false, restartCount: 0, state }],
    },
  };
}

const failed = (more: PodWish = {}): Pod => pod({ phase: "Failed", exitCode: 1, endedMs: NOW - 3_600_000, ...more });
const succeeded = (more: PodWish = {}): Pod => pod({ phase: "Succeeded", exitCode: 0, ...more });
const many = (count: number, make: () => Pod): Pod[] => Array.from({ length: count }, make);
const indexesOf = (spec: Partial<JobSpec>, pods: Pod[], status: Job["status"] = {}): unknown[] =>
  planJob(job({ completionMode: "Indexed", ...spec }, status), pods, NOW).create.map(({ index }) => index);

describe("sets of indexes", () => {
  test("read back as they were written", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(60)), (indexes) => {
        const sorted = indexes.toSorted((a, b) => a - b);
        expect([...parseIndexSet(formatIndexSet(indexes))]).toEqual(sorted);
      }),
    );
    expect(formatIndexSet([7, 1, 3, 5, 4, 8])).toBe("1,3-5,7,8");
  });
});

describe("how many pods", () => {
  test.each([
    ["as many as are wanted at a time", { parallelism: 3, completions: 5 }, [], 3],
    ["no more than are left to succeed", { parallelism: 3, completions: 5 }, many(4, succeeded), 1],
    ["none beside those that run", { parallelism: 2, completions: 5 }, many(2, () => pod({})), 0],
    ["without a number, one success is enough", { parallelism: 3, completions: undefined }, [succeeded(), pod({})], 0],
    ["none while it is suspended", { suspend: true }, [], 0],
    ["a pod on its way out is replaced at once", {}, [pod({ deleting: true, tracked: false })], 1],
    ["or when it has ended", { podReplacementPolicy: "Failed" }, [pod({ deleting: true })], 0],
  ])("%s", (_name, spec, pods, created) => {
    expect(planJob(job(spec), pods, NOW).create).toHaveLength(created);
  });

  test("surplus and suspended pods are taken away", () => {
    expect(
      planJob(
        job({ parallelism: 1, completions: 5 }),
        many(3, () => pod({})),
        NOW,
      ).remove,
    ).toHaveLength(2);
    expect(
      planJob(
        job({ suspend: true }),
        many(2, () => pod({})),
        NOW,
      ).remove,
    ).toHaveLength(2);
  });

  test("failures delay the next pod, longer each time", () => {
    const wait = (failures: number) =>
      planJob(
        job(),
        many(failures, () => failed({ endedMs: NOW - 1_000 })),
        NOW,
      ).againInMs;
    expect([wait(1), wait(2), wait(3)]).toEqual([9_000, 19_000, 39_000]);
    expect(planJob(job(), [failed({ endedMs: NOW - 10_000 })], NOW).create).toHaveLength(1);
  });

  test("failures that do not count delay the next pod too", () => {
    const rules = { podFailurePolicy: { rules: [{ action: "Ignore", onExitCodes: { operator: "In", values: [1] } }] } };
    const lately = failed({ endedMs: NOW - 1_000 });
    expect(planJob(job(rules), [lately], NOW)).toMatchObject({ create: [], againInMs: 9_000 });
    const perIndex = { ...rules, completionMode: "Indexed", backoffLimitPerIndex: 1 };
    const last = failed({ index: 0, endedMs: NOW - 1_000 });
    expect(planJob(job(perIndex), [last], NOW)).toMatchObject({ create: [], againInMs: 9_000 });
    expect(planJob(job(perIndex), [last], NOW + 9_000).create).toEqual([{ index: 0, failures: 0, ignored: 1 }]);
  });

  test("a pod that was taken away while it ran delays the next one from then on", () => {
    const ready = { type: "Ready", status: "True", lastTransitionTime: formatTime(NOW - 3_600_000) };
    const gone = pod({ deleting: true });
    const away = {
      ...gone,
      metadata: { ...gone.metadata, deletionTimestamp: formatTime(NOW + 29_000), deletionGracePeriodSeconds: 30 },
      status: { ...gone.status, conditions: [ready] },
    };
    expect(planJob(job(), [away], NOW)).toMatchObject({ create: [], againInMs: 9_000 });
  });

  test("indexes that nobody works on are taken up, lowest first", () => {
    const spec = { parallelism: 3, completions: 5 };
    expect(indexesOf(spec, [])).toEqual([0, 1, 2]);
    expect(indexesOf(spec, [succeeded({ index: 0 }), pod({ index: 2 })])).toEqual([1, 3]);
    expect(indexesOf(spec, [], { completedIndexes: "0-3", succeeded: 4 })).toEqual([4]);
  });
});

describe("an Indexed Job with pods that it has no use for", () => {
  const removed = (spec: Partial<JobSpec>, all: readonly Pod[]): unknown[] =>
    planJob(job({ completionMode: "Indexed", ...spec }), all, NOW).remove.map((one) => all.indexOf(one));

  test("that was made smaller takes the indexes beyond away, not those that it still needs", () => {
    const all = [0, 1, 2, 3].map((index) => pod({ index, ...(index > 1 ? {} : { phase: "Pending" }) }));
    expect(removed({ completions: 2, parallelism: 2 }, all)).toEqual([2, 3]);
    expect(removed({ completions: 2, parallelism: 1 }, all)).toHaveLength(3);
  });

  test("keeps one of each index", () => {
    const all = [pod({ index: 0 }), pod({ index: 0, phase: "Pending" }), pod({ index: 1 }), pod({})];
    expect(removed({ completions: 5, parallelism: 5 }, all)).toEqual([3, 1]);
  });
});

describe("how it ends", () => {
  const outcome = (spec: Partial<JobSpec>, pods: Pod[], status: Job["status"] = {}) => {
    const { outcome: found } = planJob(job(spec, status), pods, NOW);
    return found === undefined ? undefined : [found.type, found.reason, found.message];
  };
  const reached = ["SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"];

  test("with as many successes as are wanted", () => {
    expect(outcome({ completions: 2 }, [succeeded()])).toBeUndefined();
    expect(outcome({ completions: 2 }, [succeeded()], { succeeded: 1 })).toEqual(reached);
    expect(outcome({ completions: undefined }, [succeeded()])).toEqual(reached);
    expect(
      outcome(
        { completions: 2, completionMode: "Indexed" },
        [0, 1].map((index) => succeeded({ index })),
      ),
    ).toEqual(reached);
  });

  test("with more failures than are allowed", () => {
    expect(outcome({ backoffLimit: 1 }, [failed()])).toBeUndefined();
    expect(outcome({ backoffLimit: 1 }, many(2, failed))).toEqual([
      "FailureTarget",
      "BackoffLimitExceeded",
      "Job has reached the specified backoff limit",
    ]);
  });

  test("at its deadline", () => {
    const spec = { activeDeadlineSeconds: 60 };
    expect(outcome(spec, [pod({})], { startTime: formatTime(NOW - 59_000) })).toBeUndefined();
    expect(outcome(spec, [pod({})], { startTime: formatTime(NOW - 60_000) })).toEqual([
      "FailureTarget",
      "DeadlineExceeded",
      "Job was active longer than specified deadline",
    ]);
  });

  test("by its rules for failures", () => {
    const rule = (action: string, values: number[]) => ({
      backoffLimit: 0,
      podFailurePolicy: { rules: [{ action, onExitCodes: { operator: "In", values } }] },
    });
    const one = failed({ exitCode: 42 });
    expect(outcome(rule("FailJob", [42]), [one])).toEqual([
      "FailureTarget",
      "PodFailurePolicy",
      `Container c for pod default/${one.metadata?.name} failed with exit code 42 matching FailJob rule at index 0`,
    ]);
    expect(outcome(rule("Ignore", [42]), [one])).toBeUndefined();
    expect(outcome(rule("Ignore", [7]), [one])?.[1]).toBe("BackoffLimitExceeded");
  });

  test("by its rules for success", () => {
    const spec = {
      completionMode: "Indexed",
      completions: 4,
      successPolicy: { rules: [{ succeededIndexes: "0,2", succeededCount: 1 }] },
    };
    expect(outcome(spec, [succeeded({ index: 1 })])).toBeUndefined();
    expect(outcome(spec, [succeeded({ index: 2 })])).toEqual([
      "SuccessCriteriaMet",
      "SuccessPolicy",
      "Matched rules at index 0",
    ]);
  });

  test("when indexes have failed for good", () => {
    const spec = { completionMode: "Indexed", completions: 2, backoffLimitPerIndex: 1, backoffLimit: 2 ** 31 - 1 };
    const spent = failed({ index: 0, failuresBefore: 1 });
    expect(outcome(spec, [failed({ index: 0, failuresBefore: 0 })])).toBeUndefined();
    expect(outcome({ ...spec, maxFailedIndexes: 0 }, [spent])?.[1]).toBe("MaxFailedIndexesExceeded");
    const failedIndexes = ["FailureTarget", "FailedIndexes", "Job has failed indexes"];
    expect(outcome(spec, [spent, succeeded({ index: 1 })])).toEqual(failedIndexes);
    // Also where a rule for success would be met.
    const rules = { successPolicy: { rules: [{ succeededCount: 1 }] } };
    expect(outcome({ ...spec, ...rules }, [spent, succeeded({ index: 1 })])).toEqual(failedIndexes);
  });
});

test("pods that were just taken away are not ready any more", () => {
  const ready = (): Pod => {
    const made = pod({});
    return { ...made, status: { ...made.status, conditions: [{ type: "Ready", status: "True" }] } };
  };
  const smaller = job({ parallelism: 1, completions: 2 });
  const running = [ready(), ready()];
  const plan = planJob(smaller, running, NOW);
  expect(plan.remove).toHaveLength(1);
  const status = planJobStatus(smaller, running, plan, { created: 0, removed: 1 }, NOW);
  expect([status.active, status.ready]).toEqual([1, 1]);
});

test("a suspended Job that ends keeps its start", () => {
  const status = { startTime: formatTime(NOW - 1000), succeeded: 1 };
  const ended = job({ suspend: true }, status);
  const next = planJobStatus(ended, [], planJob(ended, [], NOW), { created: 0, removed: 0 }, NOW);
  expect(next.startTime).toBe(status.startTime);
  expect(next.conditions?.map(({ type }) => type)).toEqual(["SuccessCriteriaMet", "Complete"]);
});

test("a pod is in one place only: new, in the lists, or in the numbers", () => {
  const made = succeeded();
  const first = job({ completions: 2 });
  const noChange = { created: 0, removed: 0 };
  const listed = planJobStatus(first, [made], planJob(first, [made], NOW), noChange, NOW);
  expect([listed.succeeded, listed.uncountedTerminatedPods?.succeeded]).toEqual([undefined, [made.metadata?.uid]]);
  const second = { ...first, status: listed };
  const again = planJobStatus(second, [made], planJob(second, [made], NOW), noChange, NOW);
  expect(again).toEqual(listed);
  const released = { ...made, metadata: { ...made.metadata, finalizers: [] } };
  const counted = planJobStatus(second, [released], planJob(second, [released], NOW), noChange, NOW);
  expect([counted.succeeded, counted.uncountedTerminatedPods]).toEqual([1, {}]);
  const third = { ...first, status: counted };
  expect(planJobStatus(third, [released], planJob(third, [released], NOW), noChange, NOW)).toEqual(counted);
});

test("a finished Job goes when its time is over", () => {
  const conditions = [{ type: "Complete", status: "True", lastTransitionTime: formatTime(NOW - 30_000) }];
  expect(expiresInMs(job({ ttlSecondsAfterFinished: 100 }, { conditions }), NOW)).toBe(70_000);
  expect(expiresInMs(job({ ttlSecondsAfterFinished: 0 }, { conditions }), NOW)).toBe(-30_000);
  expect(expiresInMs(job({ ttlSecondsAfterFinished: 0 }), NOW)).toBeUndefined();
  expect(expiresInMs(job({}, { conditions }), NOW)).toBeUndefined();
});

test("how late a finished Job was deleted is told", async () => {
  const fixture = makeFixture({ measured: true });
  fixture.seedNamespace();
  const lastTransitionTime = formatTime(fixture.env.clock.now() - 30_000);
  const conditions = [{ type: "Complete", status: "True", lastTransitionTime }];
  fixture.cluster.seed(JOBS, job({ ttlSecondsAfterFinished: 10 }, { conditions }));
  fixture.start();
  const going = ({ metadata }: Job): boolean => metadata?.deletionTimestamp !== undefined;
  expect(await fixture.until(() => fixture.cluster.objects<Job>(JOBS).every(going))).toBe(true);
  await fixture.env.advance(1_000);
  const [sum, count] = Object.values(
    await fixture.figures("ttl_after_finished_controller_job_deletion_duration_seconds"),
  );
  expect(count).toBe(1);
  expect(sum).toBeGreaterThanOrEqual(20);
  expect(sum).toBeLessThan(30);
});

describe("in a cluster", () => {
  const start = (spec: Partial<JobSpec>, how: (pod: Pod) => string | undefined) => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    endPods(fixture, how);
    const { status: _status, ...fresh } = job(spec);
    fixture.cluster.seed(JOBS, { ...fresh, status: {} });
    fixture.start();
    const now = (): Job | undefined => fixture.cluster.objects<Job>(JOBS)[0];
    const has = (type: string) => () =>
      now()?.status?.conditions?.some((one) => one.type === type && one.status === "True") === true;
    return { fixture, now, has };
  };

  test("an Indexed Job runs each index once, counts each pod once and lets all go", async () => {
    const { fixture, now, has } = start(
      { completionMode: "Indexed", completions: 5, parallelism: 2 },
      () => "Succeeded",
    );
    expect(await fixture.until(has("Complete"))).toBe(true);
    expect(now()?.status).toMatchObject({
      succeeded: 5,
      completedIndexes: "0-4",
      ready: 0,
      terminating: 0,
      uncountedTerminatedPods: {},
    });
    expect(now()?.status?.active).toBeUndefined();
    expect(now()?.status?.conditions?.map(({ type }) => type)).toEqual(["SuccessCriteriaMet", "Complete"]);
    const names = fixture.pods().map(({ metadata }) => metadata?.name?.replace(/-\w{5}$/, ""));
    expect(names.toSorted((a, b) => ((a ?? "") < (b ?? "") ? -1 : 1))).toEqual([0, 1, 2, 3, 4].map((n) => `work-${n}`));
    expect(fixture.pods().flatMap(({ metadata }) => metadata?.finalizers ?? [])).toEqual([]);
    expect(fixture.pods()[0]?.spec?.containers[0]?.env).toEqual([
      {
        name: "JOB_COMPLETION_INDEX",
        valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']" } },
      },
    ]);
    expect(await fixture.until(() => fixture.events("Completed").length > 0)).toBe(true);
    expect(fixture.events("Completed")).toHaveLength(1);
    expect(fixture.events("SuccessfulCreate")).toHaveLength(5);
  });

  test("an index whose pods are deleted fails as often as it may, and no more", async () => {
    const limits = { completionMode: "Indexed", backoffLimitPerIndex: 1, backoffLimit: 2 ** 31 - 1 };
    const { fixture, now, has } = start(limits, () => undefined);
    fixture.cluster.onChange(({ type, object }) => {
      if (type !== "ADDED" || object.kind !== "Pod") return;
      const { namespace, name = "" } = object.metadata ?? {};
      fixture.admin.delete(PODS, { namespace, name }, { gracePeriodSeconds: 0 }).catch(() => undefined);
    });
    expect(await fixture.until(has("Failed"), 120_000)).toBe(true);
    expect(now()?.status).toMatchObject({ failed: 2, failedIndexes: "0" });
    expect(now()?.status?.conditions?.at(-1)?.reason).toBe("FailedIndexes");
    expect(await fixture.until(() => fixture.pods().length === 0)).toBe(true);
  });

  test("a Job that counted more successes than it asked for says so", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    const { metadata } = fixture.cluster.seed(JOBS, { ...job(), status: {} });
    const owner = { apiVersion: "batch/v1", kind: "Job", name: "work", uid: metadata?.uid ?? "", controller: true };
    const labels = { "batch.kubernetes.io/controller-uid": "job-uid" };
    for (const { status, ...one } of many(2, succeeded)) {
      const { uid: _uid, ...more } = one.metadata ?? {};
      fixture.cluster.seed(PODS, { ...one, metadata: { ...more, labels, ownerReferences: [owner] }, status });
    }
    fixture.start();
    expect(await fixture.until(() => fixture.events("TooManySucceededPods").length === 1)).toBe(true);
  });

  test("a Job that always fails stops at its limit", async () => {
    const { fixture, now, has } = start({ backoffLimit: 2 }, () => "Failed");
    expect(await fixture.until(has("Failed"), 300_000)).toBe(true);
    expect(now()?.status?.failed).toBe(3);
    expect(fixture.pods()).toHaveLength(3);
    expect(now()?.status?.conditions?.at(-1)).toMatchObject({ type: "Failed", reason: "BackoffLimitExceeded" });
    expect(await fixture.until(() => fixture.events("BackoffLimitExceeded").length === 1)).toBe(true);
  });

  test("at the deadline its pods go before it has failed", async () => {
    const { fixture, now, has } = start({ activeDeadlineSeconds: 30 }, () => undefined);
    const deleted = (): boolean => fixture.pods().some(({ metadata }) => metadata?.deletionTimestamp !== undefined);
    expect(await fixture.until(deleted)).toBe(true);
    expect(has("FailureTarget")() || !has("Failed")()).toBe(true);
    const [one] = fixture.pods();
    const target = { namespace: "default", name: one?.metadata?.name ?? "" };
    const status = { status: { phase: "Failed" } };
    await fixture.settle(
      fixture.admin.patch(PODS, target, "application/merge-patch+json", status, { subresource: "status" }),
    );
    expect(await fixture.until(has("Failed"))).toBe(true);
    expect(now()?.status).toMatchObject({ failed: 1 });
  });

  test("a suspended Job has no pods until it is resumed", async () => {
    const { fixture, now, has } = start({ suspend: true }, () => "Succeeded");
    expect(await fixture.until(has("Suspended"))).toBe(true);
    expect(now()?.status?.startTime).toBeUndefined();
    expect(fixture.pods()).toEqual([]);
    const target = { namespace: "default", name: "work" };
    const patch = { spec: { suspend: false } };
    await fixture.settle(fixture.admin.patch(JOBS, target, "application/merge-patch+json", patch));
    expect(await fixture.until(has("Complete"))).toBe(true);
    expect(await fixture.until(() => fixture.events("Completed").length > 0)).toBe(true);
    expect(fixture.events().map(({ reason }) => reason)).toEqual(
      expect.arrayContaining(["Suspended", "Resumed", "Completed"]),
    );
  });

  test("a pod that loses its owner is adopted again, and one that loses its labels is released", async () => {
    const { fixture, has, now } = start({}, () => undefined);
    expect(await fixture.until(() => fixture.pods().length === 1)).toBe(true);
    const name = fixture.pods()[0]?.metadata?.name ?? "";
    const patch = (metadata: object): Promise<unknown> =>
      fixture.settle(
        fixture.admin.patch(PODS, { namespace: "default", name }, "application/merge-patch+json", { metadata }),
      );
    const own = (): Pod | undefined => fixture.pods().find((one) => one.metadata?.name === name);
    await patch({ ownerReferences: null });
    expect(
      await fixture.until(() => controllerOf(own() ?? {})?.uid === now()?.metadata?.uid && isTracked(own() ?? {})),
    ).toBe(true);
    await patch({ labels: null });
    expect(await fixture.until(() => controllerOf(own() ?? {}) === undefined && !isTracked(own() ?? {}))).toBe(true);
    expect(await fixture.until(() => fixture.pods().length === 2)).toBe(true);
    expect(has("Complete")()).toBe(false);
  });

  test("pods of a Job that is deleted are let go", async () => {
    const { fixture } = start({}, () => undefined);
    expect(await fixture.until(() => fixture.pods().length === 1)).toBe(true);
    const target = { namespace: "default", name: "work" };
    await fixture.settle(fixture.admin.delete(JOBS, target, { propagationPolicy: "Orphan" }));
    const free = (): boolean => fixture.pods().every(({ metadata }) => (metadata?.finalizers ?? []).length === 0);
    expect(await fixture.until(free)).toBe(true);
  });
});

describe("a Job that is older than its pods", () => {
  const counted = (name: string, index?: number): Pod => ({
    metadata: {
      name,
      uid: name,
      ...(index === undefined ? {} : { annotations: { "batch.kubernetes.io/job-completion-index": String(index) } }),
    },
    status: { phase: "Succeeded" },
  });
  const job = (spec: Partial<NonNullable<Job["spec"]>>, status: Job["status"]): Job => ({
    metadata: { name: "j" },
    spec: { completions: 3, template: {}, ...spec },
    status,
  });
  test.each<[string, Job, Pod[], boolean]>([
    ["that knows all", job({}, { succeeded: 1 }), [counted("a")], false],
    [
      "that has it in the list still",
      job({}, { uncountedTerminatedPods: { succeeded: ["a"] } }),
      [counted("a")],
      false,
    ],
    ["that does not know one", job({}, { succeeded: 1 }), [counted("a"), counted("b")], true],
    [
      "of indexes that knows them",
      job({ completionMode: "Indexed" }, { completedIndexes: "0" }),
      [counted("a", 0)],
      false,
    ],
    [
      "of indexes that does not",
      job({ completionMode: "Indexed" }, { completedIndexes: "1" }),
      [counted("a", 0)],
      true,
    ],
    ["whose pod is gone", job({}, { succeeded: 2 }), [counted("a")], false],
  ])("%s: %#", (_, one, pods, expected) => {
    expect(isBehind(one, pods)).toBe(expected);
  });
});

test("an Indexed Job that was made smaller counts the indexes that are left", () => {
  const job: Job = {
    metadata: { name: "j" },
    spec: { completions: 2, parallelism: 2, completionMode: "Indexed", template: {} },
    status: { completedIndexes: "1,3,4", startTime: "2026-01-01T00:00:00Z" },
  };
  const plan = planJob(job, [], Date.parse("2026-01-01T00:01:00Z"));
  expect([...plan.completedIndexes]).toEqual([1]);
  expect(plan.create.map(({ index }) => index)).toEqual([0]);
});
