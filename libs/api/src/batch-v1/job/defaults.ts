// What a Job has where nobody says otherwise.
import { metaOf } from "../../define-kind.ts";
import { setPodTemplateDefaults } from "../../core-v1/pod-spec/defaults.ts";
import type { Job, JobSpec } from "../../types.gen.ts";

const MAX_INT32 = 2 ** 31 - 1;

/** What holds for jobs and for the template of a CronJob alike. */
export function setJobTemplateDefaults(spec: JobSpec): void {
  setPodTemplateDefaults(spec.template);
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= "True";
  }
}

export function setJobDefaults(job: Job): void {
  const { spec } = job;
  if (!spec) return;
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : MAX_INT32;
  // The same map, as it is upstream's: what the pods are found by later goes to the Job as well.
  const labels = spec.template?.metadata?.labels;
  if (labels && Object.keys(job.metadata?.labels ?? {}).length === 0) metaOf(job).labels = labels;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  spec.manualSelector ??= false;
  setJobTemplateDefaults(spec);
}
