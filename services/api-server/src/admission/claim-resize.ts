// PersistentVolumeClaimResize: a claim grows only where it is bound and its class lets volumes grow.
import type { PersistentVolumeClaim, StorageClass } from "@coxswain/api";
import { isQuantity, newForbidden, parseQuantity } from "@coxswain/apimachinery";
import type { AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";

const STORAGE_CLASSES = { group: "storage.k8s.io", resource: "storageclasses" };
const BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class";

export function createClaimResize(source: ObjectSource): AdmissionPlugin {
  return {
    name: "PersistentVolumeClaimResize",
    validate({ operation, kind, subresource, object, old, name }) {
      const ours = kind.group === "" && kind.resource === "persistentvolumeclaims" && subresource === "";
      if (!ours || operation !== "UPDATE" || object === undefined || old === undefined) return;
      if (!grows(object, old)) return;
      const before: PersistentVolumeClaim = old;
      if (before.status?.phase !== "Bound") {
        throw newForbidden(kind, name, "Only bound persistent volume claims can be expanded");
      }
      const className = before.metadata?.annotations?.[BETA_STORAGE_CLASS] ?? before.spec?.storageClassName ?? "";
      const found = source.get(STORAGE_CLASSES, "", className)?.object as StorageClass | undefined;
      if (found?.allowVolumeExpansion === true) return;
      const message =
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
      throw newForbidden(kind, name, message);
    },
  };
}

function grows(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): boolean {
  const [after, before] = [claim, old].map(({ spec }) => spec?.resources?.requests?.["storage"] ?? "0");
  if (!isQuantity(after ?? "") || !isQuantity(before ?? "")) return false;
  return parseQuantity(after ?? "0").compare(parseQuantity(before ?? "0")) > 0;
}
