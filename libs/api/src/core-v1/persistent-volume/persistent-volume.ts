// PersistentVolume: a piece of storage, of one type, for one claim at a time.
import type { FieldError } from "@coxswain/apimachinery";
import {
  fieldForbidden,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { accessModes, age, AGE, column, NAME, nameOf, wide } from "../../printing.ts";
import { modelType } from "../../schema/model.ts";
import { sameValue } from "../../same-value.ts";
import type { PersistentVolume } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { roundUpToMilli } from "../../validation/resources.ts";
import { validateAccessModes, validateStorage, validateVolumeMode } from "../persistent-volume-claim/validation.ts";

const RECLAIM_POLICIES = ["Delete", "Recycle", "Retain"];

/** The fields of the spec that say what kind of storage it is. */
function sourcesOf(volume: PersistentVolume): [string, unknown][] {
  const types = modelType("io.k8s.api.core.v1.PersistentVolumeSource").fields;
  return Object.entries(volume.spec ?? {}).filter(([name, value]) => types.has(name) && value !== undefined);
}

function validateSource(volume: PersistentVolume): FieldError[] {
  const [first, ...more] = sourcesOf(volume);
  if (first === undefined) return [fieldRequired("spec", "must specify a volume type")];
  const errors = more.map(([name]) => fieldForbidden(`spec.${name}`, "may not specify more than 1 volume type"));
  const { hostPath, local, csi, nodeAffinity, persistentVolumeReclaimPolicy } = volume.spec ?? {};
  if (hostPath && !hostPath.path) errors.push(fieldRequired("spec.hostPath.path", ""));
  if (local && !local.path) errors.push(fieldRequired("spec.local.path", ""));
  if (local && !nodeAffinity) errors.push(fieldRequired("spec.nodeAffinity", "Local volume requires node affinity"));
  if (csi && !csi.driver) errors.push(fieldRequired("spec.csi.driver", ""));
  if (csi && !csi.volumeHandle) errors.push(fieldRequired("spec.csi.volumeHandle", ""));
  if (hostPath?.path === "/" && persistentVolumeReclaimPolicy === "Recycle") {
    errors.push(
      fieldForbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"),
    );
  }
  return errors;
}

function validate(volume: PersistentVolume): FieldError[] {
  const spec = volume.spec ?? {};
  const capacity = spec.capacity ?? {};
  const errors = validateAccessModes(spec.accessModes, "spec.accessModes");
  if (Object.keys(capacity).length === 0) errors.push(fieldRequired("spec.capacity", ""));
  else if (capacity["storage"] === undefined || Object.keys(capacity).length > 1) {
    errors.push(fieldNotSupported("spec.capacity", capacity, ["storage"]));
  }
  if (capacity["storage"] !== undefined) errors.push(...validateStorage(capacity["storage"], "spec.capacity[storage]"));
  const policy = spec.persistentVolumeReclaimPolicy ?? "";
  if (!RECLAIM_POLICIES.includes(policy)) {
    errors.push(fieldNotSupported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES));
  }
  if (spec.storageClassName) {
    errors.push(...validateWith(validateDns1123Subdomain, spec.storageClassName, "spec.storageClassName"));
  }
  return [...errors, ...validateSource(volume), ...validateVolumeMode(spec.volumeMode, "spec.volumeMode")];
}

function validateUpdate(volume: PersistentVolume, old: PersistentVolume): FieldError[] {
  const errors = validate(volume);
  if (!sameValue(Object.fromEntries(sourcesOf(volume)), Object.fromEntries(sourcesOf(old)))) {
    const path = "spec.persistentvolumesource";
    errors.push(fieldForbidden(path, "spec.persistentvolumesource is immutable after creation"));
  }
  errors.push(...validateImmutableField(volume.spec?.volumeMode, old.spec?.volumeMode, "spec.volumeMode"));
  if (old.spec?.nodeAffinity) {
    errors.push(...validateImmutableField(volume.spec?.nodeAffinity, old.spec.nodeAffinity, "spec.nodeAffinity"));
  }
  return errors;
}

function row(volume: PersistentVolume, context: PrintContext): unknown[] {
  const { spec, status } = volume;
  return [
    nameOf(volume),
    spec?.capacity?.["storage"] ?? "0",
    accessModes(spec?.accessModes),
    spec?.persistentVolumeReclaimPolicy ?? "",
    volume.metadata?.deletionTimestamp ? "Terminating" : (status?.phase ?? ""),
    spec?.claimRef ? `${spec.claimRef.namespace ?? ""}/${spec.claimRef.name ?? ""}` : "",
    volume.metadata?.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec?.storageClassName ?? "",
    spec?.volumeAttributesClassName ?? "<unset>",
    status?.reason ?? "",
    age(volume, context),
    spec?.volumeMode ?? "<unset>",
  ];
}

export const persistentVolumeKind = defineKind<PersistentVolume>({
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  resource: "persistentvolumes",
  shortNames: ["pv"],
  namespaced: false,
  schemaName: "io.k8s.api.core.v1.PersistentVolume",
  returnDeletedObject: true,
  hasStatus: true,
  defaults(volume) {
    volume.status ??= {};
    volume.status.phase ||= "Pending";
    if (!volume.spec) return;
    volume.spec.persistentVolumeReclaimPolicy ||= "Retain";
    volume.spec.volumeMode ??= "Filesystem";
    if (volume.spec.hostPath) volume.spec.hostPath.type ??= "";
    roundUpToMilli(volume.spec.capacity);
  },
  validateCreate: validate,
  validateUpdate,
  strategy: plainStrategy({
    prepareForCreate(volume, { nowMs }) {
      volume.status = { phase: "Pending", lastPhaseTransitionTime: formatTime(nowMs) };
    },
    prepareForUpdate(volume, old) {
      volume.status = old.status;
    },
    prepareForStatusUpdate(volume, old, { nowMs }) {
      volume.spec = old.spec;
      const status = (volume.status ??= {});
      if (status.phase !== old.status?.phase) status.lastPhaseTransitionTime = formatTime(nowMs);
    },
  }),
  columns: [
    NAME,
    column("Capacity", "What the volume holds."),
    column("Access Modes", "How it may be mounted."),
    column("Reclaim Policy", "What becomes of it after its claim."),
    column("Status", "Whether it is free or bound."),
    column("Claim", "The claim that it is bound to."),
    column("StorageClass", "The class of storage that it belongs to."),
    column("VolumeAttributesClass", "The class of attributes that it has."),
    column("Reason", "Why it is in its state."),
    AGE,
    wide("VolumeMode", "Whether it is a file system or a block device."),
  ],
  row,
});
