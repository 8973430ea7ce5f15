// Volumes: unique names, exactly one source each, and sources that say what they must.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  indexPath,
  isQuantity,
  parseQuantity,
  validateDns1123Label,
} from "@coxswain/apimachinery";
import type {
  DownwardAPIVolumeFile,
  ImageVolumeSource,
  KeyToPath,
  ProjectedVolumeSource,
  Volume,
} from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum, validateRequiredWith } from "../../validation/enums.ts";
import { validateFieldRef, validateNoBacksteps, validateResourceFieldRef, VOLUME_FIELDS } from "./env-sources.ts";

const HIGHEST_MODE = 0o777;
const MODE_MESSAGE = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATH_TYPES = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];
export const PULL_POLICIES = ["Always", "IfNotPresent", "Never"];
const TOKEN_SECONDS = { least: 600, most: 2 ** 32 };

/** A path inside a volume: relative, and not out of it. */
export function validateRelativePath(target: string, path: string): FieldError[] {
  const errors = target.startsWith("/") ? [fieldInvalid(path, target, "must be a relative path")] : [];
  return [...errors, ...validateNoBacksteps(target, path)];
}

/** As a relative path, and not among the names that the kubelet writes itself. */
function validateFilePath(target: string, path: string): FieldError[] {
  const errors = validateRelativePath(target, path);
  if (target.startsWith("..") && !target.startsWith("../")) {
    errors.push(fieldInvalid(path, target, "must not start with '..'"));
  }
  return errors;
}

function validateMode(mode: number | undefined, path: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > HIGHEST_MODE) ? [fieldInvalid(path, mode, MODE_MESSAGE)] : [];
}

function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const at = indexPath(path, index);
    return [
      ...(item.key ? [] : [fieldRequired(childPath(at, "key"), "")]),
      ...(item.path ? [] : [fieldRequired(childPath(at, "path"), "")]),
      ...validateFilePath(item.path ?? "", childPath(at, "path")),
      ...validateMode(item.mode, childPath(at, "mode")),
    ];
  });
}

function validateDownward(items: readonly DownwardAPIVolumeFile[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const at = indexPath(path, index);
    const errors = item.path ? [] : [fieldRequired(childPath(at, "path"), "")];
    errors.push(...validateFilePath(item.path ?? "", childPath(at, "path")));
    if (item.fieldRef) {
      errors.push(...validateFieldRef(item.fieldRef, VOLUME_FIELDS, childPath(at, "fieldRef")));
      if (item.resourceFieldRef) {
        errors.push(fieldInvalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
      }
    } else if (item.resourceFieldRef) {
      errors.push(...validateResourceFieldRef(item.resourceFieldRef, true, childPath(at, "resourceFieldRef")));
    } else errors.push(fieldRequired(at, "one of fieldRef and resourceFieldRef is required"));
    return [...errors, ...validateMode(item.mode, childPath(at, "mode"))];
  });
}

function validateProjected(projected: ProjectedVolumeSource, path: string): FieldError[] {
  const errors = validateMode(projected.defaultMode, childPath(path, "defaultMode"));
  for (const [index, source] of (projected.sources ?? []).entries()) {
    const at = indexPath(childPath(path, "sources"), index);
    for (const kind of ["secret", "configMap"] as const) {
      const part = source[kind];
      if (!part) continue;
      if (!part.name) errors.push(fieldRequired(childPath(at, kind, "name"), ""));
      errors.push(...validateItems(part.items, childPath(at, kind, "items")));
    }
    if (source.downwardAPI) {
      errors.push(...validateDownward(source.downwardAPI.items, childPath(at, "downwardAPI", "items")));
    }
    const token = source.serviceAccountToken;
    const seconds = token?.expirationSeconds ?? TOKEN_SECONDS.least;
    const expiry = childPath(at, "serviceAccountToken", "expirationSeconds");
    if (seconds < TOKEN_SECONDS.least) {
      errors.push(fieldInvalid(expiry, seconds, "may not specify a duration less than 10 minutes"));
    }
    if (seconds > TOKEN_SECONDS.most) {
      errors.push(fieldInvalid(expiry, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    if (token && !token.path) errors.push(fieldRequired(childPath(at, "serviceAccountToken", "path"), ""));
    const count = Object.values(source).filter((part) => part !== undefined && part !== null).length;
    if (count > 1) errors.push(fieldForbidden(at, "may not specify more than 1 volume type"));
  }
  return errors;
}

function validateEmptyDir(sizeLimit: string | undefined, path: string): FieldError[] {
  if (sizeLimit === undefined || !isQuantity(sizeLimit) || parseQuantity(sizeLimit).sign() >= 0) return [];
  return [fieldForbidden(path, "SizeLimit field must be a valid resource quantity")];
}

/** A template may leave it to others to say which image. */
function validateImage({ reference, pullPolicy }: ImageVolumeSource, ofPod: boolean, path: string): FieldError[] {
  const missing = ofPod && !reference ? [fieldRequired(childPath(path, "reference"), "")] : [];
  return [...missing, ...validateEnum(pullPolicy, PULL_POLICIES, childPath(path, "pullPolicy"))];
}

function validateSource(volume: Volume, ofPod: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = (...names: string[]) => childPath(path, ...names);
  if (volume.emptyDir) errors.push(...validateEmptyDir(volume.emptyDir.sizeLimit, at("emptyDir", "sizeLimit")));
  if (volume.hostPath && !volume.hostPath.path) errors.push(fieldRequired(at("hostPath", "path"), ""));
  else if (volume.hostPath) {
    errors.push(...validateNoBacksteps(volume.hostPath.path, at("hostPath", "path")));
    errors.push(...validateOptionalEnum(volume.hostPath.type, HOST_PATH_TYPES, at("hostPath", "type")));
  }
  if (volume.secret) {
    if (!volume.secret.secretName) errors.push(fieldRequired(at("secret", "secretName"), ""));
    errors.push(...validateMode(volume.secret.defaultMode, at("secret", "defaultMode")));
    errors.push(...validateItems(volume.secret.items, at("secret", "items")));
  }
  if (volume.configMap) {
    if (!volume.configMap.name) errors.push(fieldRequired(at("configMap", "name"), ""));
    errors.push(...validateMode(volume.configMap.defaultMode, at("configMap", "defaultMode")));
    errors.push(...validateItems(volume.configMap.items, at("configMap", "items")));
  }
  if (volume.downwardAPI) {
    errors.push(...validateMode(volume.downwardAPI.defaultMode, at("downwardAPI", "defaultMode")));
    errors.push(...validateDownward(volume.downwardAPI.items, at("downwardAPI")));
  }
  if (volume.projected) errors.push(...validateProjected(volume.projected, at("projected")));
  if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName) {
    errors.push(fieldRequired(at("persistentVolumeClaim", "claimName"), ""));
  }
  if (volume.nfs) {
    if (!volume.nfs.server) errors.push(fieldRequired(at("nfs", "server"), ""));
    if (!volume.nfs.path) errors.push(fieldRequired(at("nfs", "path"), ""));
    else if (!volume.nfs.path.startsWith("/")) {
      errors.push(fieldInvalid(at("nfs", "path"), volume.nfs.path, "must be an absolute path"));
    }
  }
  if (volume.image) errors.push(...validateImage(volume.image, ofPod, at("image")));
  if (volume.csi && !volume.csi.driver) errors.push(fieldRequired(at("csi", "driver"), ""));
  return errors;
}

/** Errors of the volumes, of a pod or of a template of pods, under `path`, and the names that containers may mount. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  ofPod: boolean,
  path: string,
): { readonly errors: FieldError[]; readonly names: ReadonlySet<string> } {
  const names = new Set<string>();
  const errors: FieldError[] = [];
  for (const [index, volume] of (volumes ?? []).entries()) {
    const at = indexPath(path, index);
    const [first, ...more] = Object.keys(volume).filter((key) => key !== "name");
    const own = validateSource(volume, ofPod, at);
    if (!first) own.push(fieldRequired(at, "must specify a volume type"));
    own.push(...more.map((type) => fieldForbidden(childPath(at, type), "may not specify more than 1 volume type")));
    own.push(...validateRequiredWith(validateDns1123Label, volume.name, childPath(at, "name")));
    if (names.has(volume.name)) own.push(fieldDuplicate(childPath(at, "name"), volume.name));
    if (own.length === 0) names.add(volume.name);
    errors.push(...own);
  }
  return { errors, names };
}
