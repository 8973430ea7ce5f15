// Volumes of storage systems, as pods and PersistentVolumes name them. Most need a driver that upstream has dropped; what they must
// say is checked all the same. Guarantees: one table for both kinds, and upstream's paths.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  keyPath,
  rangeMessage,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type { PersistentVolumeSpec, SecretReference, Volume } from "../../types.gen.ts";
import { validateOptionalEnum, validateRequiredWith, validateWith } from "../../validation/enums.ts";
import { validateRelativePath } from "./env-sources.ts";

/** The fields that must not be empty. */
const REQUIRED = {
  awsElasticBlockStore: ["volumeID"],
  azureDisk: ["diskName", "diskURI"],
  azureFile: ["secretName", "shareName"],
  cephfs: ["monitors"],
  cinder: ["volumeID"],
  fc: [],
  flexVolume: ["driver"],
  flocker: [],
  gcePersistentDisk: ["pdName"],
  gitRepo: ["repository"],
  glusterfs: ["endpoints", "path"],
  iscsi: ["targetPortal", "iqn"],
  nfs: ["server", "path"],
  photonPersistentDisk: ["pdID"],
  portworxVolume: ["volumeID"],
  quobyte: ["volume"],
  rbd: ["monitors", "image"],
  scaleIO: ["gateway", "system", "volumeName"],
  storageos: ["volumeName"],
  vsphereVolume: ["volumePath"],
} as const satisfies Record<string, readonly string[]>;

type SourceName = keyof typeof REQUIRED;
type Sources = Partial<Pick<Volume & PersistentVolumeSpec, SourceName>>;
type Secret = Partial<SecretReference> | undefined;

const FORMS: Readonly<Record<string, RegExp>> = {
  iqn: /iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[A-Za-z0-9]{16}$/,
  naa: /^naa.[A-Za-z0-9]{32}$/,
};
const MAX_PORTAL = 64;
const PORTAL_MESSAGE =
  "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
const PAIRS = "must be a host:port pair or multiple pairs separated by commas";
const DISK_URIS = {
  managed: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
  blob: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
};

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === "" || (Array.isArray(value) && value.length === 0);

function validateSecret(secret: Secret, persistent: boolean, path: string): FieldError[] {
  if (secret === undefined) return [];
  const errors = secret.name ? [] : [fieldRequired(childPath(path, "name"), "")];
  if (persistent && !secret.namespace) errors.push(fieldRequired(childPath(path, "namespace"), ""));
  return errors;
}

function validatePartition(partition: number | undefined, path: string): FieldError[] {
  if (partition === undefined || (partition >= 0 && partition <= 255)) return [];
  return [fieldInvalid(childPath(path, "partition"), partition, rangeMessage(1, 255))];
}

function validateLun(lun: number | undefined, path: string): FieldError[] {
  if (lun === undefined || (lun >= 0 && lun <= 255)) return [];
  return [fieldInvalid(childPath(path, "lun"), lun, rangeMessage(0, 255))];
}

function validateIscsiName(name: string | undefined, persistent: boolean, path: string): FieldError[] {
  if (!name) return [];
  const form = FORMS[name.slice(0, 3)];
  if (form?.test(name) === true) return [];
  const detail = "must be valid format";
  return [
    fieldInvalid(path, name, form === undefined && !persistent ? `${detail} starting with iqn, eui, or naa` : detail),
  ];
}

function validateIscsi(iscsi: NonNullable<Sources["iscsi"]>, persistent: boolean, path: string): FieldError[] {
  const secret = childPath(path, "secretRef");
  const authenticates = iscsi.chapAuthDiscovery === true || iscsi.chapAuthSession === true;
  return [
    ...validateIscsiName(iscsi.iqn, persistent, childPath(path, "iqn")),
    ...validateLun(iscsi.lun, path),
    ...(authenticates && iscsi.secretRef === undefined ? [fieldRequired(secret, "")] : []),
    ...(persistent && iscsi.secretRef !== undefined ? validateSecret(iscsi.secretRef, false, secret) : []),
    ...validateIscsiName(iscsi.initiatorName, persistent, childPath(path, "initiatorname")),
  ];
}

function validateFibreChannel(fc: NonNullable<Sources["fc"]>, path: string): FieldError[] {
  const { targetWWNs = [], wwids = [], lun } = fc;
  const at = childPath(path, "targetWWNs");
  if (targetWWNs.length === 0) {
    return wwids.length > 0 ? [] : [fieldRequired(at, "must specify either targetWWNs or wwids, but not both")];
  }
  const twice = "targetWWNs and wwids can not be specified simultaneously";
  return [
    ...(wwids.length > 0 ? [fieldInvalid(at, targetWWNs, twice)] : []),
    ...(lun === undefined ? [fieldRequired(childPath(path, "lun"), "lun is required if targetWWNs is specified")] : []),
    ...validateLun(lun, path),
  ];
}

function validateQuobyte({ registry, tenant }: NonNullable<Sources["quobyte"]>, path: string): FieldError[] {
  const at = childPath(path, "registry");
  if (!registry) return [fieldRequired(at, PAIRS)];
  if ((tenant?.length ?? 0) > 64) {
    return [fieldRequired(childPath(path, "tenant"), "must be a UUID and may not exceed a length of 64 characters")];
  }
  return registry
    .split(",")
    .filter((pair) => !/^([^:[\]]*|\[[^[\]]*\]):[^:]*$/.test(pair))
    .map(() => fieldInvalid(at, registry, PAIRS));
}

function validateFlocker({ datasetName, datasetUUID }: NonNullable<Sources["flocker"]>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!datasetName && !datasetUUID) {
    errors.push(fieldRequired(path, "one of datasetName and datasetUUID is required"));
  }
  if (datasetName && datasetUUID) {
    errors.push(fieldInvalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"));
  }
  if (datasetName?.includes("/")) {
    errors.push(fieldInvalid(childPath(path, "datasetName"), datasetName, "must not contain '/'"));
  }
  return errors;
}

function validateFlexOptions(options: Record<string, string> | undefined, path: string): FieldError[] {
  const reserved = Object.keys(options ?? {}).filter((key) =>
    /\.(kubernetes|k8s)\.io$/.test(`.${key.split("/", 1)[0]?.toLowerCase()}`),
  );
  return reserved.map((key) =>
    fieldInvalid(keyPath(childPath(path, "options"), key), key, "kubernetes.io and k8s.io namespaces are reserved"),
  );
}

function validateAzureDisk(disk: Partial<NonNullable<Sources["azureDisk"]>>, path: string): FieldError[] {
  const { cachingMode, kind, diskURI = "" } = disk;
  const errors = [
    ...validateOptionalEnum(cachingMode, ["None", "ReadOnly", "ReadWrite"], childPath(path, "cachingMode")),
    ...validateOptionalEnum(kind, ["Dedicated", "Managed", "Shared"], childPath(path, "kind")),
  ];
  const managed = kind === "Managed";
  if (kind !== undefined && !diskURI.startsWith(managed ? "/subscriptions/" : "https://")) {
    const forms = [managed ? DISK_URIS.managed : DISK_URIS.blob];
    errors.push(fieldNotSupported(childPath(path, "diskURI"), diskURI, forms));
  }
  return errors;
}

function validateStorageOs(source: NonNullable<Sources["storageos"]>, persistent: boolean, path: string): FieldError[] {
  const named = (["volumeName", "volumeNamespace"] as const).flatMap((name) =>
    source[name] ? validateWith(validateDns1123Label, source[name], childPath(path, name)) : [],
  );
  return [...named, ...validateSecret(source.secretRef, persistent, childPath(path, "secretRef"))];
}

function validateGlusterfs({ endpointsNamespace: name }: NonNullable<Sources["glusterfs"]>, path: string) {
  if (name === undefined) return [];
  const at = childPath(path, "endpointsNamespace");
  if (name !== "") return validateWith(validateDns1123Label, name, at);
  return [fieldInvalid(at, name, "if the endpointnamespace is set, it must be a valid namespace name")];
}

function validateDetails(volume: Sources, name: SourceName, persistent: boolean, path: string): FieldError[] {
  if (name === "iscsi" && volume.iscsi) return validateIscsi(volume.iscsi, persistent, path);
  if (name === "fc" && volume.fc) return validateFibreChannel(volume.fc, path);
  if (name === "quobyte" && volume.quobyte) return validateQuobyte(volume.quobyte, path);
  if (name === "flocker" && volume.flocker) return validateFlocker(volume.flocker, path);
  if (name === "flexVolume") return validateFlexOptions(volume.flexVolume?.options, path);
  if (name === "azureDisk" && volume.azureDisk) return validateAzureDisk(volume.azureDisk, path);
  if (name === "storageos" && volume.storageos) return validateStorageOs(volume.storageos, persistent, path);
  if (name === "glusterfs" && volume.glusterfs) return validateGlusterfs(volume.glusterfs, path);
  if (name === "cinder") return validateSecret(volume.cinder?.secretRef, persistent, childPath(path, "secretRef"));
  if (name === "awsElasticBlockStore" || name === "gcePersistentDisk") {
    return validatePartition(volume[name]?.partition, path);
  }
  if (name === "azureFile" && volume.azureFile?.secretNamespace === "") {
    return [fieldRequired(childPath(path, "secretNamespace"), "")];
  }
  if (name === "gitRepo") return validateRelativePath(volume.gitRepo?.directory ?? "", childPath(path, "directory"));
  if (name === "nfs" && volume.nfs && !volume.nfs.path?.startsWith("/")) {
    return [fieldInvalid(childPath(path, "path"), volume.nfs.path ?? "", "must be an absolute path")];
  }
  return [];
}

/** Errors of the source `name` of a volume at `path`; none of one that is checked elsewhere. `persistent`: of a PersistentVolume. */
export function validateStorageSource(volume: Sources, name: string, persistent: boolean, path: string): FieldError[] {
  if (!Object.hasOwn(REQUIRED, name)) return [];
  const source = name as SourceName;
  // Upstream's own spelling.
  const at = childPath(path, source === "gcePersistentDisk" && !persistent ? "persistentDisk" : source);
  const given: Readonly<Record<string, unknown>> = { ...volume[source] };
  return [
    ...REQUIRED[source]
      .filter((field) => isEmpty(given[field]))
      .map((field) => fieldRequired(childPath(at, field), "")),
    ...validateDetails(volume, source, persistent, at),
  ];
}

/** An iSCSI volume's name is part of the name of its interface, which has a limit. */
export function portalTooLong({ iscsi }: Sources, volumeName: string): string | undefined {
  if (iscsi?.initiatorName === undefined) return undefined;
  return `${volumeName}:${iscsi.targetPortal}`.length > MAX_PORTAL ? PORTAL_MESSAGE : undefined;
}

const MAX_DRIVER = 63;

export function validateCsiDriverName(name: string | undefined, path: string): FieldError[] {
  if (!name) return [fieldRequired(path, "")];
  const errors = name.length > MAX_DRIVER ? [fieldTooLong(path, MAX_DRIVER)] : [];
  const messages = validateDns1123Subdomain(name.toLowerCase());
  return [...errors, ...messages.map((message) => fieldInvalid(path, name, message))];
}

const CSI_SECRETS = [
  "controllerPublishSecretRef",
  "controllerExpandSecretRef",
  "nodePublishSecretRef",
  "nodeExpandSecretRef",
] as const;

/** The CSI source of a PersistentVolume. */
export function validateCsiVolume(csi: NonNullable<PersistentVolumeSpec["csi"]>, path: string): FieldError[] {
  const errors = validateCsiDriverName(csi.driver, childPath(path, "driver"));
  if (!csi.volumeHandle) errors.push(fieldRequired(childPath(path, "volumeHandle"), ""));
  for (const field of CSI_SECRETS) {
    const secret = csi[field];
    if (secret === undefined) continue;
    const at = childPath(path, field);
    errors.push(...validateRequiredWith(validateDns1123Subdomain, secret.name, childPath(at, "name")));
    errors.push(...validateRequiredWith(validateDns1123Label, secret.namespace, childPath(at, "namespace")));
  }
  return errors;
}

/** The CSI source of a pod's own volume. */
export function validateCsiSource(
  { driver, nodePublishSecretRef }: NonNullable<Volume["csi"]>,
  path: string,
): FieldError[] {
  const errors = validateCsiDriverName(driver, childPath(path, "driver"));
  if (nodePublishSecretRef === undefined) return errors;
  const { name } = nodePublishSecretRef;
  if (!name) return [...errors, fieldRequired(childPath(path, "nodePublishSecretRef", "name"), "")];
  // Upstream's own path.
  return [...errors, ...validateWith(validateDns1123Subdomain, name, childPath(path, "name"))];
}
