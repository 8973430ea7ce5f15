// What a Job's status may say, and how it may go on: whoever manages a Job, its status keeps to what clients rely on. A rule
// asks only about what the update changes, so that a status which breaks one already can still be written otherwise.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldDuplicate, fieldInvalid, fieldRequired, OMITTED, parseTime } from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type { Job, JobStatus } from "../../types.gen.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { overlappingIndex, parseIndexes } from "./indexes.ts";

const CONDITIONS = "status.conditions";
const COUNTS = ["active", "succeeded", "failed", "ready", "terminating"] as const;

/** A Job with what its conditions come to. */
interface Reading {
  readonly status: JobStatus;
  readonly complete: boolean;
  readonly failed: boolean;
  readonly finished: boolean;
  readonly target: boolean;
  readonly met: boolean;
}

interface Step {
  readonly job: Job;
  readonly now: Reading;
  readonly before: Reading;
  /** That the update changes one of these. */
  readonly changed: (...parts: readonly (keyof Reading | keyof JobStatus)[]) => boolean;
}

function holds(status: JobStatus, type: string, value = "True"): boolean {
  return status.conditions?.some((each) => each.type === type && each.status === value) ?? false;
}

function read({ status = {} }: Job): Reading {
  const [complete, failed] = [holds(status, "Complete"), holds(status, "Failed")];
  const [target, met] = [holds(status, "FailureTarget"), holds(status, "SuccessCriteriaMet")];
  return { status, complete, failed, finished: complete || failed, target, met };
}

function stepOf(job: Job, old: Job): Step {
  const [now, before] = [read(job), read(old)];
  const part = (of: Reading, name: keyof Reading | keyof JobStatus): unknown => {
    if (name === "active") return of.status.active ?? 0;
    if (name === "completedIndexes") return of.status.completedIndexes ?? "";
    return name in of ? of[name as keyof Reading] : of.status[name as keyof JobStatus];
  };
  const changed: Step["changed"] = (...parts) => parts.some((name) => !sameValue(part(now, name), part(before, name)));
  return { job, now, before, changed };
}

function refused(detail: string): FieldError {
  return fieldInvalid(CONDITIONS, OMITTED, detail);
}

/** The pods that ended and are not counted yet are each named once. */
function validateUncounted({ uncountedTerminatedPods: pods }: JobStatus): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const list of ["succeeded", "failed"] as const) {
    for (const [index, uid] of (pods?.[list] ?? []).entries()) {
      const path = `status.uncountedTerminatedPods.${list}[${index}]`;
      if (uid === "") errors.push(fieldInvalid(path, uid, "must not be empty"));
      else if (seen.has(uid)) errors.push(fieldDuplicate(path, uid));
      seen.add(uid);
    }
  }
  return errors;
}

function validateConditions({ job, now, changed }: Step): FieldError[] {
  const details: string[] = [];
  const rule = (broken: boolean, detail: string): void => {
    if (broken) details.push(detail);
  };
  const { complete, failed, target, met } = now;
  if (changed("complete", "failed")) rule(complete && failed, "cannot set Complete=True and Failed=true conditions");
  if (changed("complete", "target")) {
    rule(complete && target, "cannot set Complete=True and FailureTarget=true conditions");
  }
  if (changed("failed", "failedIndexes")) {
    rule(failed && !target, "cannot set Failed=True condition without the FailureTarget=true condition");
  }
  if (changed("complete", "met")) {
    rule(complete && !met, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
  }
  rule(met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
  rule(met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  rule(
    job.spec?.successPolicy !== undefined && !met && complete,
    "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
  );
  return details.map((detail) => refused(detail));
}

function validateTimes({ job, now, before, changed }: Step): FieldError[] {
  const errors: FieldError[] = [];
  const { startTime, completionTime } = now.status;
  const invalid = (detail: string): void =>
    void errors.push(fieldInvalid("status.completionTime", completionTime, detail));
  if (changed("complete", "completionTime")) {
    if (completionTime && !now.complete) {
      invalid("cannot set completionTime when there is no Complete=True condition");
    }
    if (!completionTime && now.complete) {
      errors.push(fieldRequired("status.completionTime", "completionTime is required for Complete jobs"));
    }
  }
  const [start, end] = [parseTime(startTime), parseTime(completionTime)];
  if (changed("startTime", "completionTime") && start !== undefined && end !== undefined && end < start) {
    invalid("must be equal to or after `startTime`");
  }
  const never = job.spec?.suspend === true && job.spec.completions === 0;
  if (changed("finished", "startTime") && !never && !startTime && now.finished) {
    errors.push(fieldRequired("status.startTime", "startTime is required for finished job"));
  }
  if (completionTime && before.status.completionTime && changed("completionTime")) invalid("field is immutable");
  const resuming = holds(before.status, "Suspended") && holds(now.status, "Suspended", "False");
  if (changed("startTime") && !resuming && before.status.startTime && job.spec?.suspend !== true) {
    errors.push(fieldRequired("status.startTime", "startTime cannot be removed for unsuspended job"));
  }
  return errors;
}

function validateCounts({ job, now, before, changed }: Step): FieldError[] {
  const errors: FieldError[] = [];
  const { active = 0, succeeded = 0, failed = 0, ready, terminating = 0, uncountedTerminatedPods: pods } = now.status;
  const invalid = (name: string, shown: unknown, detail: string): void =>
    void errors.push(fieldInvalid(`status.${name}`, shown, detail));
  if (changed("finished", "active") && active > 0 && now.finished) {
    invalid("active", active, "active>0 is invalid for finished job");
  }
  const uncounted = (pods?.failed?.length ?? 0) + (pods?.succeeded?.length ?? 0);
  if (changed("finished", "uncountedTerminatedPods") && now.finished && uncounted > 0) {
    invalid("uncountedTerminatedPods", pods, "must be empty for finished job");
  }
  if (changed("finished", "terminating") && terminating > 0 && now.finished) {
    invalid("terminating", terminating, "terminating>0 is invalid for finished job");
  }
  if (changed("ready", "active") && ready !== undefined && ready > active) {
    invalid("ready", ready, "cannot set more ready pods than active");
  }
  if (failed < (before.status.failed ?? 0)) invalid("failed", failed, "cannot decrease the failed counter");
  // An indexed Job of as many pods as completions may be scaled down.
  const { completionMode, completions, parallelism } = job.spec ?? {};
  const shrinks = completionMode === "Indexed" && completions === parallelism;
  if (!shrinks && succeeded < (before.status.succeeded ?? 0)) {
    invalid("succeeded", succeeded, "cannot decrease the succeeded counter");
  }
  return errors;
}

function validateIndexes({ job, now, changed }: Step): FieldError[] {
  const errors: FieldError[] = [];
  const { completedIndexes = "", failedIndexes } = now.status;
  const { completions, completionMode, backoffLimitPerIndex } = job.spec ?? {};
  const check = (name: "completedIndexes" | "failedIndexes", text: string): void => {
    const parsed = parseIndexes(text, completions ?? 0);
    if ("error" in parsed) errors.push(fieldInvalid(`status.${name}`, text, `error parsing ${name}: ${parsed.error}`));
  };
  if (changed("completedIndexes")) {
    if (completions !== undefined) check("completedIndexes", completedIndexes);
    if (completedIndexes !== "" && completionMode !== "Indexed") {
      const detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
      errors.push(fieldInvalid("status.completedIndexes", completedIndexes, detail));
    }
  }
  if (failedIndexes === undefined) return errors;
  if (changed("failedIndexes")) {
    if (completions !== undefined && backoffLimitPerIndex !== undefined) check("failedIndexes", failedIndexes);
    if (backoffLimitPerIndex === undefined) {
      const detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
      errors.push(fieldInvalid("status.failedIndexes", failedIndexes, detail));
    }
  }
  if (changed("failedIndexes", "completedIndexes") && completions !== undefined) {
    const both = overlappingIndex(completedIndexes, failedIndexes, completions);
    const detail = `failedIndexes and completedIndexes overlap at index: ${both}`;
    if (both !== undefined) errors.push(fieldInvalid("status.failedIndexes", failedIndexes, detail));
  }
  return errors;
}

/** What is final stays. */
function validateFinal({ now, before }: Step): FieldError[] {
  const errors = ["Failed", "Complete", "FailureTarget"]
    .filter((type) => holds(before.status, type) && !holds(now.status, type))
    .map((type) => refused(`cannot disable the terminal ${type}=True condition`));
  if (before.met && !now.met) errors.push(refused("cannot disable the SuccessCriteriaMet=True condition"));
  if (before.complete && !before.met && now.met) {
    errors.push(refused("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"));
  }
  return errors;
}

export function validateJobStatus(job: Job, old: Job): FieldError[] {
  const step = stepOf(job, old);
  return [
    ...COUNTS.flatMap((name) => validateNonNegative(step.now.status[name], `status.${name}`)),
    ...validateUncounted(step.now.status),
    ...validateConditions(step),
    ...validateTimes(step),
    ...validateIndexes(step),
    ...validateCounts(step),
    ...validateFinal(step),
  ];
}
