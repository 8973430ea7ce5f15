// Validates CustomResourceDefinitions, in upstream's words. What all versions say alike is named by the place it has for all
// of them, as in spec.validation.openAPIV3Schema: upstream's messages do, and users look them up.
import {
  childPath,
  deepEqual,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  keyPath,
  validateDns1035Label,
  validateDns1123Subdomain,
  type FieldError,
} from "@coxswain/apimachinery";
import { validateImmutableField } from "../../validation/immutable.ts";
import { crdConditionTrue, type CrdSpec, type CrdVersion, type CustomResourceDefinition } from "../types.ts";
import { validateConversion, validateConversionBundle } from "./conversion.ts";
import { validateNames, validateSpecNames } from "./names.ts";
import { validateColumns, validateSelectableFields, validateSubresources } from "./served-forms.ts";
import { validateVersionSchema } from "./version-schema.ts";

export const APPROVAL_ANNOTATION = "api-approved.kubernetes.io";
const APPROVAL_LINK = "https://github.com/kubernetes/enhancements/pull/1111";

export function validateCrdCreate(crd: CustomResourceDefinition): FieldError[] {
  return [
    ...validateCrdName(crd),
    ...validateSpec(crd.spec, undefined),
    ...validateStatus(crd),
    ...validateApproval(crd, undefined),
    ...validatePreserve(crd, undefined),
  ];
}

export function validateCrdUpdate(crd: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const { spec } = crd;
  const errors = validateSpec(spec, old.spec);
  if (crdConditionTrue(old, "Established")) {
    errors.push(...validateImmutableField(spec.scope, old.spec.scope, "spec.scope"));
    errors.push(...validateImmutableField(spec.names.kind, old.spec.names.kind, "spec.names.kind"));
    if (validateConversionBundle(old.spec).length === 0) errors.push(...validateConversionBundle(spec));
  }
  errors.push(...validateImmutableField(spec.group, old.spec.group, "spec.group"));
  errors.push(...validateImmutableField(spec.names.plural, old.spec.names.plural, "spec.names.plural"));
  return [...errors, ...validateStatus(crd), ...validateApproval(crd, old), ...validatePreserve(crd, old)];
}

export function validateCrdStatusUpdate(crd: CustomResourceDefinition): FieldError[] {
  return validateNames(crd.status?.acceptedNames ?? {}, "status.acceptedNames");
}

function validateCrdName(crd: CustomResourceDefinition): FieldError[] {
  const { names, group } = crd.spec;
  const name = crd.metadata?.name ?? "";
  if (name === "" || name === `${names.plural}.${group}`) return [];
  return [fieldInvalid("metadata.name", name, `must be spec.names.plural+"."+spec.group`)];
}

function validateStatus(crd: CustomResourceDefinition): FieldError[] {
  const path = "status.storedVersions";
  const stored = crd.status?.storedVersions ?? [];
  const names = validateNames(crd.status?.acceptedNames ?? {}, "status.acceptedNames");
  if (stored.length === 0) return [...names, fieldInvalid(path, stored, "must have at least one stored version")];
  const errors: FieldError[] = [];
  for (const version of crd.spec.versions) {
    if (version.storage && !stored.includes(version.name)) {
      errors.push(fieldInvalid(path, stored, `must have the storage version ${version.name}`));
    }
  }
  stored.forEach((version, index) => {
    if (crd.spec.versions.some(({ name }) => name === version)) return;
    const detail = `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`;
    errors.push(fieldInvalid(indexPath(path, index), version, detail));
  });
  return [...names, ...errors];
}

/** Groups of the Kubernetes project are protected: their definitions carry an approval. */
export function isProtectedGroup(group: string): boolean {
  return ["k8s.io", "kubernetes.io"].some((domain) => group === domain || (group ?? "").endsWith(`.${domain}`));
}

export type Approval =
  | { readonly state: "missing" | "invalid"; readonly reason: string }
  | { readonly state: "bypassed" | "approved"; readonly reason: string };

/** What the approval annotation says. */
export function approvalOf(annotation: string | undefined): Approval {
  if (annotation === undefined || annotation === "") {
    const reason = `protected groups must have approval annotation "${APPROVAL_ANNOTATION}", see ${APPROVAL_LINK}`;
    return { state: "missing", reason };
  }
  if (annotation.startsWith("unapproved")) return { state: "bypassed", reason: `not approved: ${annotation}` };
  if (URL.canParse(annotation)) return { state: "approved", reason: `approved in ${annotation}` };
  const reason = `protected groups must have approval annotation "${APPROVAL_ANNOTATION}" with either a URL or a reason starting with "unapproved", see ${APPROVAL_LINK}`;
  return { state: "invalid", reason };
}

function validateApproval(crd: CustomResourceDefinition, old: CustomResourceDefinition | undefined): FieldError[] {
  if (!isProtectedGroup(crd.spec.group)) return [];
  const annotation = crd.metadata?.annotations?.[APPROVAL_ANNOTATION];
  const { state, reason } = approvalOf(annotation);
  if (old !== undefined && state === approvalOf(old.metadata?.annotations?.[APPROVAL_ANNOTATION]).state) return [];
  const path = keyPath("metadata.annotations", APPROVAL_ANNOTATION);
  if (state === "missing") return [fieldRequired(path, reason)];
  return state === "invalid" ? [fieldInvalid(path, annotation, reason)] : [];
}

function validatePreserve(crd: CustomResourceDefinition, old: CustomResourceDefinition | undefined): FieldError[] {
  if (old?.spec.preserveUnknownFields === true || crd.spec.preserveUnknownFields !== true) return [];
  const detail =
    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
  return [fieldInvalid("spec.preserveUnknownFields", true, detail)];
}

function validateSpec(spec: CrdSpec, old: CrdSpec | undefined): FieldError[] {
  const errors = [...validateGroup(spec.group), ...validateScope(spec.scope)];
  const { versions } = spec;
  versions.forEach((version, index) => {
    if (version.schema?.openAPIV3Schema !== undefined) return;
    const before = old?.versions.find(({ name }) => name === version.name);
    if (before !== undefined && before.schema?.openAPIV3Schema === undefined) return;
    errors.push(fieldRequired(childPath(indexPath("spec.versions", index), "schema.openAPIV3Schema"), ""));
  });
  errors.push(...validateVersions(spec, old));
  if (new Set(versions.map(({ name }) => name)).size < versions.length) {
    errors.push(fieldInvalid("spec.versions", versions, "must contain unique version names"));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    const detail = "must have exactly one version marked as storage version";
    errors.push(fieldInvalid("spec.versions", versions, detail));
  }
  return [...errors, ...validateSpecNames(spec.names), ...validateConversion(spec, "spec.conversion")];
}

function validateGroup(group: string): FieldError[] {
  if (!group) return [fieldRequired("spec.group", "")];
  const messages = validateDns1123Subdomain(group);
  if (messages.length > 0) return [fieldInvalid("spec.group", group, messages.join(","))];
  if (group.includes(".")) return [];
  return [fieldInvalid("spec.group", group, "should be a domain with at least one dot")];
}

function validateScope(scope: string): FieldError[] {
  if (!scope) return [fieldRequired("spec.scope", "")];
  if (scope === "Cluster" || scope === "Namespaced") return [];
  return [fieldNotSupported("spec.scope", scope, ["Cluster", "Namespaced"])];
}

const allAlike = (versions: readonly CrdVersion[], part: (version: CrdVersion) => unknown): boolean =>
  versions.every((version) => deepEqual(part(version), part(versions[0] as CrdVersion)));

type Judge = (version: CrdVersion, path: string) => FieldError[];

/** Judges a part of the versions: once where it is the same for all of them, else of each. */
function eachVersion(
  versions: readonly CrdVersion[],
  part: keyof CrdVersion,
  common: string,
  judge: Judge,
): FieldError[] {
  const [first] = versions;
  if (first === undefined) return [];
  if (allAlike(versions, (version) => version[part])) return judge(first, childPath("spec", common));
  return versions.flatMap((version, index) => judge(version, childPath(indexPath("spec.versions", index), part)));
}

function validateVersions(spec: CrdSpec, old: CrdSpec | undefined): FieldError[] {
  const { versions } = spec;
  const errors = versions.flatMap((version, index) => {
    const path = indexPath("spec.versions", index);
    const messages = validateDns1035Label(version.name ?? "");
    const name = messages.length === 0 ? [] : [fieldInvalid(childPath(path, "name"), version.name, messages.join(","))];
    return [...name, ...validateDeprecation(version, path)];
  });
  const before = (version: CrdVersion): CrdVersion | undefined =>
    old?.versions.find(({ name }) => name === version.name);
  const unchanged = (version: CrdVersion): boolean => {
    const known = before(version);
    return known !== undefined && deepEqual(known.schema, version.schema);
  };
  // Schemas that were accepted before stay accepted.
  const accepted = (version: CrdVersion): boolean =>
    unchanged(version) && hasStatus(before(version)!) === hasStatus(version);
  return [
    ...errors,
    ...eachVersion(versions, "schema", "validation", (version, path) =>
      versions.every((each) => accepted(each))
        ? []
        : validateVersionSchema(version, hasStatus(version), path, unchanged(version)),
    ),
    ...eachVersion(versions, "subresources", "subresources", (version, path) =>
      validateSubresources(version.subresources, path),
    ),
    ...eachVersion(versions, "additionalPrinterColumns", "additionalPrinterColumns", (version, path) =>
      validateColumns(version.additionalPrinterColumns, path),
    ),
    ...eachVersion(versions, "selectableFields", "selectableFields", (version, path) =>
      validateSelectableFields(version, path),
    ),
  ];
}

function hasStatus(version: CrdVersion): boolean {
  return version.subresources?.status !== undefined;
}

function validateDeprecation(version: CrdVersion, path: string): FieldError[] {
  const { deprecated, deprecationWarning: warning } = version;
  const at = childPath(path, "deprecationWarning");
  if (warning === undefined) return [];
  if (deprecated !== true) return [fieldInvalid(at, warning, "can only be set for deprecated versions")];
  const errors: FieldError[] = [];
  if (Buffer.byteLength(warning) > 256) errors.push(fieldInvalid(at, warning, "must be <= 256 characters long"));
  if (warning === "") errors.push(fieldInvalid(at, warning, "must not be an empty string"));
  const odd = warning.search(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u);
  if (odd >= 0) {
    const found = Buffer.byteLength(warning.slice(0, odd));
    const detail = `must only contain printable UTF-8 characters; non-printable character found at index ${found}`;
    errors.push(fieldInvalid(at, warning, detail));
  }
  return errors;
}
