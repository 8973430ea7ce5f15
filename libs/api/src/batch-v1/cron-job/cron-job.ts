// CronJob: makes a Job at each time of a schedule.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired } from "@coxswain/apimachinery";
import { defineKind, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import {
  age,
  AGE,
  column,
  containerCells,
  CONTAINERS,
  flag,
  formatSelector,
  NAME,
  nameOf,
  since,
  wide,
} from "../../printing.ts";
import type { CronJob, CronJobSpec } from "../../types.gen.ts";
import { validateEnum } from "../../validation/enums.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { setJobTemplateDefaults } from "../job/defaults.ts";
import { validateJobTemplate } from "../job/validation.ts";
import { droppingDisabledFields } from "../../core-v1/pod-spec/disabled-fields.ts";
import { parseSchedule, ScheduleError } from "./schedule.ts";
import { podNameWarnings } from "../../core-v1/pod-spec/warnings.ts";
import { jobSpecWarnings } from "../job/job.ts";

/** Room for the suffix that the jobs' names get. */
const MAX_NAME = 52;

function setDefaults({ spec }: CronJob): void {
  if (!spec) return;
  spec.concurrencyPolicy ||= "Allow";
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  if (spec.jobTemplate?.spec) setJobTemplateDefaults(spec.jobTemplate.spec);
}

function validateSchedule(spec: CronJobSpec, mayNameZone: boolean): FieldError[] {
  const schedule = spec.schedule ?? "";
  if (schedule === "") return [fieldRequired("spec.schedule", "")];
  const zone = /^(?:CRON_)?TZ=\S* */.exec(schedule)?.[0] ?? "";
  const errors: FieldError[] = [];
  if (schedule.includes("TZ") && (spec.timeZone !== undefined || !mayNameZone)) {
    const detail = mayNameZone
      ? "cannot use both timeZone field and TZ or CRON_TZ in schedule"
      : "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
    errors.push(fieldInvalid("spec.schedule", schedule, detail));
  }
  try {
    parseSchedule(schedule.slice(zone.length));
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    errors.push(fieldInvalid("spec.schedule", schedule, error.message));
  }
  return errors;
}

function validateTimeZone(zone: string | undefined): FieldError[] {
  if (zone === undefined) return [];
  if (zone === "") return [fieldInvalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")];
  const unknown = fieldInvalid("spec.timeZone", zone, `unknown time zone ${zone}`);
  if (zone.toLowerCase() === "local") {
    const detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    // Written so and no other way, it is a zone to Go.
    return [fieldInvalid("spec.timeZone", zone, detail), ...(zone === "Local" ? [] : [unknown])];
  }
  try {
    Intl.DateTimeFormat("en", { timeZone: zone });
    return [];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [unknown];
  }
}

function validate(cronJob: CronJob, old?: CronJob): FieldError[] {
  const { spec } = cronJob;
  if (!spec) return [fieldRequired("spec.schedule", "")];
  const mayNameZone = old?.spec?.schedule === spec.schedule && (old?.spec?.schedule ?? "").includes("TZ");
  return [
    ...validateSchedule(spec, mayNameZone),
    ...validateNonNegative(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds"),
    ...validateTimeZone(spec.timeZone),
    ...validateEnum(spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"], "spec.concurrencyPolicy"),
    ...validateJobTemplate(spec.jobTemplate, "spec.jobTemplate"),
    ...validateNonNegative(spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit"),
    ...validateNonNegative(spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit"),
  ];
}

function validateCreate(cronJob: CronJob): FieldError[] {
  const name = cronJob.metadata?.name ?? "";
  const tooLong = name.length > MAX_NAME;
  return [
    ...(tooLong ? [fieldInvalid("metadata.name", name, `must be no more than ${MAX_NAME} characters`)] : []),
    ...validate(cronJob),
  ];
}

function warnings(cronJob: CronJob, old: CronJob | undefined): string[] {
  const found = [
    ...podNameWarnings(cronJob, old),
    ...jobSpecWarnings(cronJob, old, cronJob.spec?.jobTemplate?.spec, "spec.jobTemplate.spec"),
  ];
  if (old && cronJob.spec?.schedule?.includes("TZ")) {
    // Upstream's own path.
    found.push(
      "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
    );
  }
  return found;
}

function row(cronJob: CronJob, context: PrintContext): unknown[] {
  const { spec, status } = cronJob;
  return [
    nameOf(cronJob),
    spec?.schedule ?? "",
    spec?.timeZone ?? "<none>",
    flag(spec?.suspend),
    status?.active?.length ?? 0,
    status?.lastScheduleTime ? since(status.lastScheduleTime, context) : "<none>",
    age(cronJob, context),
    ...containerCells(spec?.jobTemplate?.spec?.template?.spec?.containers),
    formatSelector(spec?.jobTemplate?.spec?.selector),
  ];
}

export const cronJobKind = defineKind<CronJob>({
  group: "batch",
  version: "v1",
  kind: "CronJob",
  resource: "cronjobs",
  shortNames: ["cj"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.batch.v1.CronJob",
  hasStatus: true,
  defaults: setDefaults,
  validateCreate,
  validateUpdate: validate,
  strategy: droppingDisabledFields(
    (job) => job.spec?.jobTemplate?.spec?.template,
    specStrategy<CronJob>(() => ({}), { warnings }),
  ),
  columns: [
    NAME,
    column("Schedule", "When jobs are made, as a cron schedule."),
    column("Timezone", "The time zone of the schedule."),
    column("Suspend", "Whether no more jobs are made.", "boolean"),
    column("Active", "How many of its jobs run.", "integer"),
    column("Last Schedule", "The time since a job was last made."),
    AGE,
    ...CONTAINERS,
    wide("Selector", "The labels of the jobs' pods."),
  ],
  row,
});
