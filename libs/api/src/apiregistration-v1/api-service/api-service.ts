// APIService: who serves a group and version: this api-server, or a Service behind it.
import type { FieldError } from "@coxswain/apimachinery";
import {
  fieldInvalid,
  fieldRequired,
  validateDns1035Label,
  validateDns1123Subdomain,
  validatePathSegmentName,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { APIService } from "../../types.gen.ts";
import { validateRequiredWith, validateWith } from "../../validation/enums.ts";
import { validatePort } from "../../validation/numbers.ts";

const MAX_GROUP_PRIORITY = 20_000;
const MAX_VERSION_PRIORITY = 1_000;

function validate({ metadata, spec }: APIService): FieldError[] {
  const group = spec?.group ?? "";
  const version = spec?.version ?? "";
  const name = metadata?.name ?? "";
  const errors: FieldError[] = [];
  if (name !== `${version}.${group}`) {
    errors.push(fieldInvalid("metadata.name", name, `must be \`spec.version+"."+spec.group\`: "${version}.${group}"`));
  }
  if (group !== "") errors.push(...validateWith(validateDns1123Subdomain, group, "spec.group"));
  errors.push(...validateWith(validateDns1035Label, version, "spec.version"));
  const groupPriority = spec?.groupPriorityMinimum ?? 0;
  const versionPriority = spec?.versionPriority ?? 0;
  if (groupPriority <= 0 || groupPriority > MAX_GROUP_PRIORITY) {
    errors.push(fieldInvalid("spec.groupPriorityMinimum", groupPriority, "must be positive and less than 20000"));
  }
  if (versionPriority <= 0 || versionPriority > MAX_VERSION_PRIORITY) {
    errors.push(fieldInvalid("spec.versionPriority", versionPriority, "must be positive and less than 1000"));
  }
  const service = spec?.service;
  if (!service) {
    if (spec?.caBundle)
      errors.push(
        fieldInvalid("spec.caBundle", `${spec.caBundle.length} bytes`, "local APIServices may not have a caBundle"),
      );
    if (spec?.insecureSkipTLSVerify) {
      errors.push(
        fieldInvalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"),
      );
    }
    return errors;
  }
  errors.push(...validateRequiredWith(validateDns1123Subdomain, service.namespace, "spec.service.namespace"));
  if (!service.name) errors.push(fieldRequired("spec.service.name", ""));
  errors.push(...validatePort(service.port, "spec.service.port"));
  if (spec.insecureSkipTLSVerify && spec.caBundle) {
    errors.push(fieldInvalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  }
  return errors;
}

function availability({ status }: APIService): string {
  const condition = status?.conditions?.find((each) => each.type === "Available");
  if (!condition) return "Unknown";
  return condition.status === "True" ? "True" : `${condition.status} (${condition.reason ?? ""})`;
}

export const apiServiceKind = defineKind<APIService>({
  group: "apiregistration.k8s.io",
  version: "v1",
  kind: "APIService",
  resource: "apiservices",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
  hasStatus: true,
  validateName: validatePathSegmentName,
  defaults({ spec }) {
    if (spec?.service) spec.service.port ??= 443;
  },
  validateCreate: validate,
  validateUpdate: validate,
  strategy: plainStrategy<APIService>({
    prepareForCreate(service, { nowMs }) {
      service.status = {};
      if (service.spec?.service) return;
      const lastTransitionTime = new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
      const message = "Local APIServices are always available";
      service.status.conditions = [{ type: "Available", status: "True", lastTransitionTime, reason: "Local", message }];
    },
    prepareForUpdate(service, old) {
      if (old.status === undefined) delete service.status;
      else service.status = old.status;
    },
    prepareForStatusUpdate(service, old) {
      if (old.spec !== undefined) service.spec = old.spec;
    },
  }),
  columns: [
    NAME,
    column("Service", "Who serves it; Local is this api-server."),
    column("Available", "Whether it can be reached."),
    AGE,
  ],
  row: (service, context) => [
    nameOf(service),
    service.spec?.service ? `${service.spec.service.namespace ?? ""}/${service.spec.service.name ?? ""}` : "Local",
    availability(service),
    age(service, context),
  ],
});
