// What a claim of a volume must be. Once made, it may ask for more, or for another class of attributes, and nothing else.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isQuantity,
  keyPath,
  parseQuantity,
  validateDns1123Subdomain,
  validateLabelSelector,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type {
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  TypedLocalObjectReference,
  TypedObjectReference,
} from "../../types.gen.ts";
import { BETA_STORAGE_CLASS } from "../persistent-volume/binding.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { isNative, validateQuantityValue } from "../../validation/resources.ts";

const ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES = ["Block", "Filesystem"];

/** Shared with volumes. */
export function validateAccessModes(
  modes: readonly string[] | undefined,
  path: string,
  missing = "at least 1 access mode is required",
): FieldError[] {
  if (!modes?.length) return [fieldRequired(path, missing)];
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
  if (!isQuantity(value)) return validateQuantityValue("storage", value, path);
  const quantity = parseQuantity(value);
  if (quantity.nanos > 0n) return [];
  return [fieldInvalid(path, quantity.toString(), "must be greater than zero")];
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
    errors.push(fieldInvalid(path, source.kind, detail));
  }
  if (source.apiGroup)
    errors.push(...validateWith(validateDns1123Subdomain, source.apiGroup, childPath(path, "apiGroup")));
  return errors;
}

/** Both fields name one source. */
function validateSameSource({ dataSource, dataSourceRef }: PersistentVolumeClaimSpec, path: string): FieldError[] {
  if (!dataSource || !dataSourceRef) return [];
  // Upstream shows the field in place of its value, and of a field nothing can be shown.
  const refuse = (detail: string): FieldError[] => [fieldInvalid(path, {}, detail)];
  if (dataSourceRef.namespace) return refuse("may not be specified when dataSourceRef.namespace is specified");
  const { namespace: _, ...ref } = dataSourceRef;
  return sameValue(dataSource, ref) ? [] : refuse("must match dataSourceRef");
}

export function validateClaimSpec(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const at = (name: string) => childPath(path, name);
  const request = spec.resources?.requests?.["storage"];
  // Upstream's own path.
  const requestPath = keyPath(at("resources"), "storage");
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
    ...validateSameSource(spec, path),
    ...(spec.volumeAttributesClassName
      ? validateWith(validateDns1123Subdomain, spec.volumeAttributesClassName, at("volumeAttributesClassName"))
      : []),
  ];
}

export function validateClaim(claim: PersistentVolumeClaim): FieldError[] {
  return claim.spec ? validateClaimSpec(claim.spec, "spec") : [fieldRequired("spec", "")];
}

type Lists = NonNullable<PersistentVolumeClaimSpec["resources"]>;

/** The spec, with what may change taken from `old`: what then differs may not. */
function withoutAllowedChanges(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): PersistentVolumeClaimSpec {
  const spec: PersistentVolumeClaimSpec = { ...claim.spec };
  const before = old.spec ?? {};
  // The controller binds a claim by its volumeName, once.
  if (!before.volumeName) spec.volumeName = before.volumeName;
  // A claim of no class may get one: the default class, when there is one.
  if (before.storageClassName === undefined) {
    const named = old.metadata?.annotations?.[BETA_STORAGE_CLASS];
    if (named === undefined || named === spec.storageClassName) spec.storageClassName = undefined;
  }
  if (claim.status?.phase !== "Bound") return spec;
  spec.volumeAttributesClassName = before.volumeAttributesClassName;
  const { requests } = spec.resources ?? {};
  if (requests === undefined) return spec;
  const stored = before.resources?.requests?.["storage"];
  const resources: Lists = { ...spec.resources, requests: { ...requests, ...(stored && { storage: stored }) } };
  return { ...spec, resources };
}

/** What is asked for shrinks no further than to more than the volume has: so people recover from a growth that failed. */
function validateSize(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const [asked, was, has] = [
    claim.spec?.resources?.requests?.["storage"] ?? "0",
    old.spec?.resources?.requests?.["storage"] ?? "0",
    old.status?.capacity?.["storage"] ?? "0",
  ];
  if (![asked, was, has].every((text) => isQuantity(text))) return [];
  const amount = parseQuantity(asked);
  if (amount.compare(parseQuantity(was)) >= 0 || amount.compare(parseQuantity(has)) > 0) return [];
  return [fieldForbidden("spec.resources.requests.storage", "field can not be less than status.capacity")];
}

/** Attributes that a volume has got are changed, not taken away. */
function validateAttributesChange(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const name = claim.spec?.volumeAttributesClassName;
  if (old.status?.currentVolumeAttributesClassName === undefined || name) return [];
  if (name === old.spec?.volumeAttributesClassName) return [];
  const to = name === undefined ? "nil" : "empty string";
  const detail = `update to ${to} is forbidden when status.currentVolumeAttributesClassName is not nil`;
  return [fieldForbidden("spec.volumeAttributesClassName", detail)];
}

export function validateClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const errors = validateClaim(claim);
  const [named, before] = [claim, old].map(({ metadata }) => metadata?.annotations?.[BETA_STORAGE_CLASS] ?? "");
  const moves = old.spec?.storageClassName === undefined && claim.spec?.storageClassName === before && named === "";
  if (named !== before && !moves) {
    errors.push(...validateImmutableField(named, before, `metadata.annotations.${BETA_STORAGE_CLASS}`));
  }
  if (!sameValue(withoutAllowedChanges(claim, old), old.spec)) {
    const detail =
      "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    errors.push(fieldForbidden("spec", detail));
  }
  errors.push(...validateSize(claim, old));
  errors.push(...validateImmutableField(claim.spec?.volumeMode, old.spec?.volumeMode, "volumeMode"));
  return [...errors, ...validateAttributesChange(claim, old)];
}

const RESIZE_STATES = [
  "ControllerResizeInProgress",
  "ControllerResizeInfeasible",
  "NodeResizeInProgress",
  "NodeResizePending",
  "NodeResizeInfeasible",
].toSorted();

/** Of resources without a domain of their own, a claim has storage alone. */
function validateResourceKey(name: string, path: string): FieldError[] {
  const errors = validateWith(validateQualifiedName, name, path);
  if (errors.length > 0 || !isNative(name) || name === "storage") return errors;
  return [fieldNotSupported(path, name, ["storage"])];
}

export function validateClaimStatus({ status = {} }: PersistentVolumeClaim): FieldError[] {
  const errors = Object.entries(status.capacity ?? {}).flatMap(([name, value]) =>
    validateQuantityValue(name, value, `status.capacity[${name}]`),
  );
  const states = "status.allocatedResourceStatuses";
  for (const [name, state] of Object.entries(status.allocatedResourceStatuses ?? {})) {
    errors.push(...validateResourceKey(name, states));
    // Upstream prints the resource in place of its state.
    if (!RESIZE_STATES.includes(state)) errors.push(fieldNotSupported(states, name, RESIZE_STATES));
  }
  const allocated = "status.allocatedResources";
  for (const [name, value] of Object.entries(status.allocatedResources ?? {})) {
    const wrong = validateResourceKey(name, allocated);
    errors.push(...(wrong.length > 0 ? wrong : validateQuantityValue("storage", value, keyPath(allocated, name))));
  }
  return errors;
}
