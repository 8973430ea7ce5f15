// What the provisioner of volumes on nodes' disks makes of a claim. Pure. Decisions: docs/adr/0007-node-disk.md
import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from "@coxswain/api";
import {
  annotationOf,
  BIND_COMPLETED,
  BETA_STORAGE_PROVISIONER,
  classOf,
  PROVISIONED_BY,
  SELECTED_NODE,
  STORAGE_PROVISIONER,
  VOLUME_PROTECTION_FINALIZER,
} from "@coxswain/api/core-v1/persistent-volume/binding";
import {
  NODE_DISK_FINALIZER,
  NODE_DISK_LABEL,
  NODE_DISK_PROVISIONER,
  nodeDiskPath,
} from "@coxswain/api/storage-v1/storage-class/node-disk";
import { parseQuantity } from "@coxswain/apimachinery";

const HOSTNAME = "kubernetes.io/hostname";
const MODES = ["ReadWriteOnce", "ReadWriteOncePod"];

/** Whether the claim waits for a volume of this provisioner. */
export function isOurs(claim: PersistentVolumeClaim): boolean {
  if (claim.metadata?.deletionTimestamp !== undefined || (claim.spec?.volumeName ?? "") !== "") return false;
  if (annotationOf(claim, BIND_COMPLETED) !== undefined) return false;
  const asked = annotationOf(claim, STORAGE_PROVISIONER) ?? annotationOf(claim, BETA_STORAGE_PROVISIONER);
  return asked === NODE_DISK_PROVISIONER;
}

/** One volume a claim, whoever makes it and however often it is tried. */
export function volumeNameFor(claim: PersistentVolumeClaim): string {
  return `pvc-${claim.metadata?.uid ?? ""}`;
}

/** Why no volume can be made for the claim, whatever node is chosen; undefined where one can. */
export function refusal(
  claim: PersistentVolumeClaim,
  { volumeBindingMode, parameters }: StorageClass,
): string | undefined {
  const { selector, volumeMode, accessModes = [], dataSourceRef } = claim.spec ?? {};
  if (volumeBindingMode !== "WaitForFirstConsumer") {
    return "volumes on a node's disk need a class with volumeBindingMode WaitForFirstConsumer: no node was selected";
  }
  const [parameter] = Object.keys(parameters ?? {});
  if (parameter !== undefined) return `parameter ${JSON.stringify(parameter)} is not supported`;
  if (selector !== undefined) return "claim.spec.selector is not supported for dynamic provisioning";
  if (volumeMode === "Block") return "block volume provisioning is not supported";
  const mode = accessModes.find((one) => !MODES.includes(one));
  if (mode !== undefined) return `access mode ${mode} is not supported; supported: ${MODES.join(", ")}`;
  if (dataSourceRef === undefined) return undefined;
  return `volumes cannot be filled from a ${dataSourceRef.kind}`;
}

/** The volume of the claim, on the disk of its selected node. */
export function volumeFor(claim: PersistentVolumeClaim, storageClass: StorageClass, node: Node): PersistentVolume {
  const name = volumeNameFor(claim);
  const nodeName = node.metadata?.name ?? "";
  const { namespace = "", name: claimName = "", uid = "", resourceVersion = "" } = claim.metadata ?? {};
  const { mountOptions, reclaimPolicy = "Delete" } = storageClass;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: {
      name,
      labels: { [NODE_DISK_LABEL]: nodeName },
      annotations: { [PROVISIONED_BY]: NODE_DISK_PROVISIONER },
      finalizers: [VOLUME_PROTECTION_FINALIZER, NODE_DISK_FINALIZER],
    },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.["storage"] ?? "0" },
      accessModes: claim.spec?.accessModes ?? [],
      persistentVolumeReclaimPolicy: reclaimPolicy,
      storageClassName: classOf(claim),
      volumeMode: "Filesystem",
      ...(mountOptions === undefined ? {} : { mountOptions }),
      local: { path: nodeDiskPath(name) },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            {
              matchExpressions: [
                { key: HOSTNAME, operator: "In", values: [node.metadata?.labels?.[HOSTNAME] ?? nodeName] },
              ],
            },
          ],
        },
      },
      claimRef: {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        namespace,
        name: claimName,
        uid,
        resourceVersion,
      },
    },
  };
}

export const selectedNode = (claim: PersistentVolumeClaim): string => annotationOf(claim, SELECTED_NODE) ?? "";

/** What a volume that is released and may go needs next of the provisioner. */
export function isToDelete({ metadata, spec, status }: PersistentVolume): boolean {
  return (
    metadata?.deletionTimestamp === undefined &&
    metadata?.annotations?.[PROVISIONED_BY] === NODE_DISK_PROVISIONER &&
    spec?.persistentVolumeReclaimPolicy === "Delete" &&
    status?.phase === "Released"
  );
}

/** What the claim asks for beyond what it has; undefined where it has enough. */
export function growth(claim: PersistentVolumeClaim): string | undefined {
  const asked = claim.spec?.resources?.requests?.["storage"];
  const has = claim.status?.capacity?.["storage"];
  if (asked === undefined || has === undefined || claim.status?.phase !== "Bound") return undefined;
  return parseQuantity(asked).compare(parseQuantity(has)) > 0 ? asked : undefined;
}
