// PriorityLevelConfiguration: what share of the api-server a level of priority has, and what happens beyond it.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldInvalid, fieldNotSupported, fieldRequired } from "@coxswain/apimachinery";
import { defineKind, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { LimitedPriorityLevelConfiguration, PriorityLevelConfiguration } from "../../types.gen.ts";
import { validateNonNegative, validatePositive } from "../../validation/numbers.ts";

const MAX_QUEUES = 10_000_000;

function setDefaults({ spec }: PriorityLevelConfiguration): void {
  if (spec?.exempt) {
    spec.exempt.nominalConcurrencyShares ??= 0;
    spec.exempt.lendablePercent ??= 0;
  }
  if (!spec?.limited) return;
  spec.limited.nominalConcurrencyShares ??= 30;
  spec.limited.lendablePercent ??= 0;
  const queuing = spec.limited.limitResponse?.queuing;
  if (!queuing) return;
  queuing.handSize ||= 8;
  queuing.queues ||= 64;
  queuing.queueLengthLimit ||= 50;
}

function validateLimited(limited: LimitedPriorityLevelConfiguration): FieldError[] {
  const path = "spec.limited";
  const errors = validateNonNegative(limited.nominalConcurrencyShares, `${path}.nominalConcurrencyShares`);
  const percent = limited.lendablePercent ?? 0;
  if (percent < 0 || percent > 100) {
    errors.push(fieldInvalid(`${path}.lendablePercent`, percent, "must be between 0 and 100, inclusive"));
  }
  const { type, queuing } = limited.limitResponse ?? { type: "" };
  const at = `${path}.limitResponse`;
  if (type === "Reject") {
    if (queuing)
      errors.push(fieldForbidden(`${at}.queuing`, "must be nil if limited.limitResponse.type is not Limited"));
    return errors;
  }
  if (type !== "Queue") return [...errors, fieldNotSupported(`${at}.type`, type, ["Queue", "Reject"])];
  if (!queuing)
    return [...errors, fieldRequired(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited")];
  const { queues = 0, handSize = 0 } = queuing;
  if (queues > MAX_QUEUES)
    errors.push(fieldInvalid(`${at}.queuing.queues`, queues, `must not be greater than ${MAX_QUEUES}`));
  if (handSize > queues) {
    errors.push(fieldInvalid(`${at}.queuing.handSize`, handSize, `should not be greater than queues (${queues})`));
  }
  return [
    ...errors,
    ...validatePositive(queues, `${at}.queuing.queues`),
    ...validatePositive(handSize, `${at}.queuing.handSize`),
    ...validatePositive(queuing.queueLengthLimit, `${at}.queuing.queueLengthLimit`),
  ];
}

function validate({ spec }: PriorityLevelConfiguration): FieldError[] {
  switch (spec?.type ?? "") {
    case "Exempt":
      return spec?.limited ? [fieldForbidden("spec.limited", "must be nil if the type is not Limited")] : [];
    case "Limited":
      if (spec?.exempt) return [fieldForbidden("spec.exempt", "must be nil if the type is Limited")];
      return spec?.limited
        ? validateLimited(spec.limited)
        : [fieldRequired("spec.limited", "must not be empty when type is Limited")];
    default:
      return [fieldNotSupported("spec.type", spec?.type ?? "", ["Exempt", "Limited"])];
  }
}

function row(level: PriorityLevelConfiguration, context: PrintContext): unknown[] {
  const { type = "", limited, exempt } = level.spec ?? {};
  const queuing = limited?.limitResponse?.queuing;
  return [
    nameOf(level),
    type,
    limited?.nominalConcurrencyShares ?? exempt?.nominalConcurrencyShares ?? "<none>",
    queuing?.queues ?? "<none>",
    queuing?.handSize ?? "<none>",
    queuing?.queueLengthLimit ?? "<none>",
    age(level, context),
  ];
}

export const priorityLevelConfigurationKind = defineKind<PriorityLevelConfiguration>({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  kind: "PriorityLevelConfiguration",
  resource: "prioritylevelconfigurations",
  namespaced: false,
  schemaName: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
  hasStatus: true,
  defaults: setDefaults,
  validateCreate: validate,
  validateUpdate: validate,
  strategy: specStrategy<PriorityLevelConfiguration>(() => ({})),
  columns: [
    NAME,
    column("Type", "Whether it is limited."),
    column("NominalConcurrencyShares", "Its share of the seats."),
    column("Queues", "How many queues it has."),
    column("HandSize", "How many queues a flow may use."),
    column("QueueLengthLimit", "How many requests wait in a queue."),
    AGE,
  ],
  row,
});
