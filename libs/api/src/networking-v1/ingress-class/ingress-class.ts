// IngressClass: who serves the Ingresses of a class, and with which parameters.
import type { FieldError } from "@coxswain/apimachinery";
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  validateDns1123Label,
  validateDns1123Subdomain,
  validatePathSegmentName,
} from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { IngressClass } from "../../types.gen.ts";
import { validateRequiredWith, validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

const MAX_CONTROLLER = 250;

function validate({ spec }: IngressClass): FieldError[] {
  const controller = spec?.controller ?? "";
  const errors: FieldError[] = [];
  if (controller === "") errors.push(fieldRequired("spec.controller", ""));
  else {
    if (controller.length > MAX_CONTROLLER) errors.push(fieldTooLong("spec.controller", MAX_CONTROLLER));
    const [domain = "", ...rest] = controller.split("/");
    if (rest.join("/") === "") {
      errors.push(
        fieldInvalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")'),
      );
    } else
      errors.push(
        ...validateDns1123Subdomain(domain).map((message) => fieldInvalid("spec.controller", controller, message)),
      );
  }
  const parameters = spec?.parameters;
  if (!parameters) return errors;
  const at = "spec.parameters";
  const { apiGroup, namespace } = parameters;
  if (apiGroup) errors.push(...validateWith(validateDns1123Subdomain, apiGroup, `${at}.apiGroup`));
  errors.push(...validateRequiredWith(validatePathSegmentName, parameters.kind, `${at}.kind`));
  errors.push(...validateRequiredWith(validatePathSegmentName, parameters.name, `${at}.name`));
  if (namespace) errors.push(...validateWith(validateDns1123Label, namespace, `${at}.namespace`));
  const scope = parameters.scope ?? "";
  if (scope !== "Cluster" && scope !== "Namespace")
    errors.push(fieldNotSupported(`${at}.scope`, scope, ["Cluster", "Namespace"]));
  if (scope === "Namespace" && !parameters.namespace) {
    errors.push(fieldRequired(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'"));
  }
  if (scope === "Cluster" && parameters.namespace !== undefined) {
    errors.push(fieldForbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  }
  return errors;
}

function parametersOf({ spec }: IngressClass): string {
  const parameters = spec?.parameters;
  if (!parameters) return "<none>";
  const kind = parameters.apiGroup ? `${parameters.kind}.${parameters.apiGroup}` : parameters.kind;
  return `${kind}/${parameters.name}`;
}

export const ingressClassKind = defineKind<IngressClass>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "IngressClass",
  resource: "ingressclasses",
  namespaced: false,
  schemaName: "io.k8s.api.networking.v1.IngressClass",
  defaults({ spec }) {
    if (spec?.parameters) spec.parameters.scope ??= "Cluster";
  },
  validateCreate: validate,
  validateUpdate: (ingressClass, old) => [
    ...validate(ingressClass),
    ...validateImmutableField(ingressClass.spec?.controller, old.spec?.controller, "spec.controller"),
  ],
  strategy: plainStrategy({
    prepareForCreate(ingressClass) {
      metaOf(ingressClass).generation = 1;
    },
    prepareForUpdate: (ingressClass, old) => setGeneration(ingressClass, old, !sameValue(ingressClass.spec, old.spec)),
  }),
  columns: [
    NAME,
    column("Controller", "Who serves the class."),
    column("Parameters", "What the controller is told."),
    AGE,
  ],
  row: (ingressClass, context) => [
    nameOf(ingressClass),
    ingressClass.spec?.controller ?? "",
    parametersOf(ingressClass),
    age(ingressClass, context),
  ],
});
