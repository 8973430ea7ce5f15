// Resource lists: names, quantities, and requests against limits.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isQuantity,
  keyPath,
  parseQuantity,
  Quantity,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type { ResourceRequirements } from "../types.gen.ts";

const NANOS_IN_MILLI = 1_000_000n;
const STANDARD = new Set(["cpu", "memory", "ephemeral-storage"]);
export const QUANTITY_ERROR =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

type ResourceList = Record<string, string>;
type CheckName = (name: string, path: string) => FieldError[];

/** Writes quantities as text in their canonical form, never finer than a thousandth. Leaves what does not parse, or has it. */
export function roundUpToMilli(list: ResourceList | undefined): void {
  for (const [name, value] of Object.entries(list ?? {})) {
    if (!list || !isQuantity(value)) continue;
    const quantity = parseQuantity(value);
    const exact = quantity.nanos % NANOS_IN_MILLI === 0n;
    const nanos = exact ? quantity.nanos : (quantity.nanos / NANOS_IN_MILLI + 1n) * NANOS_IN_MILLI;
    const text = (exact ? quantity : new Quantity(nanos, quantity.format)).toString();
    if (text !== value) list[name] = text;
  }
}

export const isNative = (name: string) => !name.includes("/") || name.split("/")[0]?.endsWith("kubernetes.io") === true;
export const isHugePages = (name: string) => name.startsWith("hugepages-");
/** cpu, memory and the like may be promised beyond what there is; devices and huge pages may not. */
export const mayOvercommit = (name: string) => isNative(name) && !isHugePages(name);
const NANOS_IN_ONE = 1_000_000_000n;

/** What upstream says of amounts of bytes that are not whole, of those of `list` that are named. */
export function fractionWarnings(list: ResourceList | undefined, names: readonly string[], path: string): string[] {
  if (list === undefined) return [];
  return names.flatMap((name) => {
    const value = list[name];
    // Bytes are as good as always written with a suffix, or with digits alone.
    if (value === undefined || /^\d+([KMGTPE]i?)?$/.test(value) || !isQuantity(value)) return [];
    const quantity = parseQuantity(value);
    if (quantity.nanos % NANOS_IN_ONE === 0n) return [];
    return [`${keyPath(path, name)}: fractional byte value "${quantity.toString()}" is invalid, must be an integer`];
  });
}

const COUNTED = new Set([
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
]);
const isWhole = (name: string) => !isNative(name) || COUNTED.has(name);
/** Names without a domain that mean something somewhere. */
export const isStandardResource = (name: string): boolean =>
  STANDARD.has(name) || isHugePages(name) || COUNTED.has(name) || ALL_STANDARD.test(name);
const ALL_STANDARD = /^(storage|(requests|limits)\.(cpu|memory|storage|ephemeral-storage))$/;

/** What a container may ask for. */
export function validateContainerResource(name: string, path: string): FieldError[] {
  const errors = validateQualifiedName(name).map((message) => fieldInvalid(path, name, message));
  if (errors.length > 0 || name.includes("/")) return errors;
  if (STANDARD.has(name) || isHugePages(name)) return [];
  return [
    fieldInvalid(path, name, "must be a standard resource type or fully qualified"),
    fieldInvalid(path, name, "must be a standard resource for containers"),
  ];
}

/** A quantity that is not negative, and whole for extended resources. */
export function validateQuantityValue(name: string, value: string, path: string): FieldError[] {
  if (!isQuantity(value)) return [fieldInvalid(path, value, QUANTITY_ERROR)];
  const quantity = parseQuantity(value);
  const errors: FieldError[] = [];
  if (quantity.compare(parseQuantity("0")) < 0) {
    errors.push(fieldInvalid(path, quantity.toString(), "must be greater than or equal to 0"));
  }
  if (isWhole(name) && quantity.toString().endsWith("m")) {
    errors.push(fieldInvalid(path, quantity.toString(), "must be an integer"));
  }
  return errors;
}

/** Names and quantities of a list. */
export function validateResourceList(
  list: ResourceList | undefined,
  path: string,
  checkName: CheckName = validateContainerResource,
): FieldError[] {
  return Object.entries(list ?? {}).flatMap(([name, value]) => [
    ...checkName(name, keyPath(path, name)),
    ...validateQuantityValue(name, value, keyPath(path, name)),
  ]);
}

function validateAgainstLimit(name: string, request: string, limit: string | undefined, path: string): FieldError[] {
  if (limit === undefined) {
    return mayOvercommit(name)
      ? []
      : [fieldRequired(childPath(path, "limits"), "Limit must be set for non overcommitable resources")];
  }
  if (!isQuantity(request) || !isQuantity(limit)) return [];
  const asked = parseQuantity(request);
  const most = parseQuantity(limit);
  const order = asked.compare(most);
  if (order === 0 || (order < 0 && mayOvercommit(name))) return [];
  const relation = mayOvercommit(name) ? "less than or equal to" : "equal to";
  const detail = `must be ${relation} ${name} limit of ${most.toString()}`;
  return [fieldInvalid(childPath(path, "requests"), asked.toString(), detail)];
}

/** Huge pages come whole. */
function validatePages(list: ResourceList | undefined, path: string): FieldError[] {
  return Object.entries(list ?? {}).flatMap(([name, amount]) => {
    if (!isHugePages(name) || !isQuantity(amount)) return [];
    const size = name.slice("hugepages-".length);
    const bytes = isQuantity(size) ? parseQuantity(size).nanos : 0n;
    const quantity = parseQuantity(amount);
    // Parts of a byte count as one, as in Go.
    const asked = -(-quantity.nanos / NANOS_IN_ONE) + (quantity.nanos % NANOS_IN_ONE > 0n ? 1n : 0n);
    const whole = bytes > 0n && bytes % NANOS_IN_ONE === 0n && asked % (bytes / NANOS_IN_ONE) === 0n;
    const detail = `${quantity.toString()} is not positive integer multiple of ${name}`;
    return whole ? [] : [fieldInvalid(keyPath(path, name), quantity.toString(), detail)];
  });
}

/** `checkName` says which resources may be named; those of containers where it is absent. */
export function validateResourceRequirements(
  resources: ResourceRequirements | undefined,
  path: string,
  checkName?: CheckName,
): FieldError[] {
  const { limits, requests } = resources ?? {};
  const names = Object.keys({ ...limits, ...requests });
  const alone = names.some(isHugePages) && !names.includes("cpu") && !names.includes("memory");
  return [
    ...validateResourceList(limits, childPath(path, "limits"), checkName),
    ...validateResourceList(requests, childPath(path, "requests"), checkName),
    ...validatePages(limits, childPath(path, "limits")),
    ...validatePages(requests, childPath(path, "requests")),
    ...(alone ? [fieldForbidden(path, "HugePages require cpu or memory")] : []),
    ...Object.entries(requests ?? {}).flatMap(([name, value]) =>
      validateAgainstLimit(name, value, limits?.[name], path),
    ),
  ];
}
