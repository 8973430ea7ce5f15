// Where the value of a variable may come from: a field of the pod, a resource of a container, or a key of a
// ConfigMap or Secret.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isQuantity,
  parseQuantity,
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
const MAPS = ["metadata.annotations", "metadata.labels"];
/** All that a pod can be asked for, be it here or elsewhere. */
const LABELLED = [
  ...VOLUME_FIELDS,
  ...ENV_FIELDS,
  "spec.host",
  "spec.restartPolicy",
  "spec.schedulerName",
  "status.phase",
];
const HUGE_PAGES = /^(limits|requests)\.hugepages-/;
const CPU_DIVISORS = ["1m", "1"];
const DIVISORS = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
/** How messages name the resources that are divided. */
const DIVIDED: Partial<Record<string, string>> = {
  cpu: "cpu",
  memory: "memory",
  "ephemeral-storage": "local ephemeral storage",
};
const SUBSCRIPT = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/;

export function validateNoBacksteps(target: string, path: string): FieldError[] {
  return target.split("/").includes("..") ? [fieldInvalid(path, target, "must not contain '..'")] : [];
}

/** A path inside a volume: relative, and not out of it. */
export function validateRelativePath(target: string, path: string): FieldError[] {
  const errors = target.startsWith("/") ? [fieldInvalid(path, target, "must be a relative path")] : [];
  return [...errors, ...validateNoBacksteps(target, path)];
}

/** What keeps a path from being one of any field of pods that there is a label for. */
function strangeField(field: string): string | undefined {
  const subscripted = /^(.+?)\['.*'\]$/s.exec(field)?.[1];
  if (subscripted !== undefined)
    return MAPS.includes(subscripted) ? undefined : "field label does not support subscript";
  return LABELLED.includes(field) ? undefined : "field label not supported";
}

/** A field of the pod; labels and annotations by key in brackets. */
export function validateFieldRef(ref: ObjectFieldSelector, fields: readonly string[], path: string): FieldError[] {
  if (!ref.apiVersion) return [fieldRequired(childPath(path, "apiVersion"), "")];
  if (!ref.fieldPath) return [fieldRequired(childPath(path, "fieldPath"), "")];
  const at = childPath(path, "fieldPath");
  const strange = strangeField(ref.fieldPath);
  if (strange !== undefined) {
    return [fieldInvalid(at, ref.fieldPath, `error converting fieldPath: ${strange}: ${ref.fieldPath}`)];
  }
  const match = SUBSCRIPT.exec(ref.fieldPath);
  if (match) {
    const key = match[2] ?? "";
    // Upstream tells of a bad key at the reference, not at its path.
    return validateWith(validateQualifiedName, match[1] === "metadata.annotations" ? key.toLowerCase() : key, path);
  }
  return fields.includes(ref.fieldPath) ? [] : [fieldNotSupported(at, ref.fieldPath, fields)];
}

/** A resource of a container; volumes must name the container. */
export function validateResourceFieldRef(ref: ResourceFieldSelector, volume: boolean, path: string): FieldError[] {
  return [...validateResourceName(ref, volume, path), ...validateDivisor(ref, path)];
}

function validateResourceName(ref: ResourceFieldSelector, volume: boolean, path: string): FieldError[] {
  if (volume && !ref.containerName) return [fieldRequired(childPath(path, "containerName"), "")];
  if (!ref.resource) return [fieldRequired(childPath(path, "resource"), "")];
  const hugePages = HUGE_PAGES.test(ref.resource);
  return hugePages ? [] : validateEnum(ref.resource, RESOURCE_FIELDS, childPath(path, "resource"));
}

/** What an amount may be told in: units that it is measured in. */
function validateDivisor({ resource, divisor }: ResourceFieldSelector, path: string): FieldError[] {
  if (!resource || divisor === undefined || !isQuantity(divisor) || parseQuantity(divisor).nanos === 0n) return [];
  const amount = resource.slice(resource.indexOf(".") + 1);
  const known = resource.startsWith("limits.") || resource.startsWith("requests.");
  const name = known ? (HUGE_PAGES.test(resource) ? "hugepages" : DIVIDED[amount]) : undefined;
  if (name === undefined) return [];
  const unit = parseQuantity(divisor).toString();
  if ((name === "cpu" ? CPU_DIVISORS : DIVISORS).includes(unit)) return [];
  const values = name === "cpu" ? CPU_DIVISORS.join(" and ") : DIVISORS.join(", ");
  const detail = `only divisor's values ${values} are supported with the ${name} resource`;
  return [fieldInvalid(childPath(path, "divisor"), resource, detail)];
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
