// Job: runs pods until enough of them have succeeded. Deleting one leaves its pods, unless asked otherwise.
import type { KubeObject } from "@coxswain/apimachinery";
import { humanDuration, parseTime } from "@coxswain/apimachinery";
import { defineKind, metaOf, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, containerCells, CONTAINERS, formatSelector, NAME, nameOf, wide } from "../../printing.ts";
import type { Job, JobSpec } from "../../types.gen.ts";
import { podNameWarnings, podTemplateWarnings } from "../../core-v1/pod-spec/warnings.ts";
import { setJobDefaults } from "./defaults.ts";
import { generateSelector } from "./selector.ts";
import { droppingDisabledFields } from "../../core-v1/pod-spec/disabled-fields.ts";
import { validateJobStatus } from "./status-validation.ts";
import { validateJob, validateJobUpdate } from "./validation.ts";

const STATES = ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"];

function stateOf(job: Job): string {
  const holds = (type: string) => job.status?.conditions?.some((each) => each.type === type && each.status === "True");
  if (holds("Complete")) return "Complete";
  if (holds("Failed")) return "Failed";
  if (job.metadata?.deletionTimestamp) return "Terminating";
  return STATES.find((state) => holds(state)) ?? "Running";
}

function completions({ spec, status }: Job): string {
  const done = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${done}/${spec.completions}`;
  const parallelism = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`;
}

function duration({ status }: Job, context: PrintContext): string {
  const start = parseTime(status?.startTime);
  if (start === undefined) return "";
  return humanDuration((parseTime(status?.completionTime) ?? context.nowMs) - start);
}

const MANY = { completions: 100_000, parallelism: 10_000 };

/** Of the spec of a Job, or of those that a CronJob makes, at `path`. */
export function jobSpecWarnings(
  object: KubeObject,
  old: KubeObject | undefined,
  spec: JobSpec | undefined,
  path: string,
): string[] {
  if (old && object.metadata?.generation === old.metadata?.generation) return [];
  const { completionMode, completions = 0, parallelism = 0 } = spec ?? {};
  const many = completions > MANY.completions && parallelism > MANY.parallelism;
  const found =
    completionMode === "Indexed" && many
      ? [
          `${path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail`,
        ]
      : [];
  return [...found, ...podTemplateWarnings(object, old, spec?.template, `${path}.template`)];
}

export const jobKind = defineKind<Job>({
  group: "batch",
  version: "v1",
  kind: "Job",
  resource: "jobs",
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.batch.v1.Job",
  hasStatus: true,
  defaults: setJobDefaults,
  validateCreate: validateJob,
  validateUpdate: validateJobUpdate,
  validateStatusUpdate: validateJobStatus,
  strategy: droppingDisabledFields(
    (job) => job.spec?.template,
    specStrategy<Job>(() => ({}), {
      prepareForCreate(job) {
        job.status = {};
        metaOf(job).generation = 1;
        generateSelector(job);
      },
      defaultPropagation: "Orphan",
      warnings: (job, old) => [...podNameWarnings(job, old), ...jobSpecWarnings(job, old, job.spec, "spec")],
    }),
  ),
  columns: [
    NAME,
    column("Status", "Whether the job runs, has succeeded or has failed."),
    column("Completions", "How many pods have succeeded of those that must."),
    column("Duration", "The time from its start to its end."),
    AGE,
    ...CONTAINERS,
    wide("Selector", "The labels of its pods."),
  ],
  row: (job, context) => [
    nameOf(job),
    stateOf(job),
    completions(job),
    duration(job, context),
    age(job, context),
    ...containerCells(job.spec?.template?.spec?.containers),
    formatSelector(job.spec?.selector),
  ],
  selectableFields: (job) => ({ "status.successful": String(job.status?.succeeded ?? 0) }),
});
