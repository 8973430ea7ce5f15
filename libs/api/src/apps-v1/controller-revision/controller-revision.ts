// ControllerRevision: a snapshot of a controller's state that never changes; only its number does.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldRequired, parseApiVersion } from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { ControllerRevision } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateNonNegative } from "../../validation/numbers.ts";

function validate(revision: ControllerRevision): FieldError[] {
  const errors = revision.data === undefined ? [fieldRequired("data", "data is mandatory")] : [];
  return [...errors, ...validateNonNegative(revision.revision, "revision")];
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
  validateCreate: validate,
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
