// ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice: devices that pods ask for, and where they are.
import type { FieldError } from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type { DeviceClass, DeviceResourceClaim, ResourceClaimTemplate, ResourceSlice } from "../types.gen.ts";
import { validateImmutableField } from "../validation/immutable.ts";
import { dropDeallocatedDevices, validateClaimStatus } from "./claim-status.ts";
import { setDeviceClaimDefaults, validateConfigs, validateDeviceClaim, validateSelectors } from "./devices.ts";
import { dropGatedOfClaim, dropGatedOfClass, dropGatedOfSlice, dropGatedOfStatus } from "./gated-fields.ts";
import { validateSlice } from "./slices.ts";

const GROUP = "resource.k8s.io";

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
  returnDeletedObject: true,
  hasStatus: true,
  defaults: ({ spec }) => setDeviceClaimDefaults(spec?.devices),
  validateCreate: ({ spec }) => validateDeviceClaim(spec?.devices, "spec.devices"),
  validateUpdate: (claim, old) => validateImmutableField(claim.spec, old.spec, "spec"),
  validateStatusUpdate: validateClaimStatus,
  strategy: plainStrategy<DeviceResourceClaim>({
    prepareForCreate(claim) {
      claim.status = {};
      dropGatedOfClaim(claim.spec?.devices, undefined);
    },
    prepareForUpdate(claim, old) {
      dropGatedOfClaim(claim.spec?.devices, old.spec?.devices);
      if (old.status === undefined) delete claim.status;
      else claim.status = old.status;
    },
    prepareForStatusUpdate(claim, old) {
      claim.spec = old.spec;
      dropGatedOfStatus(claim.status, old.status);
      dropDeallocatedDevices(claim.status, old.status);
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
  returnDeletedObject: true,
  defaults: ({ spec }) => setDeviceClaimDefaults(spec?.spec?.devices),
  validateCreate: ({ spec }) => validateDeviceClaim(spec?.spec?.devices, "spec.spec.devices"),
  validateUpdate: (template, old) => validateImmutableField(template.spec, old.spec, "spec"),
  strategy: plainStrategy<ResourceClaimTemplate>({
    prepareForCreate: ({ spec }) => dropGatedOfClaim(spec?.spec?.devices, undefined),
    prepareForUpdate: ({ spec }, old) => dropGatedOfClaim(spec?.spec?.devices, old.spec?.spec?.devices),
  }),
  columns: [NAME, AGE],
  row: (template, context) => [nameOf(template), age(template, context)],
});

const validateClass = ({ spec }: DeviceClass): FieldError[] => [
  ...validateSelectors(spec?.selectors, "spec.selectors"),
  ...validateConfigs(spec?.config, "spec.config"),
];

export const deviceClassKind = defineKind<DeviceClass>({
  group: GROUP,
  version: "v1",
  kind: "DeviceClass",
  resource: "deviceclasses",
  namespaced: false,
  schemaName: "io.k8s.api.resource.v1.DeviceClass",
  returnDeletedObject: true,
  validateCreate: validateClass,
  validateUpdate: validateClass,
  strategy: plainStrategy<DeviceClass>({
    prepareForCreate(deviceClass) {
      metaOf(deviceClass).generation = 1;
      dropGatedOfClass(deviceClass.spec, undefined);
    },
    prepareForUpdate(deviceClass, old) {
      dropGatedOfClass(deviceClass.spec, old.spec);
      setGeneration(deviceClass, old, !sameValue(deviceClass.spec, old.spec));
    },
  }),
  columns: [NAME, AGE],
  row: (deviceClass, context) => [nameOf(deviceClass), age(deviceClass, context)],
});

export const resourceSliceKind = defineKind<ResourceSlice>({
  group: GROUP,
  version: "v1",
  kind: "ResourceSlice",
  resource: "resourceslices",
  namespaced: false,
  schemaName: "io.k8s.api.resource.v1.ResourceSlice",
  returnDeletedObject: true,
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
      dropGatedOfSlice(slice.spec, undefined);
    },
    prepareForUpdate(slice, old) {
      dropGatedOfSlice(slice.spec, old.spec);
      setGeneration(slice, old, !sameValue(slice.spec, old.spec));
    },
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
    slice.spec?.nodeName ?? "",
    slice.spec?.driver ?? "",
    slice.spec?.pool?.name ?? "",
    age(slice, context),
  ],
  selectableFields: ({ spec }) => ({ "spec.nodeName": spec?.nodeName ?? "", "spec.driver": spec?.driver ?? "" }),
});
