// StorageClass: how volumes are made for claims of a class.
import type { FieldError } from "@coxswain/apimachinery";
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { StorageClass, TopologySelectorLabelRequirement, TopologySelectorTerm } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

const MAX_PARAMETERS_BYTES = 256 * 1024;
const MAX_PARAMETERS = 512;
/** Names the class of claims that name none. */
export const DEFAULT_STORAGE_CLASS = "storageclass.kubernetes.io/is-default-class";
const BETA_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class";

/** The rules for the parameters that classes of storage carry. */
export function validateParameters(parameters: Record<string, string> | undefined, path: string): FieldError[] {
  const entries = Object.entries(parameters ?? {});
  if (entries.length > MAX_PARAMETERS) return [fieldTooLong(path, MAX_PARAMETERS)];
  const errors = entries.some(([name]) => name === "") ? [fieldInvalid(path, "", "field can not be empty.")] : [];
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
  return bytes > MAX_PARAMETERS_BYTES ? [...errors, fieldTooLong(path, MAX_PARAMETERS_BYTES)] : errors;
}

/** Who makes volumes, or changes them. */
export function validateProvisioner(name: string | undefined, path: string): FieldError[] {
  return name ? validateWith(validateQualifiedName, name.toLowerCase(), path) : [fieldRequired(path, "")];
}

function validateTerm({ matchLabelExpressions: list = [] }: TopologySelectorTerm, path: string): FieldError[] {
  return list.flatMap(({ key, values = [] }: Partial<TopologySelectorLabelRequirement>, index) => {
    const at = `${path}.matchLabelExpressions[${index}]`;
    const repeated = list.slice(0, index).some((other) => other.key === key);
    return [
      ...(values.length === 0 ? [fieldRequired(`${at}.values`, "")] : []),
      ...values.flatMap((value, place) =>
        values.indexOf(value) < place ? [fieldDuplicate(`${at}.values[${place}]`, value)] : [],
      ),
      ...validateWith(validateQualifiedName, key, `${at}.key`),
      ...(repeated ? [fieldDuplicate(`${at}.key`, key)] : []),
    ];
  });
}

/** Where volumes may be: terms of which no two say the same, and none says nothing. */
function validateTopologies(terms: readonly TopologySelectorTerm[]): FieldError[] {
  const meaning = ({ matchLabelExpressions: list = [] }: TopologySelectorTerm) =>
    Object.fromEntries(
      list.map(({ key, values = [] }: Partial<TopologySelectorLabelRequirement>) => [
        key,
        [...new Set(values)].toSorted(),
      ]),
    );
  return terms.flatMap((term, index) => {
    const own = meaning(term);
    const same = terms.slice(0, index).filter((other) => sameValue(meaning(other), own)).length;
    // Upstream compares with as many terms that say nothing, besides.
    const times = same + (Object.keys(own).length === 0 ? terms.length : 0);
    const path = `allowedTopologies[${index}]`;
    return [
      ...validateTerm(term, path),
      ...Array.from({ length: times }, () => fieldDuplicate(`${path}.matchLabelExpressions`, "")),
    ];
  });
}

function validate(storageClass: StorageClass): FieldError[] {
  const { reclaimPolicy, volumeBindingMode, allowedTopologies = [] } = storageClass;
  const errors = [
    ...validateProvisioner(storageClass.provisioner, "provisioner"),
    ...validateTopologies(allowedTopologies),
  ];
  errors.push(...validateParameters(storageClass.parameters, "parameters"));
  if (reclaimPolicy && reclaimPolicy !== "Delete" && reclaimPolicy !== "Retain") {
    errors.push(fieldNotSupported("reclaimPolicy", reclaimPolicy, ["Delete", "Retain"]));
  }
  const modes = ["Immediate", "WaitForFirstConsumer"];
  if (volumeBindingMode === undefined) errors.push(fieldRequired("volumeBindingMode", ""));
  else if (!modes.includes(volumeBindingMode))
    errors.push(fieldNotSupported("volumeBindingMode", volumeBindingMode, modes));
  return errors;
}

function validateUpdate(storageClass: StorageClass, old: StorageClass): FieldError[] {
  const errors = validate(storageClass);
  for (const name of ["parameters", "provisioner", "reclaimPolicy"] as const) {
    if (!sameValue(storageClass[name], old[name]))
      errors.push(fieldForbidden(name, `updates to ${name} are forbidden.`));
  }
  return [
    ...errors,
    ...validateImmutableField(storageClass.volumeBindingMode, old.volumeBindingMode, "volumeBindingMode"),
  ];
}

export function isDefaultStorageClass({ metadata }: StorageClass): boolean {
  return metadata?.annotations?.[DEFAULT_STORAGE_CLASS] === "true" || metadata?.annotations?.[BETA_DEFAULT] === "true";
}

/** The class of claims that name none: the marked one that was created last, of several the first by name. */
export function defaultStorageClass(classes: readonly StorageClass[]): StorageClass | undefined {
  const at = ({ metadata }: StorageClass): string => metadata?.creationTimestamp ?? "";
  const name = ({ metadata }: StorageClass): string => metadata?.name ?? "";
  const marked = classes.filter(isDefaultStorageClass);
  return marked.toSorted((a, b) => at(b).localeCompare(at(a)) || (name(a) < name(b) ? -1 : 1))[0];
}

export const storageClassKind = defineKind<StorageClass>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "StorageClass",
  resource: "storageclasses",
  shortNames: ["sc"],
  namespaced: false,
  schemaName: "io.k8s.api.storage.v1.StorageClass",
  returnDeletedObject: true,
  defaults(storageClass) {
    storageClass.reclaimPolicy ??= "Delete";
    storageClass.volumeBindingMode ??= "Immediate";
  },
  validateCreate: validate,
  validateUpdate,
  columns: [
    NAME,
    column("Provisioner", "Who makes the volumes."),
    column("ReclaimPolicy", "What becomes of a volume after its claim."),
    column("VolumeBindingMode", "When a claim is bound."),
    column("AllowVolumeExpansion", "Whether volumes may grow.", "boolean"),
    AGE,
  ],
  row: (storageClass, context) => [
    nameOf(storageClass) + (isDefaultStorageClass(storageClass) ? " (default)" : ""),
    storageClass.provisioner ?? "",
    storageClass.reclaimPolicy ?? "Delete",
    storageClass.volumeBindingMode ?? "Immediate",
    storageClass.allowVolumeExpansion ?? false,
    age(storageClass, context),
  ],
});
