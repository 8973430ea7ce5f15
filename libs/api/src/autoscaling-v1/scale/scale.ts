// Scale: the number of replicas of whatever has them, as a document of its own.
import { fieldInvalid } from "@coxswain/apimachinery";
import { defineDocument } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { Scale } from "../../types.gen.ts";

function validate(scale: Scale) {
  const replicas = scale.spec?.replicas ?? 0;
  return replicas < 0 ? [fieldInvalid("spec.replicas", replicas, "must be greater than or equal to 0")] : [];
}

export const scaleKind = defineDocument<Scale>({
  group: "autoscaling",
  version: "v1",
  kind: "Scale",
  resource: "scales",
  namespaced: true,
  verbs: ["get", "patch", "update"],
  schemaName: "io.k8s.api.autoscaling.v1.Scale",
  validateCreate: validate,
  validateUpdate: validate,
  columns: [
    { ...NAME, format: "" },
    column("Desired", "How many replicas there should be.", "integer"),
    column("Available", "How many replicas there are.", "integer"),
    AGE,
  ],
  row: (scale, context) => [nameOf(scale), scale.spec?.replicas ?? 0, scale.status?.replicas ?? 0, age(scale, context)],
});
