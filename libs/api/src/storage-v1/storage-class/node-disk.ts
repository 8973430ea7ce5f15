// Volumes on the disk of one node: the class of storage that every cluster starts with, and what its provisioner, the kubelets
// and the api-server agree on. A volume is a folder of its node; docs/adr/0007-node-disk.md says who makes and removes it.
import type { PersistentVolume, StorageClass } from "../../types.gen.ts";
import { DEFAULT_STORAGE_CLASS } from "./storage-class.ts";

export const NODE_DISK_PROVISIONER = "coxswain.dev/node-disk";
/** Keeps a volume's object until the kubelet of its node has removed the folder. */
export const NODE_DISK_FINALIZER = "coxswain.dev/node-disk";
/** Of a volume: the node whose disk it is on. */
export const NODE_DISK_LABEL = "coxswain.dev/node";
/** On every node, in the kubelet's own folder. */
export const NODE_DISK_FOLDER = "/var/lib/kubelet/node-disk";

export function nodeDiskPath(volumeName: string): string {
  return `${NODE_DISK_FOLDER}/${volumeName}`;
}

/** True for a volume of the provisioner whose folder is where the provisioner puts it, and nowhere else. */
export function isNodeDisk({ metadata, spec }: PersistentVolume): boolean {
  const name = metadata?.name ?? "";
  return (
    metadata?.annotations?.["pv.kubernetes.io/provisioned-by"] === NODE_DISK_PROVISIONER &&
    name !== "" &&
    spec?.local?.path === nodeDiskPath(name)
  );
}

export const NODE_DISK_CLASS: StorageClass = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: { name: "standard", annotations: { [DEFAULT_STORAGE_CLASS]: "true" } },
  provisioner: NODE_DISK_PROVISIONER,
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
  allowVolumeExpansion: true,
};
