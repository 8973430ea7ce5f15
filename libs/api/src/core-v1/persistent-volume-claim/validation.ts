// What a claim of a volume must be. Once made, it may ask for more, or for another class of attributes, and nothing else.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isQuantity,
  parseQuantity,
  validateDns1123Subdomain,
  validateLabelSelector,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type {
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  TypedLocalObjectReference,
  TypedObjectReference,
} from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateQuantityValue } from "../../validation/resources.ts";

const ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES = ["Block", "Filesystem"];

/** Shared with volumes. */
export function validateAccessModes(modes: readonly string[] | undefined, path: string): FieldError[] {
  if (!modes?.length) return [fieldRequired(path, "at least 1 access mode is required")];
  const errors = modes
    .filter((mode) => !ACCESS_MODES.includes(mode))
    .map((mode) => fieldNotSupported(path, mode, ACCESS_MODES));
  if (modes.length > 1 && modes.includes("ReadWriteOncePod")) {
    errors.push(fieldForbidden(path, "may not use ReadWriteOncePod with other access modes"));
  }
  return errors;
}

export function validateVolumeMode(mode: string | undefined, path: string): FieldError[] {
  return mode === undefined || VOLUME_MODES.includes(mode) ? [] : [fieldNotSupported(path, mode, VOLUME_MODES)];
}

/** A quantity above zero. */
export function validateStorage(value: string, path: string): FieldError[] {
  const errors = validateQuantityValue("storage", value, path);
  if (errors.length === 0 && parseQuantity(value).compare(parseQuantity("0")) === 0) {
    errors.push(fieldInvalid(path, value, "must be greater than zero"));
  }
  return errors;
}

function validateSource(
  source: TypedLocalObjectReference | TypedObjectReference | undefined,
  path: string,
): FieldError[] {
  if (!source) return [];
  const errors: FieldError[] = [];
  if (!source.name) errors.push(fieldRequired(childPath(path, "name"), ""));
  if (!source.kind) errors.push(fieldRequired(childPath(path, "kind"), ""));
  if (!source.apiGroup && source.kind !== "PersistentVolumeClaim") {
    const detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    errors.push(fieldInvalid(childPath(path, "kind"), source.kind, detail));
  }
  return errors;
}

export function validateClaimSpec(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const at = (name: string) => childPath(path, name);
  const request = spec.resources?.requests?.["storage"];
  const requestPath = `${at("resources")}.requests[storage]`;
  return [
    ...(spec.selector ? validateLabelSelector(spec.selector, at("selector")) : []),
    ...validateAccessModes(spec.accessModes, at("accessModes")),
    ...(request === undefined ? [fieldRequired(requestPath, "")] : validateStorage(request, requestPath)),
    ...(spec.storageClassName
      ? validateWith(validateDns1123Subdomain, spec.storageClassName, at("storageClassName"))
      : []),
    ...validateVolumeMode(spec.volumeMode, at("volumeMode")),
    ...validateSource(spec.dataSource, at("dataSource")),
    ...validateSource(spec.dataSourceRef, at("dataSourceRef")),
    ...(spec.volumeAttributesClassName
      ? validateWith(validateDns1123Subdomain, spec.volumeAttributesClassName, at("volumeAttributesClassName"))
      : []),
  ];
}

export function validateClaim(claim: PersistentVolumeClaim): FieldError[] {
  return claim.spec ? validateClaimSpec(claim.spec, "spec") : [fieldRequired("spec", "")];
}

/** The spec without what a bound claim may change. */
function fixedSpec({ spec }: PersistentVolumeClaim): unknown {
  const { volumeAttributesClassName: _class, resources, ...rest } = spec ?? {};
  return { ...rest, limits: resources?.limits };
}

function shrinks(asked: string | undefined, than: string | undefined): boolean {
  if (!isQuantity(asked ?? "") || !isQuantity(than ?? "")) return false;
  return parseQuantity(asked ?? "0").compare(parseQuantity(than ?? "0")) < 0;
}

export function validateClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const errors = validateClaim(claim);
  const bound = old.status?.phase === "Bound";
  // The controller binds a claim by its volumeName.
  const before = old.spec?.volumeName ? old : { ...old, spec: { ...old.spec, volumeName: claim.spec?.volumeName } };
  const asked = claim.spec?.resources?.requests;
  const was = old.spec?.resources?.requests;
  if (!sameValue(fixedSpec(claim), fixedSpec(before)) || (!bound && !sameValue(asked, was))) {
    const detail =
      "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    errors.push(fieldForbidden("spec", detail));
  } else if (
    shrinks(asked?.["storage"], was?.["storage"]) &&
    shrinks(asked?.["storage"], old.status?.capacity?.["storage"])
  ) {
    errors.push(fieldForbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
  }
  return errors;
}

export function validateClaimStatus(claim: PersistentVolumeClaim): FieldError[] {
  return Object.entries(claim.status?.capacity ?? {}).flatMap(([name, value]) =>
    validateQuantityValue(name, value, `status.capacity[${name}]`),
  );
}
