// What a StatefulSet must be, and the few fields of it that may change.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  validateDns1123Label,
} from "@coxswain/apimachinery";
import { validateClaimSpec } from "../../core-v1/persistent-volume-claim/validation.ts";
import { validatePodTemplate } from "../../core-v1/pod-spec/validation.ts";
import { sameValue } from "../../same-value.ts";
import type { PodTemplateSpec, StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { countOrPercentNumber, validateCountOrPercent, validateNonNegative } from "../../validation/numbers.ts";
import { validateLastingWorkload } from "../../validation/workload-template.ts";
import { validateReplicaCounts } from "../pod-template.ts";

const MUTABLE = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
] as const;

function validateUpdateStrategy(strategy: StatefulSetUpdateStrategy): FieldError[] {
  const path = "spec.updateStrategy";
  const rolling = strategy.rollingUpdate;
  switch (strategy.type ?? "") {
    case "":
      return [fieldRequired(path, "")];
    case "OnDelete":
      return rolling
        ? [fieldInvalid(`${path}.rollingUpdate`, rolling, "only allowed for updateStrategy 'RollingUpdate'")]
        : [];
    case "RollingUpdate": {
      if (!rolling) return [];
      const at = `${path}.rollingUpdate.maxUnavailable`;
      const errors = validateNonNegative(rolling.partition, `${path}.rollingUpdate.partition`);
      if (rolling.maxUnavailable === undefined) return errors;
      errors.push(...validateCountOrPercent(rolling.maxUnavailable, at));
      if (countOrPercentNumber(rolling.maxUnavailable) === 0) {
        errors.push(fieldInvalid(at, rolling.maxUnavailable, "cannot be 0"));
      }
      if (typeof rolling.maxUnavailable === "string" && countOrPercentNumber(rolling.maxUnavailable) > 100) {
        errors.push(fieldInvalid(at, rolling.maxUnavailable, "must not be greater than 100%"));
      }
      return errors;
    }
    default:
      return [fieldInvalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")];
  }
}

function validateRetention(spec: StatefulSetSpec): FieldError[] {
  const policy = spec.persistentVolumeClaimRetentionPolicy ?? {};
  return (["whenDeleted", "whenScaled"] as const).flatMap((name) => {
    const value = policy[name] ?? "";
    const supported = ["Retain", "Delete"];
    const path = `spec.persistentVolumeClaimRetentionPolicy.${name}`;
    return supported.includes(value) ? [] : [fieldNotSupported(path, value, supported)];
  });
}

/** The volumes of claim templates are mounted by name, though the pod template does not list them. */
function withClaimVolumes(spec: StatefulSetSpec): (template: PodTemplateSpec, path: string) => FieldError[] {
  const claims = (spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata?.name ?? "");
  return (template, path) => {
    if (!template.spec) return validatePodTemplate(template, path);
    const volumes = [
      ...claims.map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
      ...(template.spec.volumes ?? []).filter(({ name }) => !claims.includes(name)),
    ];
    // The controller gives pods host names of its own.
    const spec = { ...template.spec, volumes, hostname: undefined, subdomain: undefined };
    return validatePodTemplate({ ...template, spec }, path);
  };
}

function validateStatefulSet(
  set: StatefulSet,
  checkTemplate?: (template: PodTemplateSpec, path: string) => FieldError[],
): FieldError[] {
  const { spec } = set;
  if (!spec) return [fieldRequired("spec.selector", ""), fieldRequired("spec.template", "")];
  const errors: FieldError[] = [];
  const management = spec.podManagementPolicy ?? "";
  if (management === "") errors.push(fieldRequired("spec.podManagementPolicy", ""));
  else if (management !== "OrderedReady" && management !== "Parallel") {
    const detail = "must be 'OrderedReady' or 'Parallel'";
    errors.push(fieldInvalid("spec.podManagementPolicy", management, detail));
  }
  return [
    ...errors,
    ...validateUpdateStrategy(spec.updateStrategy ?? {}),
    ...validateRetention(spec),
    ...validateNonNegative(spec.replicas, "spec.replicas"),
    ...validateNonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateNonNegative(spec.ordinals?.start, "spec.ordinals.start"),
    ...validateLastingWorkload(spec, "spec", "StatefulSet", checkTemplate ?? withClaimVolumes(spec)),
  ];
}

/** What cannot change later is looked at only once. */
export function validateNewStatefulSet(set: StatefulSet): FieldError[] {
  const { volumeClaimTemplates = [], serviceName } = set.spec ?? {};
  return [
    ...validateStatefulSet(set),
    ...volumeClaimTemplates.flatMap((claim, index) =>
      validateClaimSpec(claim.spec ?? {}, `spec.volumeClaimTemplates[${index}].spec`),
    ),
    ...(serviceName ? validateWith(validateDns1123Label, serviceName, "spec.serviceName") : []),
  ];
}

export function validateStatefulSetUpdate(set: StatefulSet, old: StatefulSet): FieldError[] {
  const fixed = (spec: StatefulSetSpec | undefined) =>
    Object.fromEntries(Object.entries(spec ?? {}).filter(([name]) => !(MUTABLE as readonly string[]).includes(name)));
  // A template that nobody would take any more does not keep the rest from changing.
  const known = old.spec === undefined || validateStatefulSet(old).length > 0;
  const errors = validateStatefulSet(set, known ? () => [] : undefined);
  if (sameValue(fixed(set.spec), fixed(old.spec))) return errors;
  const names = MUTABLE.map((name) => `'${name}'`);
  const listed = `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  const detail = `updates to statefulset spec for fields other than ${listed} are forbidden`;
  return [...errors, fieldForbidden("spec", detail)];
}

const COUNTS = [
  "replicas",
  "readyReplicas",
  "currentReplicas",
  "updatedReplicas",
  "availableReplicas",
  "observedGeneration",
  "collisionCount",
] as const;

export function validateStatefulSetStatus(set: StatefulSet, old: StatefulSet): FieldError[] {
  const status = set.status ?? { replicas: 0 };
  const errors = COUNTS.flatMap((name) => validateNonNegative(status[name], childPath("status", name)));
  const bounded = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
  errors.push(...validateReplicaCounts({ ...status }, bounded, "status.readyReplicas"));
  const collisions = status.collisionCount ?? 0;
  if (collisions < (old.status?.collisionCount ?? 0)) {
    errors.push(fieldInvalid("status.collisionCount", collisions, "cannot be decremented"));
  }
  return errors;
}
