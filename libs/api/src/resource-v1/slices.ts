// What drivers publish: slices of pools of devices, and on which nodes these are.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  indexPath,
  keyPath,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import { validateNodeSelector } from "../core-v1/pod-spec/scheduling.ts";
import type { Device, DeviceAttribute, ResourceSlice, ResourceSliceSpec } from "../types.gen.ts";
import { validateRequiredWith, validateWith } from "../validation/enums.ts";
import { validateAttributeName, validateDriverName, validatePoolName } from "./devices.ts";

const MAX_DEVICES = 128;
const MAX_ATTRIBUTES = 32;
const MAX_VALUE = 64;
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;

function validateAttribute(attribute: DeviceAttribute, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const tooLong = (name: "string" | "version"): FieldError[] =>
    Buffer.byteLength(attribute[name] ?? "") > MAX_VALUE ? [fieldTooLong(childPath(path, name), MAX_VALUE)] : [];
  errors.push(...tooLong("string"));
  if (attribute.version !== undefined && !SEMVER.test(attribute.version)) {
    const detail = "must be a string compatible with semver.org spec 2.0.0";
    errors.push(fieldInvalid(childPath(path, "version"), attribute.version, detail));
  }
  errors.push(...tooLong("version"));
  const given = (["bool", "int", "string", "version"] as const).filter((name) => attribute[name] !== undefined);
  if (given.length === 1) return errors;
  return [...errors, fieldInvalid(path, given.length === 0 ? "" : attribute, "exactly one value must be specified")];
}

function validateDevice(device: Device, path: string): FieldError[] {
  const { attributes = {}, capacity = {} } = device;
  const errors = validateRequiredWith(validateDns1123Label, device.name, childPath(path, "name"));
  const count = Object.keys(attributes).length + Object.keys(capacity).length;
  if (count > MAX_ATTRIBUTES) {
    const detail = `the total number of attributes and capacities must not exceed ${MAX_ATTRIBUTES}`;
    errors.push(fieldInvalid(path, count, detail));
  }
  for (const [name, attribute] of Object.entries(attributes)) {
    const at = keyPath(childPath(path, "attributes"), name);
    errors.push(...validateAttributeName(name, at, false), ...validateAttribute(attribute, at));
  }
  for (const name of Object.keys(capacity)) {
    errors.push(...validateAttributeName(name, keyPath(childPath(path, "capacity"), name), false));
  }
  return errors;
}

/** Exactly one way to say on which nodes the devices are. */
function validatePlace(spec: ResourceSliceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { nodeName, nodeSelector, allNodes, perDeviceNodeSelection } = spec;
  const given: string[] = [];
  if (nodeName === "") {
    errors.push(fieldInvalid("spec.nodeName", "", "must be either unset or set to a non-empty string"));
  } else if (nodeName !== undefined) {
    given.push("`nodeName`");
    errors.push(...validateWith(validateDns1123Subdomain, nodeName, "spec.nodeName"));
  }
  if (nodeSelector !== undefined) {
    given.push("`nodeSelector`");
    errors.push(...validateNodeSelector(nodeSelector, "spec.nodeSelector"));
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    if (terms.length !== 1) {
      const at = "spec.nodeSelector.nodeSelectorTerms";
      errors.push(fieldInvalid(at, terms, "must have exactly one node selector term"));
    }
  }
  for (const [name, value] of [
    ["allNodes", allNodes],
    ["perDeviceNodeSelection", perDeviceNodeSelection],
  ] as const) {
    if (value === true) given.push(`\`${name}\``);
    else if (value === false) {
      errors.push(fieldInvalid(`spec.${name}`, false, "must be either unset or set to true"));
    }
  }
  const choice = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (given.length === 0) errors.push(fieldRequired("spec", choice));
  if (given.length > 1) {
    errors.push(fieldInvalid("spec", `{${given.join(", ")}}`, `${choice}, but multiple fields are set`));
  }
  return errors;
}

export function validateSlice(slice: Pick<ResourceSlice, "spec">): FieldError[] {
  const spec: Partial<ResourceSliceSpec> = slice.spec ?? {};
  const errors = validateDriverName(spec.driver, "spec.driver");
  errors.push(...validatePoolName(spec.pool?.name, "spec.pool.name"));
  const { resourceSliceCount = 0, generation = 0 } = spec.pool ?? {};
  if (resourceSliceCount <= 0) {
    errors.push(fieldInvalid("spec.pool.resourceSliceCount", resourceSliceCount, "must be greater than zero"));
  }
  if (generation < 0) {
    errors.push(fieldInvalid("spec.pool.generation", generation, "must be greater than or equal to zero"));
  }
  errors.push(...validatePlace(spec as ResourceSliceSpec));
  const devices = spec.devices ?? [];
  if (devices.length > MAX_DEVICES) return [...errors, fieldTooMany("spec.devices", devices.length, MAX_DEVICES)];
  const names = devices.map((device) => device.name);
  for (const [index, device] of devices.entries()) {
    const at = indexPath("spec.devices", index);
    errors.push(...validateDevice(device, at));
    if (names.indexOf(device.name) < index) errors.push(fieldDuplicate(at, device.name));
  }
  return errors;
}
