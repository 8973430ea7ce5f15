// PriorityLevelConfiguration: what share of the api-server a level of priority has, and what happens beyond it.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldInvalid, fieldNotSupported, fieldRequired } from "@coxswain/apimachinery";
import { defineKind, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type {
  ExemptPriorityLevelConfiguration,
  LimitedPriorityLevelConfiguration,
  PriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
  QueuingConfiguration,
} from "../../types.gen.ts";
import { MANDATORY_LEVELS } from "../mandatory.ts";

const MAX_QUEUES = 10_000_000;
/** Of what a flow's hand is dealt by. */
const MAX_HASH_BITS = 60;

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

/** Shares and percents, which both types of levels have. */
function validateShares(
  { nominalConcurrencyShares: shares = 0, lendablePercent: percent = 0 }: ExemptPriorityLevelConfiguration,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (shares < 0) {
    errors.push(fieldInvalid(`${path}.nominalConcurrencyShares`, shares, "must be a non-negative integer"));
  }
  if (percent < 0 || percent > 100) {
    errors.push(fieldInvalid(`${path}.lendablePercent`, percent, "must be between 0 and 100, inclusive"));
  }
  return errors;
}

function validateQueuing({ queues = 0, handSize = 0, queueLengthLimit = 0 }: QueuingConfiguration, path: string) {
  const errors: FieldError[] = [];
  const refuse = (name: string, value: number, detail: string): void => {
    errors.push(fieldInvalid(`${path}.${name}`, value, detail));
  };
  if (queueLengthLimit <= 0) refuse("queueLengthLimit", queueLengthLimit, "must be positive");
  if (queues <= 0) refuse("queues", queues, "must be positive");
  else if (queues > MAX_QUEUES) refuse("queues", queues, `must not be greater than ${MAX_QUEUES}`);
  const bits = Math.ceil(Math.log2(queues) * handSize);
  if (handSize <= 0) refuse("handSize", handSize, "must be positive");
  else if (handSize > queues) refuse("handSize", handSize, `should not be greater than queues (${queues})`);
  else if (bits > MAX_HASH_BITS) {
    const what = `required entropy bits of deckSize ${queues} and handSize ${handSize}`;
    refuse("handSize", handSize, `${what} should not be greater than ${MAX_HASH_BITS}`);
  }
  return errors;
}

function validateLimited(limited: LimitedPriorityLevelConfiguration): FieldError[] {
  const path = "spec.limited";
  const { type, queuing } = limited.limitResponse ?? { type: "" };
  const at = `${path}.limitResponse`;
  const errors = validateShares(limited, path);
  const borrowing = limited.borrowingLimitPercent ?? 0;
  if (borrowing < 0) {
    const detail = "if specified, must be a non-negative integer";
    errors.push(fieldInvalid(`${path}.borrowingLimitPercent`, borrowing, detail));
  }
  if (type === "Reject") {
    if (!queuing) return errors;
    return [...errors, fieldForbidden(`${at}.queuing`, "must be nil if limited.limitResponse.type is not Limited")];
  }
  if (type !== "Queue") return [...errors, fieldNotSupported(`${at}.type`, type, ["Queue", "Reject"])];
  if (queuing) return [...errors, ...validateQueuing(queuing, `${at}.queuing`)];
  return [...errors, fieldRequired(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited")];
}

function validateType({ type = "", limited, exempt }: Partial<PriorityLevelConfigurationSpec>): FieldError[] {
  switch (type) {
    case "Exempt":
      return [
        ...(limited ? [fieldForbidden("spec.limited", "must be nil if the type is not Limited")] : []),
        ...(exempt ? validateShares(exempt, "spec.exempt") : []),
      ];
    case "Limited":
      return [
        ...(exempt ? [fieldForbidden("spec.exempt", "must be nil if the type is Limited")] : []),
        ...(limited
          ? validateLimited(limited)
          : [fieldRequired("spec.limited", "must not be empty when type is Limited")]),
      ];
    default:
      return [fieldNotSupported("spec.type", type, ["Exempt", "Limited"])];
  }
}

function validate({ metadata, spec }: PriorityLevelConfiguration): FieldError[] {
  const name = metadata?.name ?? "";
  const type = spec?.type ?? "";
  const errors = validateType(spec ?? {});
  if ((name === "exempt") !== (type === "Exempt")) {
    errors.unshift(fieldInvalid("spec.type", type, "must be 'Exempt' if and only if `name` is 'exempt'"));
  }
  const fixed = MANDATORY_LEVELS.find((level) => level.metadata?.name === name)?.spec;
  if (fixed === undefined) return errors;
  const open = name === "exempt";
  if (sameValue(open ? { ...spec, exempt: fixed.exempt } : spec, fixed)) return errors;
  const except = open ? " except the 'spec.exempt' field" : "";
  return [...errors, fieldInvalid("spec", spec ?? null, `spec of '${name}'${except} must equal the fixed value`)];
}

function row(level: PriorityLevelConfiguration, context: PrintContext): unknown[] {
  const { type = "", limited } = level.spec ?? {};
  const queuing = limited?.limitResponse?.queuing;
  return [
    nameOf(level),
    type,
    limited?.nominalConcurrencyShares ?? "<none>",
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
