// What the Job controller counts, as upstream: looks, ended Jobs, pods and indexes, rules for failures, pods held and made.
import { JOBS, type Job, type JobSpec, type Pod } from "@coxswain/api";
import { expect, test } from "vitest";
import { endPods } from "./job-pods-end.ts";
import { makeFixture } from "./cluster-fixture.ts";

const LABELS = { "batch.kubernetes.io/controller-uid": "job-uid" };

function job(spec: Partial<JobSpec>): Job {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "work", namespace: "default", generation: 1 },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      completionMode: "NonIndexed",
      podReplacementPolicy: "TerminatingOrFailed",
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] },
      },
      ...spec,
    },
    status: {},
  };
}

/** Figures once the Job has ended and its pods are let go; names without what they have in common. */
async function figures(spec: Partial<JobSpec>, how: (pod: Pod) => string | undefined): Promise<Record<string, number>> {
  const fixture = makeFixture({ measured: true });
  fixture.seedNamespace();
  endPods(fixture, how);
  fixture.cluster.seed(JOBS, job(spec));
  fixture.start();
  const ended = (): boolean =>
    fixture.cluster
      .objects<Job>(JOBS)
      .some(({ status }) => status?.conditions?.some(({ type }) => type === "Complete" || type === "Failed"));
  expect(await fixture.until(ended, 300_000)).toBe(true);
  await fixture.env.advance(5_000);
  const found = await fixture.figures("job_controller_");
  return Object.fromEntries(Object.entries(found).map(([key, value]) => [key.replace("job_controller_", ""), value]));
}

test("an Indexed Job that succeeds", async () => {
  const found = await figures({ completionMode: "Indexed", completions: 3, parallelism: 2 }, () => "Succeeded");
  expect(found).toMatchObject({
    'jobs_finished_total{completion_mode="Indexed",result="succeeded",reason="CompletionsReached"}': 1,
    'job_pods_finished_total{completion_mode="Indexed",result="succeeded"}': 3,
    'job_pods_finished_total{completion_mode="Indexed",result="failed"}': 0,
    'job_finished_indexes_total{status="succeeded",backoffLimit="global"}': 3,
    'job_pods_creation_total{reason="new",status="succeeded"}': 3,
    'terminated_pods_tracking_finalizer_total{event="add"}': 3,
    'terminated_pods_tracking_finalizer_total{event="delete"}': 3,
  });
  const made = 'completion_mode="Indexed",result="success",action="pods_created"';
  expect(found[`job_syncs_total{${made}}`]).toBeGreaterThanOrEqual(2);
  expect(found[`job_sync_duration_seconds_count{${made}}`]).toBe(found[`job_syncs_total{${made}}`]);
  // A pod takes a round trip of the virtual network.
  expect(found[`job_sync_duration_seconds_sum{${made}}`]).toBeGreaterThan(0);
});

test("pods that fail, by rules and without", async () => {
  const rules = [{ action: "Ignore", onExitCodes: { operator: "In", values: [1] } }];
  let left = 1;
  const ignored = await figures({ podFailurePolicy: { rules } }, () => (left-- > 0 ? "Failed" : "Succeeded"));
  expect(ignored).toMatchObject({
    'pod_failures_handled_by_failure_policy_total{action="Ignore"}': 1,
    'job_pods_finished_total{completion_mode="NonIndexed",result="failed"}': 0,
    'job_pods_finished_total{completion_mode="NonIndexed",result="succeeded"}': 1,
    'job_pods_creation_total{reason="new",status="succeeded"}': 2,
  });
  const spent = await figures({ backoffLimit: 1 }, () => "Failed");
  expect(spent).toMatchObject({
    'jobs_finished_total{completion_mode="NonIndexed",result="failed",reason="BackoffLimitExceeded"}': 1,
    'job_pods_finished_total{completion_mode="NonIndexed",result="failed"}': 2,
    'job_pods_creation_total{reason="new",status="succeeded"}': 1,
    'job_pods_creation_total{reason="recreate_terminating_or_failed",status="succeeded"}': 1,
  });
  expect(Object.keys(spent).filter((key) => key.startsWith("pod_failures"))).toEqual([]);
});

test("indexes that have failed for good, and Jobs of another controller", async () => {
  const limits = { completionMode: "Indexed", backoffLimitPerIndex: 0, backoffLimit: 2 ** 31 - 1 };
  expect(await figures(limits, () => "Failed")).toMatchObject({
    'job_finished_indexes_total{status="failed",backoffLimit="perIndex"}': 1,
  });
  const fixture = makeFixture({ measured: true });
  fixture.seedNamespace();
  fixture.cluster.seed(JOBS, job({ managedBy: "example.com/queue" }));
  fixture.start();
  await fixture.env.advance(5_000);
  expect(await fixture.figures("job_controller_")).toEqual({
    'job_controller_jobs_by_external_controller_total{controller_name="example.com/queue"}': 1,
  });
});
