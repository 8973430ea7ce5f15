// The metrics of an autoscaler: what they must say, and how they are shown.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldNotSupported,
  isQuantity,
  parseQuantity,
  validateDns1123Label,
  validatePathSegmentName,
} from "@coxswain/apimachinery";
import type {
  CrossVersionObjectReference,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateContainerResource } from "../../validation/resources.ts";
import { validateReference, type VersionRule } from "./object-reference.ts";

const SOURCES = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
} as const;
const TYPES = Object.keys(SOURCES);
type SourceName = (typeof SOURCES)[keyof typeof SOURCES];

interface Source {
  readonly name?: string;
  readonly container?: string;
  readonly metric?: { readonly name: string };
  readonly target?: MetricTarget;
  readonly describedObject?: CrossVersionObjectReference;
}

const sourceOf = (metric: MetricSpec, name: SourceName): Source | undefined => metric[name];

function validateTarget(target: MetricTarget | undefined, path: string): FieldError[] {
  const type = target?.type ?? "";
  const errors = type === "" ? [fieldRequired(childPath(path, "type"), "must specify a metric target type")] : [];
  if (!["AverageValue", "Utilization", "Value"].includes(type)) {
    errors.push(fieldInvalid(childPath(path, "type"), type, "must be either Utilization, Value, or AverageValue"));
  }
  for (const name of ["value", "averageValue"] as const) {
    const value = target?.[name];
    if (value !== undefined && isQuantity(value) && parseQuantity(value).compare(parseQuantity("0")) <= 0) {
      errors.push(fieldInvalid(childPath(path, name), value, "must be positive"));
    }
  }
  if (target?.averageUtilization !== undefined && target.averageUtilization < 1) {
    errors.push(
      fieldInvalid(childPath(path, "averageUtilization"), target.averageUtilization, "must be greater than 0"),
    );
  }
  return errors;
}

/** Only of one container of each pod, it must be what a container can have. */
function validateResource(resource: string | undefined, name: SourceName, path: string): FieldError[] {
  if (!resource) return [fieldRequired(path, "must specify a resource name")];
  return name === "containerResource" ? validateContainerResource(resource, path) : [];
}

function validateSource(source: Source, name: SourceName, rule: VersionRule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const resource = name === "resource" || name === "containerResource";
  const target = childPath(path, "target");
  if (name === "object") {
    errors.push(...validateReference(source.describedObject, rule, childPath(path, "describedObject")));
  }
  if (resource) errors.push(...validateResource(source.name, name, childPath(path, "name")));
  else {
    const at = childPath(path, "metric", "name");
    if (!source.metric?.name) errors.push(fieldRequired(at, "must specify a metric name"));
    else errors.push(...validateWith(validatePathSegmentName, source.metric.name, at));
  }
  if (name === "containerResource") {
    const at = childPath(path, "container");
    if (!source.container) errors.push(fieldRequired(at, "must specify a container"));
    else errors.push(...validateWith(validateDns1123Label, source.container, at));
  }
  errors.push(...validateTarget(source.target, target));
  const { averageUtilization, averageValue, value } = source.target ?? {};
  if (resource) {
    if (averageUtilization === undefined && averageValue === undefined) {
      errors.push(
        fieldRequired(
          childPath(target, "averageUtilization"),
          "must set either a target raw value or a target utilization",
        ),
      );
    }
    if (averageUtilization !== undefined && averageValue !== undefined) {
      errors.push(
        fieldForbidden(
          childPath(target, "averageValue"),
          "may not set both a target raw value and a target utilization",
        ),
      );
    }
  } else if (name === "pods") {
    if (averageValue === undefined)
      errors.push(fieldRequired(childPath(target, "averageValue"), "must specify a positive target averageValue"));
  } else if (value === undefined && averageValue === undefined) {
    const external = "must set either a target value for metric or a per-pod target";
    const detail = name === "external" ? external : "must set either a target value or averageValue";
    errors.push(fieldRequired(childPath(target, "averageValue"), detail));
  } else if (name === "external" && value !== undefined && averageValue !== undefined) {
    const detail = "may not set both a target value for metric and a per-pod target";
    errors.push(fieldForbidden(childPath(target, "value"), detail));
  }
  return errors;
}

/** In upstream's order: of several sources the first is looked at. */
const ORDER: readonly SourceName[] = ["object", "external", "pods", "resource", "containerResource"];

export function validateMetric(metric: MetricSpec, rule: VersionRule, path: string): FieldError[] {
  const at = (name: string) => childPath(path, name);
  const errors = metric.type ? [] : [fieldRequired(at("type"), "must specify a metric source type")];
  const expected: SourceName | undefined = SOURCES[metric.type as keyof typeof SOURCES];
  if (expected === undefined) errors.push(fieldNotSupported(at("type"), metric.type ?? "", TYPES));
  const given = ORDER.filter((name) => metric[name] !== undefined);
  const [first, ...others] = given;
  if (first !== undefined) errors.push(...validateSource(sourceOf(metric, first) ?? {}, first, rule, at(first)));
  if (expected !== undefined && !given.includes(expected)) {
    errors.push(fieldRequired(at(expected), "must populate information for the given metric source"));
  }
  if (others.length === 0) return errors;
  const wrong = given.filter((name) => name !== expected);
  return [...errors, ...wrong.map((name) => fieldForbidden(at(name), "must populate the given metric source only"))];
}

function amounts(target: MetricTarget | undefined, current: MetricValueStatus | undefined): string {
  const [now, wanted, tail] =
    target?.averageValue !== undefined
      ? [current?.averageValue, target.averageValue, target.type === "AverageValue" ? " (avg)" : ""]
      : target?.averageUtilization !== undefined
        ? [
            current?.averageUtilization === undefined ? undefined : `${current.averageUtilization}%`,
            `${target.averageUtilization}%`,
            "",
          ]
        : [current?.value, target?.value ?? "<auto>", ""];
  return `${now ?? "<unknown>"}/${wanted}${tail}`;
}

function oneMetric(metric: MetricSpec, status: MetricStatus | undefined): string {
  const name = SOURCES[metric.type as keyof typeof SOURCES];
  if (name === undefined) return "<unknown type>";
  const source = sourceOf(metric, name);
  const current = (status?.[name] as { current?: MetricValueStatus } | undefined)?.current;
  const text = amounts(source?.target, current);
  // Values of one pod among others are marked, but for pods and resources, where they are what is meant.
  const plain = name === "object" || name === "external" ? text : text.replace(/ \(avg\)$/, "");
  return name === "resource" || name === "containerResource" ? `${source?.name ?? ""}: ${plain}` : plain;
}

/** "cpu: 12%/80%" for up to two metrics, then how many more there are. */
export function formatMetrics(
  specs: readonly MetricSpec[] | undefined,
  statuses: readonly MetricStatus[] | undefined,
): string {
  if (!specs?.length) return "<none>";
  const shown = specs.slice(0, 2).map((metric, index) => oneMetric(metric, statuses?.[index]));
  return specs.length > 2 ? `${shown.join(", ")} + ${specs.length - 2} more...` : shown.join(", ");
}
