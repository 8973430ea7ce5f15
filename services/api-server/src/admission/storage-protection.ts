// StorageObjectInUseProtection: claims and volumes carry, from their first moment, the finalizer that keeps them while they are used.
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
import {
  CLAIM_PROTECTION_FINALIZER,
  VOLUME_PROTECTION_FINALIZER,
} from "@coxswain/api/core-v1/persistent-volume/binding";
import type { AdmissionPlugin } from "../pipeline/extension.ts";

const FINALIZERS: Readonly<Record<string, string>> = {
  persistentvolumeclaims: CLAIM_PROTECTION_FINALIZER,
  persistentvolumes: VOLUME_PROTECTION_FINALIZER,
};

export const storageProtection: AdmissionPlugin = {
  name: "StorageObjectInUseProtection",
  admit({ operation, kind, subresource, object }) {
    const finalizer = kind.group === "" ? FINALIZERS[kind.resource] : undefined;
    if (operation !== "CREATE" || subresource !== "" || finalizer === undefined || object === undefined) return;
    const metadata = (object.metadata ??= {});
    if (metadata.finalizers?.includes(finalizer) === true) return;
    metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  },
};
