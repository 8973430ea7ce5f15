// PodTemplate: a pod to be, kept as an object of its own.
import { fieldRequired } from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../../define-kind.ts";
import { column, containerCells, formatLabels, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { PodTemplate } from "../../types.gen.ts";
import { setPodTemplateDefaults } from "../pod-spec/defaults.ts";
import { droppingDisabledFields } from "../pod-spec/disabled-fields.ts";
import { validatePodTemplate } from "../pod-spec/validation.ts";
import { podTemplateWarnings } from "../pod-spec/warnings.ts";

const validate = ({ template }: PodTemplate) =>
  template ? validatePodTemplate(template, "template") : [fieldRequired("template", "")];

export const podTemplateKind = defineKind<PodTemplate>({
  group: "",
  version: "v1",
  kind: "PodTemplate",
  resource: "podtemplates",
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.PodTemplate",
  returnDeletedObject: true,
  defaults: (object) => setPodTemplateDefaults(object.template),
  validateCreate: validate,
  validateUpdate: validate,
  strategy: droppingDisabledFields(
    (object) => object.template,
    plainStrategy({
      warnings: (object, old) => podTemplateWarnings(object, old, object.template, "template"),
      prepareForCreate(object) {
        metaOf(object).generation = 1;
      },
      prepareForUpdate: (object, old) => setGeneration(object, old, !sameValue(object.template, old.template)),
    }),
  ),
  columns: [
    NAME,
    column("Containers", "The names of the containers in the template."),
    column("Images", "The images of the containers in the template."),
    column("Pod Labels", "The labels of the template."),
  ],
  row: (object) => [
    nameOf(object),
    ...containerCells(object.template?.spec?.containers),
    formatLabels(object.template?.metadata?.labels),
  ],
});
