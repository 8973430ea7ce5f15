// What claims, their templates and classes of devices ask: requests with names, classes, counts and selectors, constraints among
// the devices, and what drivers are told.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  indexPath,
  isJsonObject,
  validateCIdentifier,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type {
  DeviceClaim,
  DeviceClaimConfiguration,
  DeviceConstraint,
  DeviceRequest,
  DeviceSelector,
  ExactDeviceRequest,
  OpaqueDeviceConfiguration,
} from "../types.gen.ts";
import { validateRequiredWith, validateWith } from "../validation/enums.ts";
import { deviceExpression, isTooComplex } from "./device-expressions.ts";

const MAX_REQUESTS = 32;
const MAX_SELECTORS = 32;
const MAX_CONSTRAINTS = 32;
const MAX_CONFIGS = 32;
const MAX_ALTERNATIVES = 8;
const MAX_EXPRESSION = 10 * 1024;
const MAX_RAW = 10 * 1024;
const MAX_DRIVER = 63;
const MAX_POOL = 253;
const MAX_ID = 32;
const MODES = ["All", "ExactCount"];

export function setDeviceClaimDefaults(claim: DeviceClaim | undefined): void {
  for (const request of claim?.requests ?? []) {
    for (const each of [...(request.exactly ? [request.exactly] : []), ...(request.firstAvailable ?? [])]) {
      each.allocationMode ||= "ExactCount";
      if (each.allocationMode === "ExactCount") each.count ||= 1;
    }
  }
}

function validateExpression(expression: string, path: string): FieldError[] {
  if (Buffer.byteLength(expression) > MAX_EXPRESSION) return [fieldTooLong(path, MAX_EXPRESSION)];
  const made = deviceExpression(expression);
  if ("issue" in made) return [fieldInvalid(path, expression, made.issue)];
  return isTooComplex(made.program) ? [fieldForbidden(path, "too complex, exceeds cost limit")] : [];
}

export function validateSelectors(selectors: readonly DeviceSelector[] | undefined, path: string): FieldError[] {
  const list = selectors ?? [];
  if (list.length > MAX_SELECTORS) return [fieldTooMany(path, list.length, MAX_SELECTORS)];
  return list.flatMap((selector, index) => {
    const at = childPath(indexPath(path, index), "cel");
    if (!selector.cel) return [fieldRequired(at, "")];
    return validateExpression(selector.cel.expression ?? "", childPath(at, "expression"));
  });
}

function validateDevices(request: Partial<ExactDeviceRequest>, path: string): FieldError[] {
  const mode = request.allocationMode ?? "";
  const errors = validateRequiredWith(
    validateDns1123Subdomain,
    request.deviceClassName,
    childPath(path, "deviceClassName"),
  );
  errors.push(...validateSelectors(request.selectors, childPath(path, "selectors")));
  if (!MODES.includes(mode)) errors.push(fieldNotSupported(childPath(path, "allocationMode"), mode, MODES));
  const count = request.count ?? 0;
  if (mode === "All" && count !== 0) {
    errors.push(fieldInvalid(childPath(path, "count"), count, "must not be specified when allocationMode is 'All'"));
  }
  if (mode === "ExactCount" && count <= 0)
    errors.push(fieldInvalid(childPath(path, "count"), count, "must be greater than zero"));
  return errors;
}

function validateRequest(request: DeviceRequest, path: string): FieldError[] {
  const errors = validateRequiredWith(validateDns1123Label, request.name, childPath(path, "name"));
  const alternatives = request.firstAvailable ?? [];
  if ((request.exactly === undefined) === (alternatives.length === 0)) {
    errors.push(
      request.exactly === undefined
        ? fieldRequired(path, "exactly one of `exactly` or `firstAvailable` is required")
        : fieldInvalid(
            path,
            undefined,
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
          ),
    );
  }
  if (request.exactly) errors.push(...validateDevices(request.exactly, childPath(path, "exactly")));
  const at = childPath(path, "firstAvailable");
  if (alternatives.length > MAX_ALTERNATIVES) {
    return [...errors, fieldTooMany(at, alternatives.length, MAX_ALTERNATIVES)];
  }
  const names = alternatives.map((each) => each.name);
  for (const [index, each] of alternatives.entries()) {
    const here = indexPath(at, index);
    errors.push(
      ...validateRequiredWith(validateDns1123Label, each.name, childPath(here, "name")),
      ...validateDevices(each, here),
      ...(names.indexOf(each.name) < index ? [fieldDuplicate(here, each.name)] : []),
    );
  }
  return errors;
}

/** The names by which a claim's requests are referred to. */
export function requestNames(claim: DeviceClaim | undefined): Set<string> {
  const names = (claim?.requests ?? []).flatMap(({ name, firstAvailable = [] }) => [
    name,
    ...firstAvailable.map((each) => `${name}/${each.name}`),
  ]);
  return new Set(names);
}

/** Names of requests, each once, that the claim has; `path` is of one by its place. */
export function validateRequestNames(
  given: readonly string[],
  path: (index: number) => string,
  known: ReadonlySet<string>,
): FieldError[] {
  const detail =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  return given.flatMap((name, index) => [
    ...(known.has(name) ? [] : [fieldInvalid(path(index), name, detail)]),
    ...(given.indexOf(name) < index ? [fieldDuplicate(path(index), name)] : []),
  ]);
}

function validateReferences(
  given: readonly string[] | undefined,
  path: string,
  known: ReadonlySet<string>,
): FieldError[] {
  const names = given ?? [];
  const at = childPath(path, "requests");
  if (names.length > MAX_REQUESTS) return [fieldTooMany(at, names.length, MAX_REQUESTS)];
  return validateRequestNames(names, (index) => indexPath(at, index), known);
}

/** The domain and the name of an attribute or capacity; `full`: the domain must be there. */
export function validateAttributeName(name: string, path: string, full: boolean): FieldError[] {
  const parts = name.split("/");
  const errors: FieldError[] = [];
  if (parts.length === 2) {
    const [domain = "", id = ""] = parts;
    errors.push(
      ...(domain === "" ? [fieldInvalid(path, "", "the domain must not be empty")] : validateDriverName(domain, path)),
      ...(id === "" ? [fieldInvalid(path, "", "the name must not be empty")] : validateIdentifier(id, path)),
    );
  } else if (parts.length === 1) errors.push(...validateIdentifier(name, path));
  if (full && parts.length === 1) {
    const detail = "a fully qualified name must be a domain and a name separated by a slash";
    errors.push(fieldInvalid(path, name, detail));
  }
  return errors;
}

function validateIdentifier(id: string, path: string): FieldError[] {
  const long = id.length > MAX_ID ? [fieldTooLong(path, MAX_ID)] : [];
  return [...long, ...validateWith(validateCIdentifier, id, path)];
}

/** JSON of no kind that is known here: an object. */
export function validateRawObject(value: unknown, path: string): FieldError[] {
  if (value === undefined || value === null) return [fieldRequired(path, "")];
  if (Buffer.byteLength(JSON.stringify(value)) > MAX_RAW) return [fieldTooLong(path, MAX_RAW)];
  return isJsonObject(value) ? [] : [fieldInvalid(path, "<value omitted>", "must be a valid JSON object")];
}

/** What a driver alone understands. */
export function validateOpaque(opaque: OpaqueDeviceConfiguration | undefined, path: string): FieldError[] {
  if (!opaque) return [fieldRequired(path, "")];
  return [
    ...validateDriverName(opaque.driver, childPath(path, "driver")),
    ...validateRawObject(opaque.parameters, childPath(path, "parameters")),
  ];
}

function validateConstraint(
  { requests, matchAttribute }: DeviceConstraint,
  path: string,
  known: ReadonlySet<string>,
): FieldError[] {
  const at = childPath(path, "matchAttribute");
  const errors = validateReferences(requests, path, known);
  if (matchAttribute === undefined) return [...errors, fieldRequired(at, "")];
  return [...errors, ...validateAttributeName(matchAttribute, at, true)];
}

/** At most as many as a claim or class may have. */
export function validateConfigs<T extends { readonly opaque?: OpaqueDeviceConfiguration }>(
  configs: readonly T[] | undefined,
  path: string,
  also: (config: T, path: string) => FieldError[] = () => [],
): FieldError[] {
  const list = configs ?? [];
  if (list.length > MAX_CONFIGS) return [fieldTooMany(path, list.length, MAX_CONFIGS)];
  return list.flatMap((config, index) => {
    const at = indexPath(path, index);
    return [...also(config, at), ...validateOpaque(config.opaque, childPath(at, "opaque"))];
  });
}

export function validateDeviceClaim(claim: DeviceClaim | undefined, path: string): FieldError[] {
  const requests = claim?.requests ?? [];
  const at = childPath(path, "requests");
  if (requests.length > MAX_REQUESTS) return [fieldTooMany(at, requests.length, MAX_REQUESTS)];
  const names = requests.map((request) => request.name);
  const errors = requests.flatMap((request, index) => [
    ...validateRequest(request, indexPath(at, index)),
    ...(names.indexOf(request.name) < index
      ? [fieldDuplicate(childPath(indexPath(at, index), "name"), request.name)]
      : []),
  ]);
  const known = requestNames(claim);
  const constraints = claim?.constraints ?? [];
  const constraintsPath = childPath(path, "constraints");
  if (constraints.length > MAX_CONSTRAINTS) {
    errors.push(fieldTooMany(constraintsPath, constraints.length, MAX_CONSTRAINTS));
  } else {
    for (const [index, each] of constraints.entries()) {
      errors.push(...validateConstraint(each, indexPath(constraintsPath, index), known));
    }
  }
  const references = (config: DeviceClaimConfiguration, at: string): FieldError[] =>
    validateReferences(config.requests, at, known);
  return [...errors, ...validateConfigs(claim?.config, childPath(path, "config"), references)];
}

/** A driver is named by a DNS name, in letters of any case. */
export function validateDriverName(name: string | undefined, path: string): FieldError[] {
  if (!name) return [fieldRequired(path, "")];
  const long = name.length > MAX_DRIVER ? [fieldTooLong(path, MAX_DRIVER)] : [];
  return [...long, ...validateDns1123Subdomain(name.toLowerCase()).map((message) => fieldInvalid(path, name, message))];
}

/** DNS names with slashes between. */
export function validatePoolName(name: string | undefined, path: string): FieldError[] {
  if (!name) return [fieldRequired(path, "")];
  const long = name.length > MAX_POOL ? [fieldTooLong(path, MAX_POOL)] : [];
  return [...long, ...name.split("/").flatMap((part) => validateWith(validateDns1123Subdomain, part, path))];
}
