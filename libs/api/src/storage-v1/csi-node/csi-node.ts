// CSINode: the storage drivers of a node, under the node's name.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldDuplicate, fieldInvalid, fieldRequired, indexPath } from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { CSINode } from "../../types.gen.ts";

function validate({ spec }: CSINode): FieldError[] {
  const drivers = spec?.drivers ?? [];
  return drivers.flatMap((driver, index) => {
    const path = indexPath("spec.drivers", index);
    const repeated = drivers.slice(0, index).some((other) => other.name === driver.name);
    return [
      ...(driver.name ? [] : [fieldRequired(childPath(path, "name"), "")]),
      ...(driver.nodeID ? [] : [fieldRequired(childPath(path, "nodeID"), "")]),
      ...(repeated ? [fieldDuplicate(childPath(path, "name"), driver.name)] : []),
    ];
  });
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
    for (const [index, before] of (old.spec?.drivers ?? []).entries()) {
      const after = node.spec?.drivers?.find((driver) => driver.name === before.name);
      const { allocatable: _before, ...fixed } = before;
      const { allocatable: _after, ...kept } = after ?? { allocatable: undefined };
      if (after && !sameValue(kept, fixed)) {
        errors.push(fieldInvalid(indexPath("spec.drivers", index), after, "field is immutable"));
      }
    }
    return errors;
  },
  columns: [NAME, column("Drivers", "How many drivers the node has.", "integer"), AGE],
  row: (node, context) => [nameOf(node), node.spec?.drivers?.length ?? 0, age(node, context)],
});
