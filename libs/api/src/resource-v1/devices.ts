// What claims, their templates and classes of devices ask: requests with names, classes, counts and selectors.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type { DeviceClaim, DeviceRequest, DeviceSelector, ExactDeviceRequest } from "../types.gen.ts";
import { validateRequiredWith } from "../validation/enums.ts";

const MAX_REQUESTS = 32;
const MAX_SELECTORS = 32;
const MODES = ["All", "ExactCount"];

export function setDeviceClaimDefaults(claim: DeviceClaim | undefined): void {
  for (const request of claim?.requests ?? []) {
    for (const each of [...(request.exactly ? [request.exactly] : []), ...(request.firstAvailable ?? [])]) {
      each.allocationMode ||= "ExactCount";
      if (each.allocationMode === "ExactCount") each.count ||= 1;
    }
  }
}

export function validateSelectors(selectors: readonly DeviceSelector[] | undefined, path: string): FieldError[] {
  const list = selectors ?? [];
  if (list.length > MAX_SELECTORS) return [fieldTooMany(path, list.length, MAX_SELECTORS)];
  return list.flatMap((selector, index) => {
    const at = childPath(indexPath(path, index), "cel");
    if (!selector.cel) return [fieldRequired(at, "")];
    return selector.cel.expression ? [] : [fieldRequired(childPath(at, "expression"), "")];
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
  alternatives.forEach((each, index) => {
    const at = indexPath(childPath(path, "firstAvailable"), index);
    errors.push(
      ...validateRequiredWith(validateDns1123Label, each.name, childPath(at, "name")),
      ...validateDevices(each, at),
    );
  });
  return errors;
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
  const known = new Set(
    requests.flatMap(({ name, firstAvailable = [] }) => [
      name,
      ...firstAvailable.map((each) => `${name}/${each.name}`),
    ]),
  );
  const referring = [
    ["constraints", claim?.constraints],
    ["config", claim?.config],
  ] as const;
  for (const [list, items] of referring) {
    for (const [index, item] of (items ?? []).entries()) {
      for (const [place, name] of (item.requests ?? []).entries()) {
        const here = indexPath(childPath(indexPath(childPath(path, list), index), "requests"), place);
        if (!known.has(name))
          errors.push(
            fieldInvalid(
              here,
              name,
              "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            ),
          );
      }
    }
  }
  return errors;
}

/** A driver must be named by a DNS name. */
export function validateDriverName(name: string | undefined, path: string): FieldError[] {
  return validateRequiredWith(validateDns1123Subdomain, name, path);
}
