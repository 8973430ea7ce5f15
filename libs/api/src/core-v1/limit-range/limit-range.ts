// LimitRange: what containers, pods and claims of a namespace may ask for, and what they get where they ask for nothing.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  isQuantity,
  keyPath,
  parseQuantity,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import type { LimitRange, LimitRangeItem } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { roundUpToMilli } from "../../validation/resources.ts";

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

function validateBounds(item: LimitRangeItem, name: string, path: string): FieldError[] {
  const at = (list: string) => keyPath(childPath(path, list), name);
  const get = (list: (typeof LISTS)[number]) => item[list]?.[name];
  const [max, min, limit, request] = [get("max"), get("min"), get("default"), get("defaultRequest")];
  const errors: FieldError[] = [];
  if (above(min, max)) errors.push(fieldInvalid(at("min"), min, `min value ${min} is greater than max value ${max}`));
  const rules: [string, string | undefined, string, string | undefined, string][] = [
    ["defaultRequest", request, "max", max, "is greater than"],
    ["defaultRequest", request, "default", limit, "is greater than"],
    ["default", limit, "max", max, "is greater than"],
  ];
  const label = (list: string) =>
    list === "default" ? "default limit" : list === "defaultRequest" ? "default request" : list;
  for (const [list, value, other, bound, relation] of rules) {
    if (above(value, bound)) {
      errors.push(
        fieldInvalid(at(list), value, `${label(list)} value ${value} ${relation} ${label(other)} value ${bound}`),
      );
    }
  }
  for (const [list, value] of [
    ["defaultRequest", request],
    ["default", limit],
  ] as const) {
    if (above(min, value)) {
      errors.push(fieldInvalid(at(list), value, `min value ${min} is greater than ${label(list)} value ${value}`));
    }
  }
  const ratio = get("maxLimitRequestRatio");
  if (ratio !== undefined && above("1", ratio)) {
    errors.push(fieldInvalid(at("maxLimitRequestRatio"), ratio, `ratio ${ratio} is less than 1`));
  }
  return errors;
}

function validateItem(item: LimitRangeItem, path: string): FieldError[] {
  const errors = item.type ? [] : [fieldRequired(childPath(path, "type"), "")];
  if (item.type === "Pod") {
    for (const list of ["default", "defaultRequest"] as const) {
      if (Object.keys(item[list] ?? {}).length > 0) {
        errors.push(fieldForbidden(childPath(path, list), "may not be specified when `type` is 'Pod'"));
      }
    }
  }
  if (item.type === "PersistentVolumeClaim" && !item.min?.["storage"] && !item.max?.["storage"]) {
    errors.push(
      fieldRequired(
        childPath(path, "limits"),
        "either minimum or maximum storage value is required, but neither was provided",
      ),
    );
  }
  const names = new Set(LISTS.flatMap((list) => Object.keys(item[list] ?? {})));
  for (const name of [...names].toSorted()) {
    errors.push(...validateWith(validateQualifiedName, name, keyPath(childPath(path, "max"), name)));
    errors.push(...validateBounds(item, name, path));
  }
  return errors;
}

const TYPES = ["Container", "PersistentVolumeClaim", "Pod"];

function validate({ spec }: LimitRange): FieldError[] {
  const limits = spec?.limits ?? [];
  return limits.flatMap((item, index) => {
    const path = indexPath("spec.limits", index);
    const repeated = limits.slice(0, index).some((other) => other.type === item.type);
    const known = !item.type || item.type.includes("/") || TYPES.includes(item.type);
    return [
      ...(repeated ? [fieldDuplicate(childPath(path, "type"), item.type)] : []),
      ...(known ? [] : [fieldNotSupported(childPath(path, "type"), item.type, TYPES)]),
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
});
