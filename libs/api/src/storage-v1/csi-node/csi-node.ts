// CSINode: the storage drivers of a node, under the node's name.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  indexPath,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { CSINode } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { validateDriverName } from "../driver-name.ts";

const MAX_NODE_ID = 256;

function validate({ spec }: CSINode): FieldError[] {
  const drivers = spec?.drivers ?? [];
  return drivers.flatMap((driver, index) => {
    const path = indexPath("spec.drivers", index);
    const repeated = drivers.slice(0, index).some((other) => other.name === driver.name);
    return [
      ...validateDriverName(driver.name, childPath(path, "name")),
      ...validateNodeId(driver.nodeID, childPath(path, "nodeID")),
      ...validateNonNegative(driver.allocatable?.count, childPath(path, "allocatable", "count")),
      ...(repeated ? [fieldDuplicate(childPath(path, "name"), driver.name)] : []),
      ...validateKeys(driver.topologyKeys ?? [], path),
    ];
  });
}

function validateNodeId(id: string, path: string): FieldError[] {
  if (!id) return [fieldRequired(path, "")];
  return id.length > MAX_NODE_ID ? [fieldInvalid(path, id, `must be ${MAX_NODE_ID} characters or less`)] : [];
}

/** Upstream tells of the keys at their driver. */
function validateKeys(keys: readonly string[], path: string): FieldError[] {
  return keys.flatMap((key, index) => [
    ...(key === "" ? [fieldRequired(path, "")] : []),
    ...(keys.indexOf(key) < index ? [fieldDuplicate(path, key)] : []),
    ...validateWith(validateQualifiedName, key, path),
  ]);
}

export const csiNodeKind = defineKind<CSINode>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSINode",
  resource: "csinodes",
  namespaced: false,
  schemaName: "io.k8s.api.storage.v1.CSINode",
  returnDeletedObject: true,
  validateCreate: validate,
  validateUpdate(node, old) {
    const errors = validate(node);
    for (const before of old.spec?.drivers ?? []) {
      const after = node.spec?.drivers?.find((driver) => driver.name === before.name);
      const { allocatable: _before, ...fixed } = before;
      const { allocatable: _after, ...kept } = after ?? { allocatable: undefined };
      if (after && !sameValue(kept, fixed)) {
        errors.push(fieldInvalid("spec.drivers", after, "field is immutable"));
      }
    }
    return errors;
  },
  columns: [NAME, column("Drivers", "How many drivers the node has.", "integer"), AGE],
  row: (node, context) => [nameOf(node), node.spec?.drivers?.length ?? 0, age(node, context)],
});
