// The validation of metadata that all kinds share, on creation and on update.
import type { FieldError, ObjectMeta, OwnerReference } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { validateAnnotations, validateLabels } from "./validation/labels.ts";
import { validateImmutableField } from "./validation/immutable.ts";

export interface ObjectMetaRules {
  readonly namespaced: boolean;
  /** Messages for a bad name. `prefix` is true for generateName, which may end in a hyphen. Absent: a DNS subdomain. */
  readonly validateName?: ((name: string, prefix: boolean) => string[]) | undefined;
  /** True where finalizers need not have a path: custom resources and their definitions. */
  readonly freeFinalizers?: boolean;
  /** Where the metadata stands; "metadata" where absent. */
  readonly path?: string;
}

const STANDARD_FINALIZERS = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

/** A prefix may end in hyphens, because text follows it. */
function withoutTail(prefix: string): string {
  return prefix.endsWith("-") ? `${prefix.slice(0, -1)}a` : prefix;
}

function validateOwner(owner: OwnerReference, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const [group, version, ...rest] = (owner.apiVersion ?? "").includes("/")
    ? owner.apiVersion.split("/")
    : ["", owner.apiVersion ?? ""];
  // What is no group and version has none.
  if (rest.length > 0 || !version) {
    errors.push(fieldInvalid(childPath(path, "apiVersion"), owner.apiVersion ?? "", "version must not be empty"));
  }
  if (!owner.kind) errors.push(fieldInvalid(childPath(path, "kind"), owner.kind ?? "", "must not be empty"));
  if (!owner.name) errors.push(fieldInvalid(childPath(path, "name"), owner.name ?? "", "must not be empty"));
  if (!owner.uid) errors.push(fieldInvalid(childPath(path, "uid"), owner.uid ?? "", "must not be empty"));
  if (group === "" && version === "v1" && owner.kind === "Event") {
    errors.push(fieldInvalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
  }
  return errors;
}

function validateOwners(owners: readonly OwnerReference[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller: string | undefined;
  for (const owner of owners ?? []) {
    // Upstream says the same of each of them at the same place.
    errors.push(...validateOwner(owner, path));
    if (!owner.controller) continue;
    const name = `${owner.kind}/${owner.name}`;
    if (controller !== undefined) {
      const detail = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`;
      errors.push(fieldInvalid(path, owners, detail));
    }
    controller ??= name;
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[] | undefined, path: string, free: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, finalizer] of (finalizers ?? []).entries()) {
    // Upstream names the whole list for a malformed name, and the place for an unknown one.
    errors.push(...validateQualifiedName(finalizer).map((message) => fieldInvalid(path, finalizer, message)));
    if (!free && !finalizer.includes("/") && !STANDARD_FINALIZERS.has(finalizer)) {
      const detail = "name is neither a standard finalizer name nor is it fully qualified";
      errors.push(fieldInvalid(indexPath(path, index), finalizer, detail));
    }
  }
  if (finalizers?.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    const detail = "finalizer orphan and foregroundDeletion cannot be both set";
    errors.push(fieldInvalid(path, finalizers, detail));
  }
  return errors;
}

function validateNames(meta: ObjectMeta, rules: ObjectMetaRules, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const check =
    rules.validateName ??
    ((name: string, prefix: boolean) => validateDns1123Subdomain(prefix ? withoutTail(name) : name));
  if (meta.generateName) {
    const at = childPath(path, "generateName");
    const tested = rules.validateName ? withoutTail(meta.generateName) : meta.generateName;
    for (const message of check(tested, true)) errors.push(fieldInvalid(at, meta.generateName, message));
  }
  const at = childPath(path, "name");
  if (meta.name) for (const message of check(meta.name, false)) errors.push(fieldInvalid(at, meta.name, message));
  else if (!meta.generateName) errors.push(fieldRequired(at, "name or generateName is required"));
  return errors;
}

function validateNamespace(namespace: string, namespaced: boolean, path: string): FieldError[] {
  if (!namespaced) return namespace === "" ? [] : [fieldForbidden(path, "not allowed on this type")];
  if (namespace === "") return [fieldRequired(path, "")];
  return validateDns1123Label(namespace).map((message) => fieldInvalid(path, namespace, message));
}

/** What is looked at alike whenever an object is written. */
function validateWritten(meta: ObjectMeta, rules: Partial<ObjectMetaRules>, path: string): FieldError[] {
  return [
    ...validateLabels(meta.labels, childPath(path, "labels")),
    ...validateAnnotations(meta.annotations, childPath(path, "annotations")),
    ...validateOwners(meta.ownerReferences, childPath(path, "ownerReferences")),
    ...validateFinalizers(meta.finalizers, childPath(path, "finalizers"), rules.freeFinalizers === true),
  ];
}

/** Errors of the metadata of an object that is about to be stored. */
export function validateObjectMeta(meta: ObjectMeta, rules: ObjectMetaRules): FieldError[] {
  const path = rules.path ?? "metadata";
  const errors = [
    ...validateNames(meta, rules, path),
    ...validateNamespace(meta.namespace ?? "", rules.namespaced, childPath(path, "namespace")),
  ];
  if ((meta.generation ?? 0) < 0) {
    errors.push(fieldInvalid(childPath(path, "generation"), meta.generation, "must be greater than or equal to 0"));
  }
  return [...errors, ...validateWritten(meta, rules, path)];
}

const IMMUTABLE = [
  "name",
  "namespace",
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

/** Errors of a change of metadata: what identifies an object and its deletion stays as it is. */
export function validateObjectMetaUpdate(
  meta: ObjectMeta,
  old: ObjectMeta,
  rules: Partial<ObjectMetaRules> = {},
): FieldError[] {
  const path = rules.path ?? "metadata";
  const errors: FieldError[] = [];
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((finalizer) => !old.finalizers?.includes(finalizer));
    if (added.length > 0) {
      const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added
        .map((name) => JSON.stringify(name))
        .join(", ")}}`;
      errors.push(fieldForbidden(childPath(path, "finalizers"), detail));
    }
  }
  if (!meta.resourceVersion) {
    const detail = "must be specified for an update";
    errors.push(fieldInvalid(childPath(path, "resourceVersion"), meta.resourceVersion ?? "", detail));
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(fieldInvalid(childPath(path, "generation"), meta.generation ?? 0, "must not be decremented"));
  }
  for (const name of IMMUTABLE) {
    errors.push(...validateImmutableField(meta[name], old[name], childPath(path, name)));
  }
  return [...errors, ...validateWritten(meta, rules, path)];
}
