// CSIStorageCapacity: what room a driver has for a class of storage in one part of the cluster.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldRequired, validateDns1123Subdomain, validateLabelSelector } from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { column, NAME, nameOf } from "../../printing.ts";
import type { CSIStorageCapacity } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateQuantityValue } from "../../validation/resources.ts";

function validate(capacity: CSIStorageCapacity): FieldError[] {
  const { nodeTopology } = capacity;
  const storageClassName = capacity.storageClassName ?? "";
  return [
    ...(nodeTopology ? validateLabelSelector(nodeTopology, "nodeTopology") : []),
    ...(storageClassName === ""
      ? [fieldRequired("storageClassName", "")]
      : validateWith(validateDns1123Subdomain, storageClassName, "storageClassName")),
    ...(capacity.capacity === undefined ? [] : validateQuantityValue("storage", capacity.capacity, "capacity")),
    ...(capacity.maximumVolumeSize === undefined
      ? []
      : validateQuantityValue("storage", capacity.maximumVolumeSize, "maximumVolumeSize")),
  ];
}

export const csiStorageCapacityKind = defineKind<CSIStorageCapacity>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIStorageCapacity",
  resource: "csistoragecapacities",
  namespaced: true,
  schemaName: "io.k8s.api.storage.v1.CSIStorageCapacity",
  validateCreate: validate,
  validateUpdate: (capacity, old) => [
    ...validate(capacity),
    ...validateImmutableField(capacity.nodeTopology, old.nodeTopology, "nodeTopology"),
    ...validateImmutableField(capacity.storageClassName, old.storageClassName, "storageClassName"),
  ],
  columns: [NAME, column("StorageClassName", "The class of storage."), column("Capacity", "The room there is.")],
  row: (capacity) => [nameOf(capacity), capacity.storageClassName ?? "", capacity.capacity ?? "<unset>"],
});
