// VolumeAttributesClass: attributes of volumes that may change while they are in use. It never changes itself.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldRequired } from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { VolumeAttributesClass } from "../../types.gen.ts";
import { sameValue } from "../../same-value.ts";
import { validateParameters, validateProvisioner } from "../storage-class/storage-class.ts";

function validate(attributes: VolumeAttributesClass): FieldError[] {
  return [
    ...validateProvisioner(attributes.driverName, "driverName"),
    ...(Object.keys(attributes.parameters ?? {}).length === 0
      ? [fieldRequired("parameters", "must contain at least one key/value pair")]
      : validateParameters(attributes.parameters, "parameters")),
  ];
}

export const volumeAttributesClassKind = defineKind<VolumeAttributesClass>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttributesClass",
  resource: "volumeattributesclasses",
  shortNames: ["vac"],
  namespaced: false,
  schemaName: "io.k8s.api.storage.v1.VolumeAttributesClass",
  returnDeletedObject: true,
  validateCreate: validate,
  validateUpdate: (attributes, old) => [
    ...(["driverName", "parameters"] as const).flatMap((name) =>
      sameValue(attributes[name], old[name]) ? [] : [fieldForbidden(name, `updates to ${name} are forbidden.`)],
    ),
    ...validate(attributes),
  ],
  columns: [NAME, column("DriverName", "The driver that knows the attributes."), AGE],
  row: (attributes, context) => [nameOf(attributes), attributes.driverName ?? "", age(attributes, context)],
});
