// ControllerRevision: a snapshot of a controller's state that never changes; only its number does.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldRequired, parseApiVersion } from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { ControllerRevision } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateNonNegative } from "../../validation/numbers.ts";

function validate(revision: ControllerRevision): FieldError[] {
  return validateNonNegative(revision.revision, "revision");
}

function validateNew(revision: ControllerRevision): FieldError[] {
  const data: unknown = revision.data;
  const errors = validate(revision);
  if (data === undefined || data === null) return [...errors, fieldRequired("data", "data is mandatory")];
  if (typeof data === "object" && !Array.isArray(data)) return errors;
  return [...errors, fieldRequired("data", "data must be a valid JSON object")];
}

function controllerOf(revision: ControllerRevision): string {
  const owner = revision.metadata?.ownerReferences?.find((each) => each.controller === true);
  if (!owner) return "<none>";
  const { group } = parseApiVersion(owner.apiVersion);
  const kind = owner.kind.toLowerCase();
  return `${group === "" ? kind : `${kind}.${group}`}/${owner.name}`;
}

export const controllerRevisionKind = defineKind<ControllerRevision>({
  group: "apps",
  version: "v1",
  kind: "ControllerRevision",
  resource: "controllerrevisions",
  namespaced: true,
  schemaName: "io.k8s.api.apps.v1.ControllerRevision",
  validateCreate: validateNew,
  validateUpdate: (revision, old) => [
    ...validate(revision),
    ...validateImmutableField(revision.data, old.data, "data"),
  ],
  columns: [
    NAME,
    column("Controller", "The controller that the revision is of."),
    column("Revision", "The number of the revision.", "integer"),
    AGE,
  ],
  row: (revision, context) => [
    nameOf(revision),
    controllerOf(revision),
    revision.revision ?? 0,
    age(revision, context),
  ],
});
