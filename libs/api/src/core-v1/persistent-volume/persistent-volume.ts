// PersistentVolume: a piece of storage, of one type, for one claim at a time.
import { posix } from "node:path";
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  keyPath,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { accessModes, age, AGE, column, NAME, nameOf, wide } from "../../printing.ts";
import { modelType } from "../../schema/model.ts";
import { sameValue } from "../../same-value.ts";
import type { PersistentVolume, PersistentVolumeSpec, VolumeNodeAffinity } from "../../types.gen.ts";
import { validateOptionalEnum, validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { roundUpToMilli } from "../../validation/resources.ts";
import { NEWER_LABELS, nodeTermWarnings } from "../node-labels.ts";
import { OLD_CLASS } from "../persistent-volume-claim/warnings.ts";
import { oldTypeWarnings } from "../pod-spec/volume-warnings.ts";
import { validateNoBacksteps } from "../pod-spec/env-sources.ts";
import { validateNodeSelector } from "../pod-spec/scheduling.ts";
import { portalTooLong, validateCsiVolume, validateStorageSource } from "../pod-spec/storage-sources.ts";
import { validateHostPathType } from "../pod-spec/volumes.ts";
import { BETA_STORAGE_CLASS } from "./binding.ts";
import { validateAccessModes, validateStorage, validateVolumeMode } from "../persistent-volume-claim/validation.ts";

const RECLAIM_POLICIES = ["Delete", "Recycle", "Retain"];

/** The fields of the spec that say what kind of storage it is. */
function sourcesOf(spec: PersistentVolumeSpec): [string, unknown][] {
  const types = modelType("io.k8s.api.core.v1.PersistentVolumeSource").fields;
  return Object.entries(spec).filter(([name, value]) => types.has(name) && value !== undefined);
}

function validateHostPath({ hostPath }: PersistentVolumeSpec, path: string): FieldError[] {
  if (!hostPath) return [];
  const at = childPath(path, "path");
  return hostPath.path
    ? [...validateNoBacksteps(hostPath.path, at), ...validateHostPathType(hostPath.type, childPath(path, "type"))]
    : [fieldRequired(at, "")];
}

function validateLocal({ local, nodeAffinity }: PersistentVolumeSpec, path: string): FieldError[] {
  if (!local) return [];
  const at = childPath(path, "local", "path");
  const errors = local.path ? validateNoBacksteps(local.path, at) : [fieldRequired(at, "")];
  if (!nodeAffinity) errors.push(fieldRequired(childPath(path, "nodeAffinity"), "Local volume requires node affinity"));
  return errors;
}

/** `name` is the volume's; an inline volume has none. */
function validateSource(spec: PersistentVolumeSpec, name: string, path: string): FieldError[] {
  const [first, ...more] = sourcesOf(spec);
  if (first === undefined) return [fieldRequired(path, "must specify a volume type")];
  const errors = more.map(([type]) =>
    fieldForbidden(childPath(path, type === "cephfs" ? "cephFS" : type), "may not specify more than 1 volume type"),
  );
  const [type] = first;
  if (type === "hostPath") errors.push(...validateHostPath(spec, childPath(path, "hostPath")));
  if (type === "local") errors.push(...validateLocal(spec, path));
  if (type === "csi" && spec.csi) errors.push(...validateCsiVolume(spec.csi, childPath(path, "csi")));
  errors.push(...validateStorageSource(spec, type, true, path));
  const portal = portalTooLong(spec, name);
  if (portal !== undefined) {
    errors.push(fieldInvalid(childPath(path, "iscsi", "targetportal"), spec.iscsi?.targetPortal, portal));
  }
  if (posix.normalize(spec.hostPath?.path || ".") === "/" && spec.persistentVolumeReclaimPolicy === "Recycle") {
    const at = childPath(path, "persistentVolumeReclaimPolicy");
    errors.push(fieldForbidden(at, "may not be 'recycle' for a hostPath mount of '/'"));
  }
  return errors;
}

function validateAttributesClass({ volumeAttributesClassName: name, csi }: PersistentVolumeSpec, path: string) {
  if (name === undefined) return [];
  const at = childPath(path, "volumeAttributesClassName");
  const errors = name
    ? validateWith(validateDns1123Subdomain, name, at)
    : [fieldRequired(at, "an empty string is disallowed")];
  if (!csi)
    errors.push(fieldRequired(childPath(path, "csi"), "has to be specified when using volumeAttributesClassName"));
  return errors;
}

function validateNodeAffinity({ nodeAffinity }: PersistentVolumeSpec, path: string): FieldError[] {
  if (!nodeAffinity) return [];
  const at = childPath(path, "nodeAffinity", "required");
  if (!nodeAffinity.required) return [fieldRequired(at, "must specify required node constraints")];
  return validateNodeSelector(nodeAffinity.required, at);
}

function validateCapacity(given: Record<string, string> | undefined, path: string): FieldError[] {
  const capacity = given ?? {};
  const errors = Object.keys(capacity).length === 0 ? [fieldRequired(path, "")] : [];
  if (capacity["storage"] === undefined || Object.keys(capacity).length > 1) {
    errors.push(fieldNotSupported(path, given ?? null, ["storage"]));
  }
  return [
    ...errors,
    ...Object.entries(capacity).flatMap(([name, value]) => validateStorage(value, keyPath(path, name))),
  ];
}

function validate(volume: PersistentVolume): FieldError[] {
  const spec = volume.spec ?? {};
  const policy = spec.persistentVolumeReclaimPolicy ?? "";
  return [
    ...validateAccessModes(spec.accessModes, "spec.accessModes", ""),
    ...validateCapacity(spec.capacity, "spec.capacity"),
    ...validateOptionalEnum(policy, RECLAIM_POLICIES, "spec.persistentVolumeReclaimPolicy"),
    ...validateNodeAffinity(spec, "spec"),
    ...validateSource(spec, volume.metadata?.name ?? "", "spec"),
    ...(spec.storageClassName
      ? validateWith(validateDns1123Subdomain, spec.storageClassName, "spec.storageClassName")
      : []),
    ...validateVolumeMode(spec.volumeMode, "spec.volumeMode"),
    ...validateAttributesClass(spec, "spec"),
  ];
}

/** A volume that stands in a VolumeAttachment itself: of a driver, and bound to nothing. */
export function validateInlineVolume(spec: PersistentVolumeSpec, path: string): FieldError[] {
  const inline = "in the context of inline volumes";
  const given = (["claimRef", "capacity", "nodeAffinity", "storageClassName"] as const).filter((name) => spec[name]);
  const errors = given.map((name) => fieldForbidden(childPath(path, name), `may not be specified ${inline}`));
  if (!spec.csi) errors.push(fieldRequired(childPath(path, "csi"), `has to be specified ${inline}`));
  const policy = spec.persistentVolumeReclaimPolicy;
  if (policy && policy !== "Retain") {
    errors.push(fieldForbidden(childPath(path, "persistentVolumeReclaimPolicy"), `may only be Retain ${inline}`));
  }
  if (spec.volumeMode !== undefined && spec.volumeMode !== "Filesystem") {
    const detail = `may not specify volumeMode other than Filesystem ${inline}`;
    errors.push(fieldForbidden(childPath(path, "volumeMode"), detail));
  }
  return [
    ...errors,
    ...validateAccessModes(spec.accessModes, childPath(path, "accessModes"), ""),
    ...validateSource(spec, "", path),
  ];
}

/** A secret for growing a volume may come later. */
function fixedSource(volume: PersistentVolume, old: PersistentVolume): unknown {
  const sources = Object.fromEntries(sourcesOf(volume.spec ?? {}));
  const { csi } = volume.spec ?? {};
  const before = old.spec?.csi;
  if (!csi?.controllerExpandSecretRef || !before || before.controllerExpandSecretRef) return sources;
  return { ...sources, csi: { ...csi, controllerExpandSecretRef: undefined } };
}

/** `affinity` with the keys that `old` has, where they are the newer names of the same. */
function withNewLabels(affinity: VolumeNodeAffinity | undefined, old: VolumeNodeAffinity | undefined): unknown {
  const terms = affinity?.required?.nodeSelectorTerms?.map((term, place) => ({
    ...term,
    matchExpressions: term.matchExpressions?.map((expression, index) => {
      const before = old?.required?.nodeSelectorTerms?.[place]?.matchExpressions?.[index]?.key ?? "";
      return NEWER_LABELS[before] === expression.key ? { ...expression, key: before } : expression;
    }),
  }));
  return affinity && { ...affinity, required: { ...affinity.required, nodeSelectorTerms: terms } };
}

function validateUpdate(volume: PersistentVolume, old: PersistentVolume): FieldError[] {
  const errors = validate(volume);
  if (!sameValue(fixedSource(volume, old), Object.fromEntries(sourcesOf(old.spec ?? {})))) {
    const path = "spec.persistentvolumesource";
    errors.push(fieldForbidden(path, "spec.persistentvolumesource is immutable after creation"));
  }
  errors.push(...validateImmutableField(volume.spec?.volumeMode, old.spec?.volumeMode, "volumeMode"));
  const affinity = withNewLabels(volume.spec?.nodeAffinity, old.spec?.nodeAffinity);
  if (old.spec?.nodeAffinity && !sameValue(affinity, old.spec.nodeAffinity)) {
    const detail = "field is immutable, except for updating from beta label to GA";
    errors.push(fieldInvalid("nodeAffinity", volume.spec?.nodeAffinity ?? null, detail));
  }
  if (old.spec?.volumeAttributesClassName !== undefined && volume.spec?.volumeAttributesClassName === undefined) {
    const detail = "update from non-nil value to nil is forbidden";
    errors.push(fieldForbidden("spec.volumeAttributesClassName", detail));
  }
  return errors;
}

const OLD_OPTIONS = "volume.beta.kubernetes.io/mount-options";

function warnings({ metadata, spec = {} }: PersistentVolume): string[] {
  const annotations = metadata?.annotations ?? {};
  const found = annotations[BETA_STORAGE_CLASS] === undefined ? [] : [OLD_CLASS];
  if (annotations[OLD_OPTIONS] !== undefined) {
    const message = 'deprecated since v1.31; use "mountOptions" attribute instead';
    found.push(`metadata.annotations[${OLD_OPTIONS}]: ${message}`);
  }
  if (spec.persistentVolumeReclaimPolicy === "Recycle") {
    found.push(
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
    );
  }
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  return [
    ...found,
    ...terms.flatMap((term, index) =>
      nodeTermWarnings(term, false, `spec.nodeAffinity.required.nodeSelectorTerms[${index}]`),
    ),
    ...oldTypeWarnings(spec, "spec", ["flocker", "quobyte"]),
  ];
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
    warnings,
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
