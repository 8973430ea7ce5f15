// PriorityClass: a name for how important pods are. Names that begin with system- are the system's own two.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldInvalid, fieldNotSupported } from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { PriorityClass } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

const HIGHEST_USER_PRIORITY = 1_000_000_000;
const POLICIES = ["Never", "PreemptLowerPriority"];

/** What every cluster has. */
export const SYSTEM_PRIORITY_CLASSES: readonly PriorityClass[] = [
  {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "system-node-critical" },
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  },
  {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "system-cluster-critical" },
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
];

function validateSystemName(priorityClass: PriorityClass): FieldError[] {
  const name = priorityClass.metadata?.name ?? "";
  const known = SYSTEM_PRIORITY_CLASSES.find((each) => each.metadata?.name === name);
  const refuse = (why: string) => [
    fieldForbidden(
      "metadata.name",
      `priority class names with 'system-' prefix are reserved for system use only. error: ${why}`,
    ),
  ];
  if (known === undefined) return refuse(`${name} is not a known system priority class`);
  if (known.value !== priorityClass.value) return refuse(`value of ${name} PriorityClass must be ${known.value}`);
  return priorityClass.globalDefault ? refuse(`globalDefault of ${name} PriorityClass must be false`) : [];
}

function validate(priorityClass: PriorityClass): FieldError[] {
  const { preemptionPolicy } = priorityClass;
  const value = priorityClass.value ?? 0;
  const errors: FieldError[] = [];
  if (priorityClass.metadata?.name?.startsWith("system-")) errors.push(...validateSystemName(priorityClass));
  else if (value > HIGHEST_USER_PRIORITY) {
    errors.push(
      fieldForbidden("value", `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`),
    );
  }
  if (preemptionPolicy !== undefined && !POLICIES.includes(preemptionPolicy)) {
    errors.push(fieldNotSupported("preemptionPolicy", preemptionPolicy, ["PreemptLowerPriority", "Never"]));
  }
  return errors;
}

function validateUpdate(priorityClass: PriorityClass, old: PriorityClass): FieldError[] {
  const errors: FieldError[] = [];
  if (priorityClass.value !== old.value) {
    errors.push(fieldForbidden("value", "may not be changed in an update."));
  }
  if (priorityClass.metadata?.name?.startsWith("system-") && priorityClass.globalDefault) {
    errors.push(fieldInvalid("globalDefault", true, "must be false for system priority classes"));
  }
  return [
    ...errors,
    ...validateImmutableField(priorityClass.preemptionPolicy, old.preemptionPolicy, "preemptionPolicy"),
  ];
}

export const priorityClassKind = defineKind<PriorityClass>({
  group: "scheduling.k8s.io",
  version: "v1",
  kind: "PriorityClass",
  resource: "priorityclasses",
  shortNames: ["pc"],
  namespaced: false,
  schemaName: "io.k8s.api.scheduling.v1.PriorityClass",
  defaults(priorityClass) {
    priorityClass.preemptionPolicy ??= "PreemptLowerPriority";
  },
  validateCreate: validate,
  validateUpdate,
  strategy: plainStrategy({
    prepareForCreate(priorityClass) {
      metaOf(priorityClass).generation = 1;
    },
    prepareForUpdate: (priorityClass, old) => setGeneration(priorityClass, old, false),
  }),
  columns: [
    NAME,
    column("Value", "The priority.", "integer"),
    column("Global-Default", "Whether pods that name no class have this one.", "boolean"),
    AGE,
    column("PreemptionPolicy", "Whether its pods make others go."),
  ],
  row: (priorityClass, context) => [
    nameOf(priorityClass),
    priorityClass.value ?? 0,
    priorityClass.globalDefault ?? false,
    age(priorityClass, context),
    priorityClass.preemptionPolicy ?? "",
  ],
});
