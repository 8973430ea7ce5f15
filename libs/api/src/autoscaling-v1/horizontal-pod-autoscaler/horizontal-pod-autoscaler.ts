// HorizontalPodAutoscaler as autoscaling/v1 has it: `kubectl autoscale` of old, and clients that know CPU alone.
import { defineForm } from "../../define-form.ts";
import type { HorizontalPodAutoscalerV1 } from "../../types.gen.ts";
import { autoscalerForm } from "./form.ts";

export const horizontalPodAutoscalerV1Kind = defineForm<HorizontalPodAutoscalerV1>({
  group: "autoscaling",
  version: "v1",
  schemaName: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
  form: autoscalerForm,
  defaults({ spec }) {
    if (spec) spec.minReplicas ??= 1;
  },
  selectableFields: () => ({}),
});
