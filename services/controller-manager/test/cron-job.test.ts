// CronJobs: when a schedule fires, what a CronJob does about its time, and a whole one in a cluster under virtual time.
import { CRON_JOBS, JOBS, type CronJob, type CronJobSpec, type Job } from "@coxswain/api";
import { parseSchedule } from "@coxswain/api/batch-v1/cron-job/schedule";
import { formatTime } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import { jobFromTemplate, observeJobs, planCronJob, SCHEDULED_TIME, surplusJobs } from "../src/cron-job/plan.ts";
import { nextTime, timesDue, wallClock } from "../src/cron-job/schedule-times.ts";
import { makeFixture, type Fixture } from "./cluster-fixture.ts";

const at = (text: string): number => Date.parse(text);
const next = (schedule: string, after: string, zone?: string): string | undefined => {
  const ms = nextTime(parseSchedule(schedule), at(after), wallClock(zone));
  return ms === undefined ? undefined : new Date(ms).toISOString();
};

describe("when a schedule fires", () => {
  test.each([
    ["* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00.000Z"],
    ["* * * * *", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00.000Z"],
    ["*/15 2 * * *", "2026-01-01T02:46:00Z", "2026-01-02T02:00:00.000Z"],
    ["0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00.000Z"],
    ["0 12 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T12:00:00.000Z"],
    ["0 12 13 * *", "2026-01-01T00:00:00Z", "2026-01-13T12:00:00.000Z"],
    ["30 4 * * sun", "2026-01-01T00:00:00Z", "2026-01-04T04:30:00.000Z"],
    ["@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00.000Z"],
    ["@every 90s", "2026-01-01T00:00:00.500Z", "2026-01-01T00:01:30.000Z"],
  ])("%s after %s", (schedule, after, expected) => {
    expect(next(schedule, after)).toBe(expected);
  });

  test("31 February never comes", () => {
    expect(next("0 0 31 2 *", "2026-01-01T00:00:00Z")).toBeUndefined();
  });

  test("the wall clock is that of the zone, and what a change of clocks leaves out does not fire", () => {
    expect(next("0 9 * * *", "2026-01-01T00:00:00Z", "Asia/Kolkata")).toBe("2026-01-01T03:30:00.000Z");
    expect(next("0 9 * * *", "2026-07-01T00:00:00Z", "Europe/Berlin")).toBe("2026-07-01T07:00:00.000Z");
    // 29 March 2026, 02:30 does not exist in Berlin.
    expect(next("30 2 29 3 *", "2026-03-01T00:00:00Z", "Europe/Berlin")).toBe("2027-03-29T00:30:00.000Z");
  });

  test("the latest of many missed times is found without counting all", () => {
    const due = (schedule: string, from: string, to: string) => {
      const { dueMs, missed } = timesDue(parseSchedule(schedule), at(from), at(to), wallClock(undefined));
      return [dueMs === undefined ? undefined : new Date(dueMs).toISOString(), missed];
    };
    expect(due("0 * * * *", "2026-01-01T00:30:00Z", "2026-01-01T00:59:00Z")).toEqual([undefined, 0]);
    expect(due("0 * * * *", "2026-01-01T00:30:00Z", "2026-01-01T03:10:00Z")).toEqual(["2026-01-01T03:00:00.000Z", 3]);
    expect(due("* * * * *", "2025-01-01T00:00:00Z", "2026-01-01T00:00:30Z")[0]).toBe("2026-01-01T00:00:00.000Z");
    expect(due("@every 10s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:05Z")).toEqual(["2026-01-01T00:01:00.000Z", 6]);
  });
});

const CREATED = "2026-01-01T00:00:30Z";

function cronJob(spec: Partial<CronJobSpec> = {}, status: CronJob["status"] = {}): CronJob {
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "tick", namespace: "default", uid: "cron-uid", creationTimestamp: CREATED },
    spec: {
      schedule: "* * * * *",
      concurrencyPolicy: "Allow",
      jobTemplate: {
        metadata: { labels: { app: "tick" } },
        spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } } },
      },
      ...spec,
    },
    status,
  };
}

function endedJob(name: string, type: "Complete" | "Failed", startTime: string): Job {
  const conditions = [{ type, status: "True" }];
  return {
    metadata: { name, uid: `uid-${name}` },
    status: { conditions, startTime, ...(type === "Complete" ? { completionTime: startTime } : {}) },
  };
}

describe("what a CronJob does", () => {
  const plan = (now: string, spec: Partial<CronJobSpec> = {}, active: string[] = [], status = {}) => {
    const found = planCronJob(
      cronJob(spec, status),
      active.map((name) => ({ name, uid: name })),
      at(now),
    );
    const start = found.startMs === undefined ? undefined : new Date(found.startMs).toISOString();
    return {
      start,
      replace: found.replace,
      reasons: found.reports.map(({ reason }) => reason),
      again: found.againInMs,
    };
  };

  test("it waits for its time, then starts, and not twice for one time", () => {
    expect(plan("2026-01-01T00:00:40Z")).toEqual({ start: undefined, replace: false, reasons: [], again: 20_100 });
    expect(plan("2026-01-01T00:01:00Z").start).toBe("2026-01-01T00:01:00.000Z");
    const seen = { lastScheduleTime: "2026-01-01T00:01:00Z" };
    expect(plan("2026-01-01T00:01:10Z", {}, [], seen).start).toBeUndefined();
    const name = `tick-${at("2026-01-01T00:01:00Z") / 60_000}`;
    expect(plan("2026-01-01T00:01:10Z", {}, [name]).start).toBeUndefined();
  });

  test("a fixed interval goes on from the time before, however often it is looked at", () => {
    const every = { schedule: "@every 90s" };
    expect(plan("2026-01-01T00:01:40Z", every)).toMatchObject({ start: undefined, again: 20_100 });
    const seen = { lastScheduleTime: "2026-01-01T00:02:00Z" };
    expect(plan("2026-01-01T00:03:00Z", every, [], seen)).toMatchObject({ start: undefined, again: 30_100 });
    expect(plan("2026-01-01T00:03:40Z", every, [], seen)).toMatchObject({
      start: "2026-01-01T00:03:30.000Z",
      again: 80_100,
    });
  });

  test("while another runs: Allow, Forbid, Replace", () => {
    const now = "2026-01-01T00:01:00Z";
    expect(plan(now, { concurrencyPolicy: "Allow" }, ["a"])).toMatchObject({
      start: "2026-01-01T00:01:00.000Z",
      replace: false,
    });
    expect(plan(now, { concurrencyPolicy: "Forbid" }, ["a"])).toMatchObject({
      start: undefined,
      reasons: ["JobAlreadyActive"],
    });
    expect(plan(now, { concurrencyPolicy: "Replace" }, ["a"])).toMatchObject({
      start: "2026-01-01T00:01:00.000Z",
      replace: true,
    });
  });

  test("what is too late is missed, what was missed too often is told", () => {
    const late = { schedule: "0 1 * * *", startingDeadlineSeconds: 100 };
    expect(plan("2026-01-01T01:01:00Z", late).start).toBe("2026-01-01T01:00:00.000Z");
    expect(plan("2026-01-01T01:02:00Z", late).start).toBeUndefined();
    expect(plan("2026-01-01T03:00:00Z")).toMatchObject({
      start: "2026-01-01T03:00:00.000Z",
      reasons: ["TooManyMissedTimes"],
    });
  });

  test("suspended, with an unknown zone or a schedule that cannot be read, it does nothing", () => {
    const now = "2026-01-01T00:01:00Z";
    expect(plan(now, { suspend: true })).toMatchObject({ start: undefined, reasons: [] });
    expect(plan(now, { timeZone: "Moon/Crater" })).toMatchObject({ start: undefined, reasons: ["UnknownTimeZone"] });
    expect(plan(now, { schedule: "never" })).toMatchObject({ start: undefined, reasons: ["UnparseableSchedule"] });
    expect(plan(now, { schedule: "59 23 31 2 *" })).toMatchObject({
      start: undefined,
      reasons: ["InvalidSchedule"],
      again: undefined,
    });
  });

  test("ended Jobs leave the list and are kept up to the limits, oldest go first", () => {
    const jobs = [1, 2, 3, 4].map((n) => endedJob(`c${n}`, "Complete", `2026-01-01T00:0${n}:00Z`));
    const failures = [1, 2].map((n) => endedJob(`f${n}`, "Failed", `2026-01-01T00:0${n}:00Z`));
    const active = ["c1", "f1", "lost"].map((name) => ({ name, uid: name === "lost" ? "lost" : `uid-${name}` }));
    const seen = observeJobs(cronJob({}, { active }), [...jobs, ...failures]);
    expect(seen.active).toEqual([]);
    expect(seen.lastSuccessfulTime).toBe("2026-01-01T00:04:00Z");
    expect(seen.reports.map(({ message }) => message)).toEqual([
      "Saw completed job: c1, condition: Complete",
      "Saw completed job: f1, condition: Failed",
      "Active job went missing: lost",
    ]);
    expect(surplusJobs(cronJob(), [...failures, ...jobs.toReversed()]).map(({ metadata }) => metadata?.name)).toEqual([
      "c1",
      "f1",
    ]);
  });
});

/** A cluster in which the CronJob has just been made. */
function startCluster(spec: Partial<CronJobSpec> = {}): Fixture {
  const fixture = makeFixture({ measured: true });
  fixture.seedNamespace();
  // The api-server would give each Job a selector of its own.
  const labels = { job: "tick" };
  const template = { metadata: { labels }, spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } };
  const jobTemplate = { metadata: { labels: { app: "tick" } }, spec: { selector: { matchLabels: labels }, template } };
  const { status: _status, ...fresh } = cronJob({ ...spec, jobTemplate });
  const created = { ...fresh, metadata: { ...fresh.metadata, creationTimestamp: formatTime(fixture.env.clock.now()) } };
  fixture.cluster.seed(CRON_JOBS, created);
  fixture.start();
  return fixture;
}

test("in a cluster one Job is made for each minute, and its end is noted", async () => {
  const fixture = startCluster();
  const jobs = (): Job[] => fixture.cluster.objects<Job>(JOBS);
  const cron = (): CronJob | undefined => fixture.cluster.objects<CronJob>(CRON_JOBS)[0];
  expect(await fixture.until(() => jobs().length === 2, 180_000)).toBe(true);
  expect(await fixture.until(() => cron()?.status?.active?.length === 2)).toBe(true);
  const [first] = jobs();
  expect(first?.metadata).toMatchObject({
    labels: { app: "tick" },
    ownerReferences: [{ kind: "CronJob", name: "tick", controller: true }],
  });
  const now = formatTime(fixture.env.clock.now());
  const conditions = [{ type: "Complete", status: "True", lastTransitionTime: now }];
  const done = { status: { conditions, startTime: now, completionTime: now } };
  const target = { namespace: "default", name: first?.metadata?.name ?? "" };
  await fixture.settle(
    fixture.admin.patch(JOBS, target, "application/merge-patch+json", done, { subresource: "status" }),
  );
  expect(await fixture.until(() => cron()?.status?.lastSuccessfulTime === now)).toBe(true);
  expect(cron()?.status?.active?.some(({ name }) => name === target.name)).toBe(false);
  const skew = await fixture.figures("cronjob_controller_job_creation_skew_duration_seconds");
  expect(Object.values(skew)).toEqual([expect.any(Number), 2]);
  expect(Object.values(skew)[0]).toBeLessThan(2);
});

test.each(["jobs", "cronjobs"])(
  "a cache of %s that is behind loses no Job and tells of none as lost",
  async (resource) => {
    const fixture = startCluster({ concurrencyPolicy: "Forbid" });
    const cron = (): CronJob | undefined => fixture.cluster.objects<CronJob>(CRON_JOBS)[0];
    await fixture.until(() => fixture.cluster.openWatches > 10);
    const behind = [
      fixture.cluster.inject({ verb: "watch", resource }),
      fixture.cluster.inject({ verb: "list", resource }),
    ];
    fixture.cluster.breakWatches();
    expect(await fixture.until(() => cron()?.status?.active?.length === 1, 90_000)).toBe(true);
    await fixture.until(() => false, 20_000);
    for (const fault of behind) fault.remove();
    await fixture.until(() => false, 30_000);
    expect([...fixture.events("UnexpectedJob"), ...fixture.events("MissingJob")]).toEqual([]);
    expect(cron()?.status?.active).toHaveLength(1);
  },
);

test("the annotation tells the time by the clock of the schedule's zone", () => {
  const scheduled = (timeZone: string | undefined, ms: string): unknown =>
    jobFromTemplate(cronJob(timeZone === undefined ? {} : { timeZone }), at(ms)).metadata?.annotations?.[
      SCHEDULED_TIME
    ];
  expect(scheduled(undefined, "2026-01-01T00:01:00Z")).toBe("2026-01-01T00:01:00Z");
  expect(scheduled("Europe/London", "2026-01-01T00:01:00Z")).toBe("2026-01-01T00:01:00Z");
  expect(scheduled("Europe/Berlin", "2026-07-01T07:00:00Z")).toBe("2026-07-01T09:00:00+02:00");
  expect(scheduled("America/St_Johns", "2026-01-01T00:01:00Z")).toBe("2025-12-31T20:31:00-03:30");
});
