// What a pod must be on creation, and the little that may change afterwards: images, the deadline downwards, tolerations
// added, and scheduling gates removed.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  indexPath,
  rangeMessage,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type { Container, ContainerStatus, Pod, PodSpec } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateClaimStatuses } from "../pod-spec/device-claims.ts";
import { containerShouldRestart } from "./restart.ts";
import { validatePodSpec } from "../pod-spec/validation.ts";

const NO_SPEC: PodSpec = { containers: [] };
const MAX_INT32 = 2 ** 31 - 1;
const UPDATABLE =
  "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** `knownSpec`: nothing is wrong with the spec as such. */
export function validatePod(pod: Pod, knownSpec = false): FieldError[] {
  const spec = pod.spec ?? NO_SPEC;
  const errors = knownSpec ? [] : validatePodSpec(spec, "spec");
  if ((spec.ephemeralContainers?.length ?? 0) > 0) {
    errors.push(fieldForbidden("spec.ephemeralContainers", "cannot be set on create"));
  }
  if (spec.nodeName && (spec.schedulingGates?.length ?? 0) > 0) {
    errors.push(fieldForbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  return errors;
}

function validateImages(containers: readonly Container[], path: string): FieldError[] {
  return containers.flatMap(({ image = "" }, index) => {
    const at = childPath(indexPath(path, index), "image");
    const errors = image === "" ? [fieldRequired(at, "")] : [];
    if (image.trim() !== image) errors.push(fieldInvalid(at, image, "must not have leading or trailing whitespace"));
    return errors;
  });
}

function validateDeadline(seconds: number | undefined, old: number | undefined): FieldError[] {
  const at = "spec.activeDeadlineSeconds";
  if (seconds === undefined) {
    return old === undefined ? [] : [fieldInvalid(at, null, "must not update from a positive integer to nil value")];
  }
  if (seconds < 0 || seconds > MAX_INT32) return [fieldInvalid(at, seconds, rangeMessage(0, MAX_INT32))];
  return old !== undefined && old < seconds
    ? [fieldInvalid(at, seconds, "must be less than or equal to previous value")]
    : [];
}

function validateTolerationChange(spec: PodSpec, old: PodSpec): FieldError[] {
  const lost = (old.tolerations ?? []).some(
    (before) =>
      !(spec.tolerations ?? []).some((after) =>
        sameValue({ ...after, tolerationSeconds: undefined }, { ...before, tolerationSeconds: undefined }),
      ),
  );
  if (!lost) return [];
  return [fieldForbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
}

function validateGateChange(spec: PodSpec, old: PodSpec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map((gate) => gate.name));
  return (spec.schedulingGates ?? []).flatMap((gate, index) => {
    if (before.has(gate.name)) return [];
    const detail = "only deletion is allowed, but found new scheduling gate '" + gate.name + "'";
    return [fieldForbidden(indexPath("spec.schedulingGates", index), detail)];
  });
}

/** `spec` with everything that may change taken from `old`: what then differs may not. */
function withoutAllowedChanges(spec: PodSpec, old: PodSpec): PodSpec {
  const images = (containers: Container[] | undefined, before: Container[] | undefined) =>
    (containers ?? []).map((container, index) => ({ ...container, image: before?.[index]?.image }));
  const gated = (old.schedulingGates?.length ?? 0) > 0;
  const graceFixed = (old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1;
  return {
    ...spec,
    containers: images(spec.containers, old.containers),
    initContainers: images(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
    schedulingGates: old.schedulingGates,
    ...(graceFixed ? { terminationGracePeriodSeconds: old.terminationGracePeriodSeconds } : {}),
    ...(gated ? { nodeSelector: old.nodeSelector } : {}),
  };
}

function validateSelectorChange(spec: PodSpec, old: PodSpec): FieldError[] {
  const changed = Object.entries(old.nodeSelector ?? {}).some(([key, value]) => spec.nodeSelector?.[key] !== value);
  if (!changed || (old.schedulingGates?.length ?? 0) === 0) return [];
  return [
    fieldInvalid(
      "spec.nodeSelector",
      spec.nodeSelector ?? {},
      "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
    ),
  ];
}

function differences(spec: PodSpec, old: PodSpec): string {
  const names = new Set([...Object.keys(old), ...Object.keys(spec)]) as Set<keyof PodSpec>;
  return [...names]
    .filter((name) => !sameValue(spec[name], old[name], name))
    .map((name) => `- ${name}: ${JSON.stringify(old[name])}\n+ ${name}: ${JSON.stringify(spec[name])}`)
    .join("\n");
}

/** `knownSpec`: nothing is wrong with the new spec as such. */
export function validatePodUpdate(pod: Pod, old: Pod, knownSpec = false): FieldError[] {
  const spec = pod.spec ?? NO_SPEC;
  const before = old.spec ?? NO_SPEC;
  const errors = knownSpec ? [] : validatePodSpec(spec, "spec");
  for (const list of ["containers", "initContainers"] as const) {
    const path = childPath("spec", list);
    if ((spec[list]?.length ?? 0) !== (before[list]?.length ?? 0)) {
      return [...errors, fieldForbidden(path, "pod updates may not add or remove containers")];
    }
    errors.push(...validateImages(spec[list] ?? [], path));
  }
  errors.push(
    ...validateDeadline(spec.activeDeadlineSeconds, before.activeDeadlineSeconds),
    ...validateTolerationChange(spec, before),
    ...validateGateChange(spec, before),
    ...validateSelectorChange(spec, before),
  );
  const munged = withoutAllowedChanges(spec, before);
  if (!sameValue(munged, before)) {
    const detail = `pod updates may not change fields other than ${UPDATABLE}\n${differences(munged, before)}`;
    errors.push(fieldForbidden("spec", detail));
  }
  return errors;
}

/** Ephemeral containers are only ever added. */
export function validateEphemeralContainersUpdate(pod: Pod, old: Pod): FieldError[] {
  const spec = pod.spec ?? NO_SPEC;
  const errors = validatePodSpec(spec, "spec");
  for (const [index, before] of (old.spec?.ephemeralContainers ?? []).entries()) {
    const after = spec.ephemeralContainers?.find((container) => container.name === before.name);
    const at = "spec.ephemeralContainers";
    if (!after) {
      const detail = `existing ephemeral containers "${before.name}" may not be removed\n`;
      errors.push(fieldForbidden(at, detail));
    } else if (!sameValue(after, before)) {
      const detail = `existing ephemeral containers "${before.name}" may not be changed\n`;
      errors.push(fieldForbidden(indexPath(at, index), detail));
    }
  }
  return errors;
}

/** Containers that have ended, and that neither they nor their pod have run again, stay ended. */
function validateTransitions(statuses: ContainerStatus[], old: ContainerStatus[], { spec }: Pod): FieldError[] {
  return old.flatMap((before, index) => {
    const ended = before.state?.terminated;
    const after = statuses.find((status) => status.name === before.name);
    if (!ended || !after || after.state?.terminated) return [];
    const container = spec?.containers.find(({ name }) => name === before.name);
    if (container && containerShouldRestart(container, spec?.restartPolicy, ended.exitCode)) return [];
    const at = childPath(indexPath("status.containerStatuses", index), "state");
    return [fieldForbidden(at, "may not be transitioned to non-terminated state")];
  });
}

export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const status = pod.status ?? {};
  const errors = validateImmutableField(status.qosClass, old.status?.qosClass, "status.qosClass");
  if (status.nominatedNodeName && status.nominatedNodeName !== old.status?.nominatedNodeName) {
    errors.push(...validateWith(validateDns1123Subdomain, status.nominatedNodeName, "status.nominatedNodeName"));
  }
  if ((status.observedGeneration ?? 0) < 0) {
    const detail = "must be a non-negative integer";
    errors.push(fieldInvalid("status.observedGeneration", status.observedGeneration, detail));
  }
  errors.push(...validateClaimStatuses(pod));
  errors.push(...validateTransitions(status.containerStatuses ?? [], old.status?.containerStatuses ?? [], old));
  return errors;
}
