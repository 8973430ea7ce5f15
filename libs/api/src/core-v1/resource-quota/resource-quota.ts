// ResourceQuota: what the objects of a namespace may ask for in all.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldRequired,
  isQuantity,
  keyPath,
  parseQuantity,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { ResourceQuota, ResourceQuotaSpec } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { roundUpToMilli, validateQuantityValue } from "../../validation/resources.ts";

const SCOPES = [
  "BestEffort",
  "CrossNamespacePodAffinity",
  "NotBestEffort",
  "NotTerminating",
  "PriorityClass",
  "Terminating",
  "VolumeAttributesClass",
];
const EXCLUSIVE = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
] as const;
const STANDARD = new Set([
  "cpu",
  "memory",
  "ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.storage",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "persistentvolumeclaims",
  "configmaps",
  "services.nodeports",
  "services.loadbalancers",
]);

const POD_COMPUTE = new Set([
  "pods",
  "cpu",
  "memory",
  "requests.cpu",
  "requests.memory",
  "limits.cpu",
  "limits.memory",
]);

/** Whether the objects that `scope` picks use the standard resource `name` at all. */
function scopeFits(scope: string, name: string): boolean {
  if (scope === "BestEffort") return name === "pods";
  if (scope === "VolumeAttributesClass") return name === "persistentvolumeclaims" || name === "requests.storage";
  return !SCOPES.includes(scope) || POD_COMPUTE.has(name);
}

/** The standard resources that `spec` limits and `scope` cannot. */
function misfits(scope: string, spec: ResourceQuotaSpec): readonly string[] {
  return Object.keys(spec.hard ?? {}).filter((name) => isStandard(name) && !scopeFits(scope, name));
}

const isStandard = (name: string): boolean => STANDARD.has(name) || /^(requests\.)?hugepages-/.test(name);

const MISFIT = "unsupported scope applied to resource";

function validateName(name: string, path: string): FieldError[] {
  const errors = validateWith(validateQualifiedName, name, path);
  const known = name.includes("/") || isStandard(name);
  if (!known) errors.push(fieldInvalid(path, name, "must be a standard resource for quota"));
  return errors;
}

function validateList(list: Record<string, string> | undefined, path: string): FieldError[] {
  return Object.entries(list ?? {}).flatMap(([name, value]) => [
    ...validateName(name, keyPath(path, name)),
    ...validateQuantityValue(name, value, keyPath(path, name)),
  ]);
}

function validateScopes(spec: ResourceQuotaSpec): FieldError[] {
  const errors: FieldError[] = [];
  const scopes = spec.scopes ?? [];
  for (const scope of scopes) {
    if (!SCOPES.includes(scope)) errors.push(fieldInvalid("spec.scopes", scopes, "unsupported scope"));
    for (const _ of misfits(scope, spec)) errors.push(fieldInvalid("spec.scopes", scopes, MISFIT));
  }
  if (EXCLUSIVE.some(([a, b]) => scopes.includes(a) && scopes.includes(b))) {
    errors.push(fieldInvalid("spec.scopes", scopes, "conflicting scopes"));
  }
  return [...errors, ...validateSelector(spec)];
}

const EXISTING = ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"];

/** Upstream reports all of these without the index. */
function validateSelector(spec: ResourceQuotaSpec): FieldError[] {
  const errors: FieldError[] = [];
  const path = "spec.scopeSelector.matchExpressions";
  const expressions = spec.scopeSelector?.matchExpressions ?? [];
  for (const { scopeName, operator, values = [] } of expressions) {
    if (!SCOPES.includes(scopeName)) {
      errors.push(fieldInvalid(childPath(path, "scopeName"), scopeName, "unsupported scope"));
    }
    for (const _ of misfits(scopeName, spec)) errors.push(fieldInvalid(path, spec.scopeSelector, MISFIT));
    if (EXISTING.includes(scopeName) && operator !== "Exists") {
      const detail =
        "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
      errors.push(fieldInvalid(childPath(path, "operator"), operator, detail));
    }
    const needsValues = operator === "In" || operator === "NotIn";
    if (needsValues && values.length === 0) {
      const detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
      errors.push(fieldRequired(childPath(path, "values"), detail));
    }
    if ((operator === "Exists" || operator === "DoesNotExist") && values.length > 0) {
      const detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
      errors.push(fieldInvalid(childPath(path, "values"), values, detail));
    }
    if (!needsValues && operator !== "Exists" && operator !== "DoesNotExist") {
      errors.push(fieldInvalid(childPath(path, "operator"), operator, "not a valid selector operator"));
    }
  }
  const named = expressions.map(({ scopeName }) => scopeName);
  if (EXCLUSIVE.some(([a, b]) => named.includes(a) && named.includes(b))) {
    errors.push(fieldInvalid(path, spec.scopes ?? null, "conflicting scopes"));
  }
  return errors;
}

function validate({ spec }: ResourceQuota): FieldError[] {
  return [...validateList(spec?.hard, "spec.hard"), ...validateScopes(spec ?? {})];
}

/** "cpu: 1/2, pods: 3/10": what is used of what there is, in order of the names. */
function usage(quota: ResourceQuota, wanted: (name: string) => boolean): string {
  const { hard = {}, used = {} } = quota.status ?? {};
  return Object.keys(hard)
    .filter(wanted)
    .toSorted()
    .map((name) => `${name}: ${used[name] ?? "0"}/${hard[name]}`)
    .join(", ");
}

/** Limits below the requests that they are limits of. */
function limitWarnings(hard: Record<string, string>): string[] {
  return ["cpu", "memory", "storage", "ephemeral-storage"].flatMap((name) => {
    const bare = name === "cpu" || name === "memory";
    const asking = hard[`requests.${name}`] === undefined && bare ? name : `requests.${name}`;
    const [request, limit] = [hard[asking], hard[`limits.${name}`]];
    if (request === undefined || limit === undefined || !isQuantity(request) || !isQuantity(limit)) return [];
    if (parseQuantity(request).compare(parseQuantity(limit)) <= 0) return [];
    return [`ResourceQuota ${asking} (${request}) should be less than limits.${name} (${limit})`];
  });
}

export const resourceQuotaKind = defineKind<ResourceQuota>({
  group: "",
  version: "v1",
  kind: "ResourceQuota",
  resource: "resourcequotas",
  shortNames: ["quota"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.ResourceQuota",
  returnDeletedObject: true,
  hasStatus: true,
  defaults(quota) {
    for (const list of [quota.spec?.hard, quota.status?.hard, quota.status?.used]) roundUpToMilli(list);
  },
  validateCreate: validate,
  validateUpdate: (quota, old) => [
    ...validate(quota),
    ...validateImmutableField(quota.spec?.scopes?.toSorted(), old.spec?.scopes?.toSorted(), "spec.scopes"),
  ],
  validateStatusUpdate: ({ status }) => [
    ...validateList(status?.hard, "status.hard"),
    ...validateList(status?.used, "status.used"),
  ],
  strategy: plainStrategy({
    warnings: (quota, old) => (old ? [] : limitWarnings(quota.spec?.hard ?? {})),
    prepareForCreate(quota) {
      quota.status = {};
    },
    prepareForUpdate(quota, old) {
      quota.status = old.status;
    },
    prepareForStatusUpdate(quota, old) {
      quota.spec = old.spec;
    },
  }),
  columns: [
    NAME,
    column("Request", "What is requested, of what may be."),
    column("Limit", "What the limits come to, of what they may."),
    AGE,
  ],
  row: (quota, context) => [
    nameOf(quota),
    usage(quota, (name) => !name.startsWith("limits.")),
    usage(quota, (name) => name.startsWith("limits.")),
    age(quota, context),
  ],
});
