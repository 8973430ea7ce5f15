// Metrics of an autoscaler as annotations of its v1 form hold them: what v2 says in nested parts stands side by side there, and
// an amount that must be given is 0 where it is not. Guarantee: what comes out is of the v2 form's types, whatever went in.
import { isJsonObject, jsonOrNothing } from "@coxswain/apimachinery";
import { checkTypes, pruneUnknown } from "../../schema/walk.ts";
import type { MetricSpec, MetricStatus } from "../../types.gen.ts";

type Json = Record<string, unknown>;
/** A member in the flat form, its place in the nested one, and what it is where it must be given and is not. */
type Pair = readonly [flat: string, nested: string, zero?: string];

const METRIC: readonly Pair[] = [
  ["metricName", "metric.name", ""],
  ["selector", "metric.selector"],
];
const EXTERNAL_METRIC: readonly Pair[] = [
  ["metricName", "metric.name", ""],
  ["metricSelector", "metric.selector"],
];
const RESOURCE: readonly Pair[] = [
  ["name", "name", ""],
  ["targetAverageUtilization", "target.averageUtilization"],
  ["targetAverageValue", "target.averageValue"],
];
const RESOURCE_STATUS: readonly Pair[] = [
  ["name", "name", ""],
  ["currentAverageUtilization", "current.averageUtilization"],
  ["currentAverageValue", "current.averageValue", "0"],
];
const CONTAINER: Pair = ["container", "container", ""];

const SPECS: Readonly<Record<string, readonly Pair[]>> = {
  object: [
    ["target", "describedObject"],
    ["metricName", "metric.name", ""],
    ["targetValue", "target.value", "0"],
    ["selector", "metric.selector"],
    ["averageValue", "target.averageValue"],
  ],
  pods: [...METRIC, ["targetAverageValue", "target.averageValue", "0"]],
  resource: RESOURCE,
  containerResource: [...RESOURCE, CONTAINER],
  external: [...EXTERNAL_METRIC, ["targetValue", "target.value"], ["targetAverageValue", "target.averageValue"]],
};
const STATUSES: Readonly<Record<string, readonly Pair[]>> = {
  object: [
    ["target", "describedObject"],
    ["metricName", "metric.name", ""],
    ["currentValue", "current.value", "0"],
    ["selector", "metric.selector"],
    ["averageValue", "current.averageValue"],
  ],
  pods: [...METRIC, ["currentAverageValue", "current.averageValue", "0"]],
  resource: RESOURCE_STATUS,
  containerResource: [...RESOURCE_STATUS, CONTAINER],
  external: [
    ...EXTERNAL_METRIC,
    ["currentValue", "current.value", "0"],
    ["currentAverageValue", "current.averageValue"],
  ],
};

function at(object: Json, path: string): unknown {
  const [outer = "", inner] = path.split(".");
  const value = object[outer];
  if (inner === undefined) return value;
  return isJsonObject(value) ? value[inner] : undefined;
}

function put(object: Json, path: string, value: unknown): void {
  const [outer = "", inner] = path.split(".");
  if (inner === undefined) object[outer] = value;
  else object[outer] = { ...(isJsonObject(object[outer]) ? object[outer] : {}), [inner]: value };
}

function convert(source: Json, pairs: readonly Pair[], from: 0 | 1, to: 0 | 1): Json {
  const made: Json = {};
  for (const pair of pairs) {
    const value = at(source, pair[from]) ?? pair[2];
    if (value !== undefined) put(made, pair[to], value);
  }
  return made;
}

/** The type of a target, which the flat form does not say. */
function targetType(name: string, target: Json): string {
  if (name === "object") return target["averageValue"] === undefined ? "Value" : "AverageValue";
  if (name === "external") return target["value"] === undefined ? "AverageValue" : "Value";
  return target["averageUtilization"] === undefined ? "AverageValue" : "Utilization";
}

function flat(metric: MetricSpec | MetricStatus, sources: Readonly<Record<string, readonly Pair[]>>): Json {
  const made: Json = { type: metric.type };
  for (const [name, pairs] of Object.entries(sources)) {
    const source = (metric as unknown as Json)[name];
    if (isJsonObject(source)) made[name] = convert(source, pairs, 1, 0);
  }
  return made;
}

function nested(metric: Json, sources: Readonly<Record<string, readonly Pair[]>>): Json {
  const made: Json = { type: metric["type"] ?? "" };
  for (const [name, pairs] of Object.entries(sources)) {
    const source = metric[name];
    if (!isJsonObject(source)) continue;
    const one = convert(source, pairs, 0, 1);
    if (sources === SPECS) {
      const target = isJsonObject(one["target"]) ? one["target"] : {};
      one["target"] = { type: targetType(name, target), ...target };
    } else one["current"] ??= {};
    made[name] = one;
  }
  return made;
}

/** The list that an annotation holds, in the form of `schemaName`; undefined where it holds no such list. */
export function listOf(
  text: string | undefined,
  schemaName: string,
  make: (element: Json) => Json,
): Json[] | undefined {
  const list = jsonOrNothing(text ?? "");
  if (!Array.isArray(list) || !list.every(isJsonObject)) return undefined;
  const made = list.map((element) => make(element));
  if (made.some((element) => checkTypes(element, schemaName).length > 0)) return undefined;
  for (const element of made) pruneUnknown(element, schemaName);
  return made;
}

const SPEC_TYPE = "io.k8s.api.autoscaling.v2.MetricSpec";
const STATUS_TYPE = "io.k8s.api.autoscaling.v2.MetricStatus";

export const flatSpecs = (metrics: readonly MetricSpec[]): string =>
  JSON.stringify(metrics.map((metric) => flat(metric, SPECS)));

export const flatStatuses = (metrics: readonly MetricStatus[]): string =>
  JSON.stringify(metrics.map((metric) => flat(metric, STATUSES)));

export const nestedSpecs = (text: string | undefined): MetricSpec[] | undefined =>
  listOf(text, SPEC_TYPE, (metric) => nested(metric, SPECS)) as MetricSpec[] | undefined;

export const nestedStatuses = (text: string | undefined): MetricStatus[] | undefined =>
  listOf(text, STATUS_TYPE, (metric) => nested(metric, STATUSES)) as MetricStatus[] | undefined;
