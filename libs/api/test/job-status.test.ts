// How a Job's status may go on: what is final stays, counters do not shrink, and conditions, times and indexes agree.
import { deepClone } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import type { Job, JobSpec, JobStatus } from "../src/index.ts";
import { created, statusErrors } from "./support/kind-cases.ts";

const START = "2026-01-01T00:00:00Z";
const END = "2026-01-01T01:00:00Z";
const INDEXED: Partial<JobSpec> = { completionMode: "Indexed", completions: 5, parallelism: 2 };
const C = "status.conditions: Invalid value";

const holding = (...types: string[]): JobStatus["conditions"] => types.map((type) => ({ type, status: "True" }));
const done = (...types: string[]): JobStatus => ({
  startTime: START,
  completionTime: END,
  conditions: holding(...types),
});

function stored(spec: Partial<JobSpec>, status: JobStatus): Job {
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i:1" }] } };
  const job = created<Job>("jobs.batch", {
    metadata: { name: "j", namespace: "d", uid: "u" },
    spec: { template, ...spec },
  });
  return { ...job, status };
}

test.each<[string, Partial<JobSpec>, JobStatus, JobStatus, string[]]>([
  ["a Job that succeeds", {}, { startTime: START }, done("SuccessCriteriaMet", "Complete"), []],
  [
    "success that nobody decided",
    {},
    { startTime: START },
    done("Complete"),
    [`${C}: cannot set Complete=True condition without the SuccessCriteriaMet=true condition`],
  ],
  [
    "failure without its target",
    {},
    { startTime: START },
    { startTime: START, conditions: holding("Failed") },
    [`${C}: cannot set Failed=True condition without the FailureTarget=true condition`],
  ],
  [
    "success and failure",
    {},
    { startTime: START },
    done("SuccessCriteriaMet", "Complete", "FailureTarget", "Failed"),
    [
      `${C}: cannot set Complete=True and Failed=true conditions`,
      `${C}: cannot set Complete=True and FailureTarget=true conditions`,
      `${C}: cannot set SuccessCriteriaMet=True and Failed=true conditions`,
      `${C}: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions`,
    ],
  ],
  [
    "an end that is taken back",
    {},
    done("SuccessCriteriaMet", "Complete"),
    { startTime: START },
    [
      `${C}: cannot disable the terminal Complete=True condition`,
      `${C}: cannot disable the SuccessCriteriaMet=True condition`,
    ],
  ],
  [
    "an old Job's success, told later how",
    {},
    done("Complete"),
    done("Complete", "SuccessCriteriaMet"),
    [`${C}: cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions`],
  ],
  [
    "an end with pods that go on",
    {},
    { startTime: START },
    {
      ...done("SuccessCriteriaMet", "Complete"),
      active: 1,
      terminating: 2,
      uncountedTerminatedPods: { succeeded: ["a"], failed: ["b"] },
    },
    [
      "status.active: Invalid value: 1: active>0 is invalid for finished job",
      'status.uncountedTerminatedPods: Invalid value: {"succeeded":["a"],"failed":["b"]}: must be empty for finished job',
      "status.terminating: Invalid value: 2: terminating>0 is invalid for finished job",
    ],
  ],
  [
    "an end before the start",
    {},
    { startTime: END },
    { ...done("SuccessCriteriaMet", "Complete"), startTime: END, completionTime: START },
    [`status.completionTime: Invalid value: "${START}": must be equal to or after \`startTime\``],
  ],
  [
    "an end of what never began",
    {},
    {},
    { completionTime: END, conditions: holding("SuccessCriteriaMet", "Complete") },
    ["status.startTime: Required value: startTime is required for finished job"],
  ],
  [
    "another end",
    {},
    done("SuccessCriteriaMet", "Complete"),
    { ...done("SuccessCriteriaMet", "Complete"), completionTime: "2026-01-01T02:00:00Z" },
    ['status.completionTime: Invalid value: "2026-01-01T02:00:00Z": field is immutable'],
  ],
  [
    "a start that is forgotten",
    {},
    { startTime: START },
    {},
    ["status.startTime: Required value: startTime cannot be removed for unsuspended job"],
  ],
  ["a suspended Job's start that is forgotten", { suspend: true }, { startTime: START }, {}, []],
  [
    "counters that shrink",
    {},
    { failed: 3, succeeded: 2 },
    { failed: 2, succeeded: 1, active: 1, ready: 2 },
    [
      "status.ready: Invalid value: 2: cannot set more ready pods than active",
      "status.failed: Invalid value: 2: cannot decrease the failed counter",
      "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter",
    ],
  ],
  ["an indexed Job that was scaled down", { ...INDEXED, parallelism: 5 }, { succeeded: 5 }, { succeeded: 4 }, []],
  [
    "pods that ended twice, and one without a name",
    {},
    {},
    { uncountedTerminatedPods: { succeeded: ["a", ""], failed: ["a"] } },
    [
      'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
      'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
    ],
  ],
  [
    "indexes that are no indexes",
    { ...INDEXED, backoffLimitPerIndex: 1 },
    {},
    { completedIndexes: "0,x", failedIndexes: "3-2" },
    [
      'status.completedIndexes: Invalid value: "0,x": error parsing completedIndexes: cannot convert string to integer for index: "x"',
      'status.failedIndexes: Invalid value: "3-2": error parsing failedIndexes: non-increasing order, previous: 3, current: 2',
    ],
  ],
  [
    "indexes that succeeded and failed",
    { ...INDEXED, backoffLimitPerIndex: 1 },
    {},
    { completedIndexes: "0,2-4", failedIndexes: "1,3" },
    ['status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 3'],
  ],
  [
    "indexes where there are none",
    { completions: 3 },
    {},
    { completedIndexes: "0", failedIndexes: "1" },
    [
      'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode',
      'status.failedIndexes: Invalid value: "1": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
    ],
  ],
  ["what was wrong before, and stays", {}, { active: 1, ready: 2 }, { active: 1, ready: 2, terminating: 1 }, []],
])("%s", (_name, spec, before, after, errors) => {
  const old = stored(spec, before);
  const found = statusErrors("jobs.batch", old, (job) => {
    job.status = deepClone(after);
  });
  expect(found).toEqual(errors);
});
