// LimitRange: what containers, pods and claims of a namespace may ask for, and what they get where they ask for nothing.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  indexPath,
  isQuantity,
  keyPath,
  parseQuantity,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { LimitRange, LimitRangeItem } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import {
  isStandardResource,
  mayOvercommit,
  roundUpToMilli,
  validateContainerResource,
} from "../../validation/resources.ts";

const NANOS_IN_ONE = 1e9;
const LISTS = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

function setItemDefaults(item: LimitRangeItem): void {
  for (const list of LISTS) roundUpToMilli(item[list]);
  if (item.type !== "Container") return;
  item.default = { ...item.max, ...item.default };
  item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
}

function above(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !isQuantity(a) || !isQuantity(b)) return false;
  return parseQuantity(a).compare(parseQuantity(b)) > 0;
}

type Bounds = Readonly<Record<(typeof LISTS)[number], string | undefined>>;

function validateRatio({ max, min, maxLimitRequestRatio: ratio }: Bounds, at: string): FieldError[] {
  if (ratio === undefined || !isQuantity(ratio)) return [];
  const errors = above("1", ratio) ? [fieldInvalid(at, ratio, `ratio ${ratio} is less than 1`)] : [];
  if (max === undefined || min === undefined || !isQuantity(max) || !isQuantity(min)) return errors;
  const [highest, lowest] = [parseQuantity(max).nanos, parseQuantity(min).nanos];
  const most = Number(highest) / Number(lowest);
  if (Number(parseQuantity(ratio).nanos) / NANOS_IN_ONE <= most) return errors;
  const shown = Number.isFinite(most) ? most.toFixed(6) : "+Inf";
  return [...errors, fieldInvalid(at, ratio, `ratio ${ratio} is greater than max/min = ${shown}`)];
}

function validateBounds(item: LimitRangeItem, name: string, path: string): FieldError[] {
  const at = (list: string) => keyPath(childPath(path, list), name);
  const bounds = Object.fromEntries(LISTS.map((list) => [list, item[list]?.[name]])) as Bounds;
  const { max, min, default: limit, defaultRequest: request } = bounds;
  const errors: FieldError[] = [];
  const refuse = (list: string, value: string | undefined, wrong: boolean, detail: string): void => {
    if (wrong) errors.push(fieldInvalid(at(list), value, detail));
  };
  refuse("min", min, above(min, max), `min value ${min} is greater than max value ${max}`);
  refuse(
    "defaultRequest",
    request,
    above(min, request),
    `min value ${min} is greater than default request value ${request}`,
  );
  refuse(
    "defaultRequest",
    request,
    above(request, max),
    `default request value ${request} is greater than max value ${max}`,
  );
  const both = `default request value ${request} is greater than default limit value ${limit}`;
  refuse("defaultRequest", request, above(request, limit), both);
  // Upstream prints the bound in place of the value.
  refuse("default", min, above(min, limit), `min value ${min} is greater than default value ${limit}`);
  refuse("default", max, above(limit, max), `default value ${limit} is greater than max value ${max}`);
  errors.push(...validateRatio(bounds, at("maxLimitRequestRatio")));
  const differ = above(request, limit) || above(limit, request);
  const equal = `default value ${limit} must equal to defaultRequest value ${request} in ${name}`;
  refuse("defaultRequest", request, differ && !mayOvercommit(name), equal);
  return errors;
}

function validateType(type: string, path: string): FieldError[] {
  const errors = validateWith(validateQualifiedName, type, path);
  if (errors.length > 0 || type.includes("/") || TYPES.includes(type)) return errors;
  return [fieldInvalid(path, type, "must be a standard limit type or fully qualified")];
}

/** Pods and containers have resources that containers have; others may have any. */
function validateName(type: string | undefined, name: string, path: string): FieldError[] {
  if (type === "Pod" || type === "Container") return validateContainerResource(name, path);
  const errors = validateWith(validateQualifiedName, name, path);
  if (errors.length > 0 || name.includes("/") || isStandardResource(name)) return errors;
  return [fieldInvalid(path, name, "must be a standard resource type or fully qualified")];
}

function validateItem(item: LimitRangeItem, path: string): FieldError[] {
  const ofPod = item.type === "Pod";
  const errors: FieldError[] = [];
  for (const list of LISTS) {
    const names = Object.keys(item[list] ?? {});
    if (ofPod && names.length > 0 && (list === "default" || list === "defaultRequest")) {
      errors.push(fieldForbidden(childPath(path, list), "may not be specified when `type` is 'Pod'"));
    } else errors.push(...names.flatMap((name) => validateName(item.type, name, keyPath(childPath(path, list), name))));
  }
  if (item.type === "PersistentVolumeClaim" && !item.min?.["storage"] && !item.max?.["storage"]) {
    const detail = "either minimum or maximum storage value is required, but neither was provided";
    errors.push(fieldRequired(childPath(path, "limits"), detail));
  }
  const counted = ofPod ? { ...item, default: undefined, defaultRequest: undefined } : item;
  const names = new Set(LISTS.flatMap((list) => Object.keys(counted[list] ?? {})));
  return [...errors, ...[...names].toSorted().flatMap((name) => validateBounds(counted, name, path))];
}

const TYPES = ["Container", "PersistentVolumeClaim", "Pod"];

function validate({ spec }: LimitRange): FieldError[] {
  const limits = spec?.limits ?? [];
  return limits.flatMap((item, index) => {
    const path = indexPath("spec.limits", index);
    const at = childPath(path, "type");
    const repeated = limits.slice(0, index).some((other) => other.type === item.type);
    return [
      ...validateType(item.type ?? "", at),
      ...(repeated ? [fieldDuplicate(at, item.type)] : []),
      ...validateItem(item, path),
    ];
  });
}

export const limitRangeKind = defineKind<LimitRange>({
  group: "",
  version: "v1",
  kind: "LimitRange",
  resource: "limitranges",
  shortNames: ["limits"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.LimitRange",
  defaults: (range) => (range.spec?.limits ?? []).forEach(setItemDefaults),
  validateCreate: validate,
  validateUpdate: validate,
  strategy: plainStrategy({ allowCreateOnUpdate: true }),
});
