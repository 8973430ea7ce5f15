// Where the value of a variable may come from: a field of the pod, a resource of a container, or a key of a
// ConfigMap or Secret.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  validateConfigMapKey,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateEnvVarName,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type {
  EnvVar,
  EnvVarSource,
  FileKeySelector,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from "../../types.gen.ts";
import { validateEnum, validateRequiredWith, validateWith } from "../../validation/enums.ts";

/** Sorted, because messages list them. */
const ENV_FIELDS = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
export const VOLUME_FIELDS = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];
const RESOURCE_FIELDS = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];
const SUBSCRIPT = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/;

export function validateNoBacksteps(target: string, path: string): FieldError[] {
  return target.split("/").includes("..") ? [fieldInvalid(path, target, "must not contain '..'")] : [];
}

/** A path inside a volume: relative, and not out of it. */
export function validateRelativePath(target: string, path: string): FieldError[] {
  const errors = target.startsWith("/") ? [fieldInvalid(path, target, "must be a relative path")] : [];
  return [...errors, ...validateNoBacksteps(target, path)];
}

/** A field of the pod; labels and annotations by key in brackets. */
export function validateFieldRef(ref: ObjectFieldSelector, fields: readonly string[], path: string): FieldError[] {
  if (!ref.apiVersion) return [fieldRequired(childPath(path, "apiVersion"), "")];
  if (!ref.fieldPath) return [fieldRequired(childPath(path, "fieldPath"), "")];
  const at = childPath(path, "fieldPath");
  const match = SUBSCRIPT.exec(ref.fieldPath);
  if (match) {
    const key = match[2] ?? "";
    return validateWith(validateQualifiedName, match[1] === "metadata.annotations" ? key.toLowerCase() : key, at);
  }
  return fields.includes(ref.fieldPath) ? [] : [fieldNotSupported(at, ref.fieldPath, fields)];
}

/** A resource of a container; volumes must name the container. */
export function validateResourceFieldRef(ref: ResourceFieldSelector, volume: boolean, path: string): FieldError[] {
  if (volume && !ref.containerName) return [fieldRequired(childPath(path, "containerName"), "")];
  if (!ref.resource) return [fieldRequired(childPath(path, "resource"), "")];
  const hugePages = /^(limits|requests)\.hugepages-/.test(ref.resource);
  return hugePages ? [] : validateEnum(ref.resource, RESOURCE_FIELDS, childPath(path, "resource"));
}

function validateKeyRef(ref: { name?: string; key: string }, path: string): FieldError[] {
  return [
    ...validateRequiredWith(validateDns1123Subdomain, ref.name, childPath(path, "name")),
    ...validateRequiredWith(validateConfigMapKey, ref.key, childPath(path, "key")),
  ];
}

/** A key of a file that another container of the pod writes. */
function validateFileKey({ key, volumeName, path }: FileKeySelector, at: string): FieldError[] {
  return [
    ...validateRequiredWith(validateEnvVarName, key, childPath(at, "key")),
    ...validateRequiredWith(validateDns1123Label, volumeName, childPath(at, "volumeName")),
    ...(path ? validateNoBacksteps(path, childPath(at, "path")) : [fieldRequired(childPath(at, "path"), "")]),
  ];
}

function validateSource(source: EnvVarSource, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (source.fieldRef) errors.push(...validateFieldRef(source.fieldRef, ENV_FIELDS, childPath(path, "fieldRef")));
  if (source.resourceFieldRef) {
    errors.push(...validateResourceFieldRef(source.resourceFieldRef, false, childPath(path, "resourceFieldRef")));
  }
  if (source.configMapKeyRef) {
    errors.push(...validateKeyRef(source.configMapKeyRef, childPath(path, "configMapKeyRef")));
  }
  if (source.secretKeyRef) errors.push(...validateKeyRef(source.secretKeyRef, childPath(path, "secretKeyRef")));
  if (source.fileKeyRef) errors.push(...validateFileKey(source.fileKeyRef, childPath(path, "fileKeyRef")));
  return errors;
}

/** Exactly one source, and none beside a literal value. */
export function validateValueFrom(variable: EnvVar, path: string): FieldError[] {
  const source = variable.valueFrom;
  if (!source) return [];
  const errors = validateSource(source, path);
  const count = Object.values(source).filter((value) => value !== undefined && value !== null).length;
  if (count === 0) {
    const detail =
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.push(fieldInvalid(path, "", detail));
  } else if (variable.value) {
    errors.push(fieldInvalid(path, "", "may not be specified when `value` is not empty"));
  } else if (count > 1) {
    errors.push(fieldInvalid(path, "", "may not have more than one field specified at a time"));
  }
  return errors;
}
