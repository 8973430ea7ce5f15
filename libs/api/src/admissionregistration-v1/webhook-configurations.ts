// MutatingWebhookConfiguration and ValidatingWebhookConfiguration: which webhooks are asked about which requests.
import { defineKind, metaOf, plainStrategy, setGeneration } from "../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type { MutatingWebhookConfiguration, ValidatingWebhookConfiguration } from "../types.gen.ts";
import { setWebhookDefaults, validateWebhooks } from "./webhooks.ts";

const COLUMNS = [NAME, column("Webhooks", "How many webhooks there are.", "integer"), AGE];

function strategy<T extends MutatingWebhookConfiguration | ValidatingWebhookConfiguration>() {
  return plainStrategy<T>({
    prepareForCreate(configuration) {
      metaOf(configuration).generation = 1;
    },
    prepareForUpdate: (configuration, old) =>
      setGeneration(configuration, old, !sameValue(configuration.webhooks, old.webhooks)),
  });
}

export const mutatingWebhookConfigurationKind = defineKind<MutatingWebhookConfiguration>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "MutatingWebhookConfiguration",
  resource: "mutatingwebhookconfigurations",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
  defaults(configuration) {
    for (const webhook of configuration.webhooks ?? []) {
      setWebhookDefaults(webhook);
      webhook.reinvocationPolicy ??= "Never";
    }
  },
  validateCreate: (configuration) => validateWebhooks(configuration.webhooks),
  validateUpdate: (configuration) => validateWebhooks(configuration.webhooks),
  strategy: strategy<MutatingWebhookConfiguration>(),
  columns: COLUMNS,
  row: (configuration, context) => [
    nameOf(configuration),
    configuration.webhooks?.length ?? 0,
    age(configuration, context),
  ],
});

export const validatingWebhookConfigurationKind = defineKind<ValidatingWebhookConfiguration>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingWebhookConfiguration",
  resource: "validatingwebhookconfigurations",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
  defaults: (configuration) => (configuration.webhooks ?? []).forEach(setWebhookDefaults),
  validateCreate: (configuration) => validateWebhooks(configuration.webhooks),
  validateUpdate: (configuration) => validateWebhooks(configuration.webhooks),
  strategy: strategy<ValidatingWebhookConfiguration>(),
  columns: COLUMNS,
  row: (configuration, context) => [
    nameOf(configuration),
    configuration.webhooks?.length ?? 0,
    age(configuration, context),
  ],
});
