// Resources of a whole pod (KEP 2837): what its containers ask for together fits in them, and they default to that.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  indexPath,
  isQuantity,
  keyPath,
  parseQuantity,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type { Container, PodSpec } from "../../types.gen.ts";
import { isHugePages, validateResourceRequirements } from "../../validation/resources.ts";

type Amounts = Record<string, string>;
type Side = "limits" | "requests";

const SUPPORTED = ["cpu", "hugepages-", "memory"];
const isPodLevelResource = (name: string): boolean => name === "cpu" || name === "memory" || isHugePages(name);

/** Adds each amount of `more`; what is no quantity, which validation refuses elsewhere, counts for nothing. */
function add(sum: Amounts, more: Amounts | undefined): void {
  for (const [name, amount] of Object.entries(more ?? {})) {
    if (!isQuantity(amount)) continue;
    const before = sum[name];
    sum[name] = (
      before === undefined ? parseQuantity(amount) : parseQuantity(before).add(parseQuantity(amount))
    ).toString();
  }
}

function raise(most: Amounts, other: Amounts): void {
  for (const [name, amount] of Object.entries(other)) {
    const before = most[name];
    if (before === undefined || parseQuantity(amount).compare(parseQuantity(before)) > 0) most[name] = amount;
  }
}

/** What all containers ask for, or may use, at the most demanding moment of the pod's life. A spec that is wrong may have none. */
function aggregate({ containers = [], initContainers = [] }: Partial<PodSpec>, side: Side): Amounts {
  const running: Amounts = {};
  for (const { resources } of containers) add(running, resources?.[side]);
  const sidecars: Amounts = {};
  const starting: Amounts = {};
  for (const { resources, restartPolicy } of initContainers) {
    const now: Amounts = { ...sidecars };
    add(now, resources?.[side]);
    if (restartPolicy === "Always") {
      add(running, resources?.[side]);
      add(sidecars, resources?.[side]);
    }
    raise(starting, now);
  }
  raise(running, starting);
  return running;
}

/** Fills in, in place, what a pod with resources of its own leaves to its containers and limits. After the containers' own defaults. */
export function setPodResourceDefaults(spec: PodSpec): void {
  const given = spec.resources;
  if (given === undefined) return;
  const { limits = {}, requests = {} } = given;
  if (Object.keys(limits).length === 0 && Object.keys(requests).length === 0) return;
  const nextLimits: Amounts = { ...limits };
  for (const [name, amount] of Object.entries(aggregate(spec, "limits"))) {
    if (isHugePages(name) && requests[name] === undefined) nextLimits[name] ??= amount;
  }
  const nextRequests: Amounts = { ...requests };
  if (Object.keys(nextLimits).length > 0) {
    for (const [name, amount] of Object.entries(aggregate(spec, "requests"))) {
      if (isPodLevelResource(name) && !isHugePages(name)) nextRequests[name] ??= amount;
    }
    for (const [name, amount] of Object.entries(nextLimits)) {
      if (isPodLevelResource(name)) nextRequests[name] ??= amount;
    }
  }
  const grew = (next: Amounts, before: Amounts): boolean => Object.keys(next).length > Object.keys(before).length;
  const result = { ...given };
  if (grew(nextLimits, limits)) result.limits = nextLimits;
  if (grew(nextRequests, requests)) result.requests = nextRequests;
  if (result.limits !== given.limits || result.requests !== given.requests) spec.resources = result;
}

function validateName(name: string, path: string): FieldError[] {
  const errors = validateQualifiedName(name).map((message) => fieldInvalid(path, name, message));
  if (errors.length > 0 || isPodLevelResource(name)) return errors;
  if (name.includes("/") || name === "ephemeral-storage") return [fieldNotSupported(path, name, SUPPORTED)];
  return [fieldInvalid(path, name, "must be a standard resource type or fully qualified")];
}

/** Each container's limits are within those of the pod. */
function validateContainerLimits(containers: readonly Container[], limits: Amounts, path: string): FieldError[] {
  return containers.flatMap(({ resources }, index) =>
    Object.entries(resources?.limits ?? {}).flatMap(([name, limit]) => {
      const most = limits[name];
      if (most === undefined || !isQuantity(limit) || !isQuantity(most)) return [];
      if (parseQuantity(limit).compare(parseQuantity(most)) <= 0) return [];
      const at = childPath(keyPath(indexPath(childPath(path, "containers"), index), name), "limits");
      return [fieldInvalid(at, limit, `must be less than or equal to pod limits of ${most}`)];
    }),
  );
}

function validateSums(spec: PodSpec, side: Side, path: string, counts: (name: string) => boolean): FieldError[] {
  const own = spec.resources?.[side] ?? {};
  return Object.entries(aggregate(spec, side)).flatMap(([name, sum]) => {
    const amount = own[name];
    if (!counts(name) || amount === undefined || !isQuantity(amount)) return [];
    if (parseQuantity(sum).compare(parseQuantity(amount)) <= 0) return [];
    const detail = `must be greater than or equal to aggregate container ${side} of ${sum}`;
    return [fieldInvalid(keyPath(childPath(path, side), name), parseQuantity(amount).toString(), detail)];
  });
}

/** Errors of the resources of the pod itself, of the spec at `path`. */
export function validatePodResources(spec: PodSpec, path: string): FieldError[] {
  const { resources } = spec;
  if (resources === undefined) return [];
  const at = childPath(path, "resources");
  if (spec.os?.name === "windows") return [fieldForbidden(at, "may not be set for a windows pod")];
  const claims = childPath(at, "claims");
  return [
    ...(resources.claims ? [fieldForbidden(claims, "claims may not be set for Resources at pod-level")] : []),
    ...validateResourceRequirements(resources, at, validateName),
    ...validateSums(spec, "requests", at, () => true),
    ...validateSums(spec, "limits", at, isHugePages),
    ...validateContainerLimits(spec.containers ?? [], resources.limits ?? {}, at),
  ];
}
