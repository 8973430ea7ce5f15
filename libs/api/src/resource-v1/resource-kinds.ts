// ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice: devices that pods ask for, and where they are.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  fieldTooMany,
  indexPath,
  validateDns1123Label,
} from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type { DeviceClass, DeviceResourceClaim, ResourceClaimTemplate, ResourceSlice } from "../types.gen.ts";
import { validateRequiredWith } from "../validation/enums.ts";
import { validateImmutableField } from "../validation/immutable.ts";
import { setDeviceClaimDefaults, validateDeviceClaim, validateDriverName, validateSelectors } from "./devices.ts";

const GROUP = "resource.k8s.io";
const MAX_DEVICES = 128;

function claimState({ metadata, status }: DeviceResourceClaim): string {
  const words = metadata?.deletionTimestamp ? ["deleted"] : [];
  if (!status?.allocation) words.push("pending");
  else words.push("allocated", ...(status.reservedFor?.length ? ["reserved"] : []));
  return words.join(",");
}

export const resourceClaimKind = defineKind<DeviceResourceClaim>({
  group: GROUP,
  version: "v1",
  kind: "ResourceClaim",
  resource: "resourceclaims",
  namespaced: true,
  schemaName: "io.k8s.api.resource.v1.ResourceClaim",
  hasStatus: true,
  defaults: ({ spec }) => setDeviceClaimDefaults(spec?.devices),
  validateCreate: ({ spec }) => validateDeviceClaim(spec?.devices, "spec.devices"),
  validateUpdate: (claim, old) => validateImmutableField(claim.spec, old.spec, "spec"),
  validateStatusUpdate: ({ status }) =>
    status?.reservedFor?.length && !status.allocation
      ? [fieldInvalid("status.reservedFor", status.reservedFor, "may not be specified when `allocated` is not set")]
      : [],
  strategy: plainStrategy<DeviceResourceClaim>({
    prepareForCreate(claim) {
      claim.status = {};
    },
    prepareForUpdate(claim, old) {
      if (old.status === undefined) delete claim.status;
      else claim.status = old.status;
    },
    prepareForStatusUpdate(claim, old) {
      claim.spec = old.spec;
    },
  }),
  columns: [NAME, column("State", "Whether it has its devices."), AGE],
  row: (claim, context) => [nameOf(claim), claimState(claim), age(claim, context)],
});

export const resourceClaimTemplateKind = defineKind<ResourceClaimTemplate>({
  group: GROUP,
  version: "v1",
  kind: "ResourceClaimTemplate",
  resource: "resourceclaimtemplates",
  namespaced: true,
  schemaName: "io.k8s.api.resource.v1.ResourceClaimTemplate",
  defaults: ({ spec }) => setDeviceClaimDefaults(spec?.spec?.devices),
  validateCreate: ({ spec }) => validateDeviceClaim(spec?.spec?.devices, "spec.spec.devices"),
  validateUpdate: (template, old) => validateImmutableField(template.spec, old.spec, "spec"),
  columns: [NAME, AGE],
  row: (template, context) => [nameOf(template), age(template, context)],
});

const validateClass = ({ spec }: DeviceClass): FieldError[] => validateSelectors(spec?.selectors, "spec.selectors");

export const deviceClassKind = defineKind<DeviceClass>({
  group: GROUP,
  version: "v1",
  kind: "DeviceClass",
  resource: "deviceclasses",
  namespaced: false,
  schemaName: "io.k8s.api.resource.v1.DeviceClass",
  validateCreate: validateClass,
  validateUpdate: validateClass,
  strategy: plainStrategy<DeviceClass>({
    prepareForCreate(deviceClass) {
      metaOf(deviceClass).generation = 1;
    },
    prepareForUpdate: (deviceClass, old) => setGeneration(deviceClass, old, !sameValue(deviceClass.spec, old.spec)),
  }),
  columns: [NAME, AGE],
  row: (deviceClass, context) => [nameOf(deviceClass), age(deviceClass, context)],
});

function validateSlice({ spec }: ResourceSlice): FieldError[] {
  const errors = validateDriverName(spec?.driver, "spec.driver");
  if (!spec?.pool?.name) errors.push(fieldRequired("spec.pool.name", ""));
  if ((spec?.pool?.resourceSliceCount ?? 0) <= 0) {
    errors.push(
      fieldInvalid("spec.pool.resourceSliceCount", spec?.pool?.resourceSliceCount ?? 0, "must be greater than zero"),
    );
  }
  const places = [spec?.nodeName, spec?.nodeSelector, spec?.allNodes, spec?.perDeviceNodeSelection].filter(Boolean);
  const choice = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (places.length === 0) errors.push(fieldRequired("spec", choice));
  if (places.length > 1) errors.push(fieldInvalid("spec", undefined, `${choice}, but multiple fields are set`));
  const devices = spec?.devices ?? [];
  if (devices.length > MAX_DEVICES) return [...errors, fieldTooMany("spec.devices", devices.length, MAX_DEVICES)];
  const names = devices.map((device) => device.name);
  for (const [index, name] of names.entries()) {
    const at = childPath(indexPath("spec.devices", index), "name");
    errors.push(...validateRequiredWith(validateDns1123Label, name, at));
    if (names.indexOf(name) < index) errors.push(fieldDuplicate(at, name));
  }
  return errors;
}

export const resourceSliceKind = defineKind<ResourceSlice>({
  group: GROUP,
  version: "v1",
  kind: "ResourceSlice",
  resource: "resourceslices",
  namespaced: false,
  schemaName: "io.k8s.api.resource.v1.ResourceSlice",
  validateCreate: validateSlice,
  validateUpdate: (slice, old) => [
    ...validateSlice(slice),
    ...validateImmutableField(slice.spec?.driver, old.spec?.driver, "spec.driver"),
    ...validateImmutableField(slice.spec?.pool?.name, old.spec?.pool?.name, "spec.pool.name"),
    ...validateImmutableField(slice.spec?.nodeName, old.spec?.nodeName, "spec.nodeName"),
  ],
  strategy: plainStrategy<ResourceSlice>({
    prepareForCreate(slice) {
      metaOf(slice).generation = 1;
    },
    prepareForUpdate: (slice, old) => setGeneration(slice, old, !sameValue(slice.spec, old.spec)),
  }),
  columns: [
    NAME,
    column("Node", "The node whose devices these are."),
    column("Driver", "The driver that has them."),
    column("Pool", "The pool that they belong to."),
    AGE,
  ],
  row: (slice, context) => [
    nameOf(slice),
    slice.spec?.nodeName || "<unset>",
    slice.spec?.driver ?? "",
    slice.spec?.pool?.name ?? "",
    age(slice, context),
  ],
  selectableFields: ({ spec }) => ({ "spec.nodeName": spec?.nodeName ?? "", "spec.driver": spec?.driver ?? "" }),
});
