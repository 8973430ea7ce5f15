// What a Job must be: pods that end, counts that agree, and a selector that is its own.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateLabelSelector,
} from "@coxswain/apimachinery";
import { validatePodTemplate } from "../../core-v1/pod-spec/validation.ts";
import type { Job, JobSpec, JobTemplateSpec } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { validateSelectorMatches } from "../../validation/workload-template.ts";
import { validatePodFailurePolicy, validatePodReplacementPolicy, validateSuccessPolicy } from "./policies.ts";
import { validateGeneratedSelector } from "./selector.ts";

const MAX_INDEXED = 100_000;
const MAX_INDEXED_PER_INDEX = 10_000;
const MAX_MANAGED_BY = 63;
const COUNTS = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
] as const;

function validateIndexed(spec: JobSpec, path: string): FieldError[] {
  const at = (name: string) => childPath(path, name);
  const { completions, parallelism = 0, maxFailedIndexes, backoffLimitPerIndex } = spec;
  if (completions === undefined) return [fieldRequired(at("completions"), "when completion mode is Indexed")];
  const errors: FieldError[] = [];
  const atMost = (name: string, value: number, limit: number, tail = "") => {
    if (value > limit) errors.push(fieldInvalid(at(name), value, `must be less than or equal to ${limit}${tail}`));
  };
  atMost("parallelism", parallelism, MAX_INDEXED, " when completion mode is Indexed");
  if (backoffLimitPerIndex === undefined) return errors;
  if (maxFailedIndexes !== undefined) {
    if (maxFailedIndexes > completions) {
      errors.push(fieldInvalid(at("maxFailedIndexes"), maxFailedIndexes, "must be less than or equal to completions"));
    }
    atMost("maxFailedIndexes", maxFailedIndexes, MAX_INDEXED);
  }
  if (completions > MAX_INDEXED) {
    const above = ` when completions are above ${MAX_INDEXED} and used with backoff limit per index`;
    if (maxFailedIndexes === undefined) {
      errors.push(fieldRequired(at("maxFailedIndexes"), `must be specified when completions is above ${MAX_INDEXED}`));
    } else atMost("maxFailedIndexes", maxFailedIndexes, MAX_INDEXED_PER_INDEX, above);
    atMost("parallelism", parallelism, MAX_INDEXED_PER_INDEX, above);
  }
  return errors;
}

function validateCompletionMode(spec: JobSpec, path: string): FieldError[] {
  const mode = spec.completionMode;
  const errors: FieldError[] = [];
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    errors.push(fieldRequired(childPath(path, "backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
  }
  if (mode !== undefined && mode !== "NonIndexed" && mode !== "Indexed") {
    errors.push(fieldNotSupported(childPath(path, "completionMode"), mode, ["NonIndexed", "Indexed"]));
  }
  if (mode === "Indexed") return [...errors, ...validateIndexed(spec, path)];
  for (const name of ["backoffLimitPerIndex", "maxFailedIndexes"] as const) {
    if (spec[name] !== undefined) {
      errors.push(fieldInvalid(childPath(path, name), spec[name], "requires indexed completion mode"));
    }
  }
  if (spec.successPolicy) {
    errors.push(fieldInvalid(childPath(path, "successPolicy"), spec.successPolicy, "requires indexed completion mode"));
  }
  return errors;
}

function validateManagedBy(manager: string | undefined, path: string): FieldError[] {
  if (manager === undefined) return [];
  const errors: FieldError[] = [];
  const [domain = "", ...rest] = manager.split("/");
  const at = childPath(path, "managedBy");
  if (manager === "") errors.push(fieldRequired(at, ""));
  else if (rest.join("/") === "") {
    errors.push(fieldInvalid(at, manager, 'must be a domain-prefixed path (such as "acme.io/foo")'));
  } else errors.push(...validateDns1123Subdomain(domain).map((message) => fieldInvalid(at, manager, message)));
  if (manager.length > MAX_MANAGED_BY) errors.push(fieldTooLong(at, MAX_MANAGED_BY));
  return errors;
}

function validateTemplate(spec: JobSpec, path: string): FieldError[] {
  const at = childPath(path, "template");
  if (!spec.template) return [fieldRequired(at, "")];
  const errors = validatePodTemplate(spec.template, at);
  const policy = spec.template.spec?.restartPolicy ?? "";
  const policyPath = childPath(at, "spec", "restartPolicy");
  if (policy === "" || policy === "Always") {
    errors.push(fieldRequired(policyPath, 'valid values: "OnFailure", "Never"'));
  } else if (policy !== "OnFailure" && policy !== "Never") {
    errors.push(fieldNotSupported(policyPath, policy, ["OnFailure", "Never"]));
  } else if (spec.podFailurePolicy && policy !== "Never") {
    errors.push(fieldInvalid(policyPath, policy, 'only "Never" is supported when podFailurePolicy is specified'));
  }
  return errors;
}

/** What holds for a Job's spec and for the one in a CronJob's template. */
function validateWork(spec: JobSpec, path: string): FieldError[] {
  return [
    ...COUNTS.flatMap((name) => validateNonNegative(spec[name], childPath(path, name))),
    ...validateManagedBy(spec.managedBy, path),
    ...validateCompletionMode(spec, path),
    ...(spec.podFailurePolicy ? validatePodFailurePolicy(spec, path) : []),
    ...(spec.successPolicy && spec.completionMode === "Indexed" ? validateSuccessPolicy(spec, path) : []),
    ...validatePodReplacementPolicy(spec, path),
    ...validateTemplate(spec, path),
  ];
}

/** The pods of an indexed Job are named, and are hosts, after it and their index. */
function validatePodNames({ metadata, spec }: Job): FieldError[] {
  const { completionMode, completions = 0 } = spec ?? {};
  if (completionMode !== "Indexed" || completions <= 0) return [];
  const name = metadata?.name ?? "";
  const longest = `${name}-${completions - 1}`;
  if (validateDns1123Label(longest).length === 0) return [];
  return [fieldInvalid("metadata.name", name, `will not able to create pod with invalid DNS label: ${longest}`)];
}

export function validateJob(job: Job): FieldError[] {
  const { spec } = job;
  if (!spec) return [fieldRequired("spec.selector", ""), fieldRequired("spec.template", "")];
  const errors = [...validateGeneratedSelector(job), ...validateWork(spec, "spec"), ...validatePodNames(job)];
  const matching = validateSelectorMatches(spec.selector, spec.template, "spec.template");
  if (!spec.selector) return [...errors, fieldRequired("spec.selector", ""), ...matching];
  return [...errors, ...validateLabelSelector(spec.selector, "spec.selector"), ...matching];
}

/** The spec of the jobs that a CronJob makes: their selector is always generated. */
export function validateJobTemplate(template: JobTemplateSpec | undefined, path: string): FieldError[] {
  const spec = template?.spec;
  const at = childPath(path, "spec");
  if (!spec) return [fieldRequired(childPath(at, "template"), "")];
  const errors = validateWork(spec, at);
  if (spec.selector) {
    errors.push(fieldInvalid(childPath(at, "selector"), spec.selector, "`selector` will be auto-generated"));
  }
  if (spec.manualSelector) {
    errors.push(fieldNotSupported(childPath(at, "manualSelector"), spec.manualSelector, ["nil", "false"]));
  }
  return errors;
}

function validateCompletionsUpdate(spec: JobSpec, old: JobSpec): FieldError[] {
  if (spec.completions === old.completions) return [];
  if (spec.completionMode !== "Indexed") {
    return validateImmutableField(spec.completions, old.completions, "spec.completions");
  }
  // That an indexed Job has them is said elsewhere.
  if (spec.completions === undefined) return [];
  const detail = "can only be modified in tandem with spec.parallelism";
  return spec.completions === spec.parallelism ? [] : [fieldInvalid("spec.completions", spec.completions, detail)];
}

const SCHEDULING = ["nodeSelector", "affinity", "tolerations", "schedulingGates"] as const;

/** A suspended Job that never ran may still be told where its pods shall go. */
function validateTemplateUpdate(job: Job, old: Job): FieldError[] {
  const before = old.spec?.template;
  let after = job.spec?.template;
  const movable = old.spec?.suspend === true && old.status?.startTime === undefined;
  if (movable && after?.spec && before?.spec) {
    const kept = Object.fromEntries(SCHEDULING.map((name) => [name, before.spec?.[name]]));
    const metadata = { ...after.metadata, labels: before.metadata?.labels, annotations: before.metadata?.annotations };
    after = { ...after, metadata, spec: { ...after.spec, ...kept } };
  }
  return validateImmutableField(after, before, "spec.template");
}

const IMMUTABLE = [
  "selector",
  "completionMode",
  "podFailurePolicy",
  "backoffLimitPerIndex",
  "managedBy",
  "successPolicy",
] as const;

export function validateJobUpdate(job: Job, old: Job): FieldError[] {
  const spec = job.spec ?? { template: {} };
  const before = old.spec ?? { template: {} };
  return [
    ...validateJob(job),
    ...validateCompletionsUpdate(spec, before),
    ...validateTemplateUpdate(job, old),
    ...IMMUTABLE.flatMap((name) => validateImmutableField(spec[name], before[name], `spec.${name}`)),
  ];
}
