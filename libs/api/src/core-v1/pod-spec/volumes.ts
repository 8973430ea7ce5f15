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
  EphemeralVolumeSource,
  ImageVolumeSource,
  KeyToPath,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  Volume,
  VolumeProjection,
} from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum, validateRequiredWith } from "../../validation/enums.ts";
import { validateAnnotations, validateLabels } from "../../validation/labels.ts";
import { validateClaimSpec } from "../persistent-volume-claim/validation.ts";
import {
  validateFieldRef,
  validateNoBacksteps,
  validateRelativePath,
  validateResourceFieldRef,
  VOLUME_FIELDS,
} from "./env-sources.ts";
import { portalTooLong, validateCsiSource, validateStorageSource } from "./storage-sources.ts";

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

/** As a relative path, and not among the names that the kubelet writes itself. */
function validateFilePath(target: string, path: string): FieldError[] {
  const errors = validateRelativePath(target, path);
  if (target.startsWith("..") && !target.startsWith("../")) {
    errors.push(fieldInvalid(path, target, "must not start with '..'"));
  }
  return errors;
}

export function validateHostPathType(type: string | undefined, path: string): FieldError[] {
  return validateOptionalEnum(type, HOST_PATH_TYPES, path);
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

/** Upstream reports all of these without the index. */
function validateDownward(items: readonly DownwardAPIVolumeFile[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item) => {
    const errors = item.path ? [] : [fieldRequired(childPath(path, "path"), "")];
    errors.push(...validateFilePath(item.path ?? "", childPath(path, "path")));
    if (item.fieldRef) {
      errors.push(...validateFieldRef(item.fieldRef, VOLUME_FIELDS, childPath(path, "fieldRef")));
      if (item.resourceFieldRef) {
        const detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
        errors.push(fieldInvalid(path, "resource", detail));
      }
    } else if (item.resourceFieldRef) {
      errors.push(...validateResourceFieldRef(item.resourceFieldRef, true, childPath(path, "resourceFieldRef")));
    } else errors.push(fieldRequired(path, "one of fieldRef and resourceFieldRef is required"));
    return [...errors, ...validateMode(item.mode, childPath(path, "mode"))];
  });
}

/** No two files of a projected volume may have one path. */
function repeatedPaths(sources: readonly VolumeProjection[], path: string): FieldError[] {
  const files = sources.flatMap(({ secret, configMap, downwardAPI }) => [
    ...(secret?.items ?? []).map((item) => [item.path, secret?.name ?? ""]),
    ...(configMap?.items ?? []).map((item) => [item.path, configMap?.name ?? ""]),
    ...(downwardAPI?.items ?? []).map((item) => [item.path, item.path]),
  ]);
  const seen = new Set<string | undefined>();
  return files.flatMap(([file, name]) => {
    if (!file) return [];
    const repeated = seen.has(file);
    seen.add(file);
    return repeated ? [fieldInvalid(path, name, "conflicting duplicate paths")] : [];
  });
}

/** Upstream reports the path without its source. */
function validateToken(token: ServiceAccountTokenProjection, volume: string, path: string): FieldError[] {
  const seconds = token.expirationSeconds ?? TOKEN_SECONDS.least;
  const at = childPath(path, "expirationSeconds");
  const errors: FieldError[] = [];
  if (seconds < TOKEN_SECONDS.least) {
    errors.push(fieldInvalid(at, seconds, "may not specify a duration less than 10 minutes"));
  }
  if (seconds > TOKEN_SECONDS.most) {
    errors.push(fieldInvalid(at, seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  const target = childPath(volume, "path");
  return [...errors, ...(token.path ? validateFilePath(token.path, target) : [fieldRequired(target, "")])];
}

function validateProjected(projected: ProjectedVolumeSource, path: string): FieldError[] {
  const errors = validateMode(projected.defaultMode, childPath(path, "defaultMode"));
  const sources = projected.sources ?? [];
  for (const [index, source] of sources.entries()) {
    const at = indexPath(childPath(path, "sources"), index);
    for (const kind of ["secret", "configMap"] as const) {
      const part = source[kind];
      if (!part) continue;
      if (!part.name) errors.push(fieldRequired(childPath(at, kind, "name"), ""));
      errors.push(...validateItems(part.items, childPath(at, kind, "items")));
    }
    if (source.downwardAPI) errors.push(...validateDownward(source.downwardAPI.items, childPath(at, "downwardAPI")));
    if (source.serviceAccountToken) {
      errors.push(...validateToken(source.serviceAccountToken, path, childPath(at, "serviceAccountToken")));
    }
    const count = Object.values(source).filter((part) => part !== undefined && part !== null).length;
    if (count > 1) errors.push(fieldForbidden(at, "may not specify more than 1 volume type per source"));
  }
  return [...errors, ...repeatedPaths(sources, path)];
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

/** The claim that is made for the pod: of its metadata, labels and annotations count, and nothing else may be there. */
function validateEphemeral({ volumeClaimTemplate: template }: EphemeralVolumeSource, path: string): FieldError[] {
  const at = childPath(path, "volumeClaimTemplate");
  if (template === undefined) return [fieldRequired(at, "")];
  const { annotations, labels, ...others } = template.metadata ?? {};
  const meta = childPath(at, "metadata");
  return [
    ...validateAnnotations(annotations, childPath(meta, "annotations")),
    ...validateLabels(labels, childPath(meta, "labels")),
    ...Object.entries(others).flatMap(([name, value]) =>
      value ? [fieldForbidden(childPath(meta, name), "cannot be set")] : [],
    ),
    ...validateClaimSpec(template.spec ?? {}, childPath(at, "spec")),
  ];
}

/** Where upstream says that a second type is too many; two of them are spelled in its own way. */
function typePath(type: string, path: string): string {
  if (type === "cephfs") return childPath(path, "cephFS");
  return childPath(path, type === "downwardAPI" ? "downwarAPI" : type);
}

function validateSource(volume: Volume, ofPod: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = (...names: string[]) => childPath(path, ...names);
  if (volume.emptyDir) errors.push(...validateEmptyDir(volume.emptyDir.sizeLimit, at("emptyDir", "sizeLimit")));
  if (volume.hostPath && !volume.hostPath.path) errors.push(fieldRequired(at("hostPath", "path"), ""));
  else if (volume.hostPath) {
    errors.push(...validateNoBacksteps(volume.hostPath.path, at("hostPath", "path")));
    errors.push(...validateHostPathType(volume.hostPath.type, at("hostPath", "type")));
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
  if (volume.image) errors.push(...validateImage(volume.image, ofPod, at("image")));
  if (volume.csi) errors.push(...validateCsiSource(volume.csi, at("csi")));
  if (volume.ephemeral) errors.push(...validateEphemeral(volume.ephemeral, at("ephemeral")));
  return errors;
}

/** Errors of the volumes, of a pod or of a template of pods, under `path`, and the names that containers may mount. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  ofPod: boolean,
  path: string,
): { readonly errors: FieldError[]; readonly named: ReadonlyMap<string, Volume> } {
  const named = new Map<string, Volume>();
  const errors: FieldError[] = [];
  for (const [index, volume] of (volumes ?? []).entries()) {
    const at = indexPath(path, index);
    const [first, ...more] = Object.keys(volume).filter((key) => key !== "name");
    const own = first ? validateSource(volume, ofPod, at) : [];
    if (first) own.push(...validateStorageSource(volume, first, false, at));
    const portal = portalTooLong(volume, volume.name ?? "");
    if (portal !== undefined) own.push(fieldInvalid(childPath(at, "name"), volume.name, portal));
    if (!first) own.push(fieldRequired(at, "must specify a volume type"));
    own.push(...more.map((type) => fieldForbidden(typePath(type, at), "may not specify more than 1 volume type")));
    own.push(...validateRequiredWith(validateDns1123Label, volume.name, childPath(at, "name")));
    if (named.has(volume.name)) own.push(fieldDuplicate(childPath(at, "name"), volume.name));
    if (own.length === 0) named.set(volume.name, volume);
    errors.push(...own);
  }
  return { errors, named };
}
