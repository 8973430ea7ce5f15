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
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type {
  Affinity,
  Container,
  ContainerStatus,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
  PodCondition,
  PodSpec,
  PodStatus,
  Volume,
} from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { looseIp, validateIp } from "../../validation/ip.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateClaimStatuses } from "../pod-spec/device-claims.ts";
import {
  MIRROR_ANNOTATION,
  validateAnnotatedFields,
  validateAnnotationChanges,
  validatePodAnnotations,
} from "./annotations.ts";
import { containerShouldRestart } from "./restart.ts";
import { validatePodSpec } from "../pod-spec/validation.ts";

const NO_SPEC: PodSpec = { containers: [] };
const MAX_INT32 = 2 ** 31 - 1;
const UPDATABLE =
  "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** What of the spec is right or wrong by the pod's own metadata: claims that are named after it, and what static pods may have. */
function validateMetadataUses({ metadata }: Pod, { volumes = [], resourceClaims = [] }: PodSpec): FieldError[] {
  const made = new Map(
    volumes.flatMap(({ name, ephemeral }) => (ephemeral && name ? [[name, `${metadata?.name ?? ""}-${name}`]] : [])),
  );
  const errors = made.size > 0 && metadata?.name ? validateMadeClaims(volumes, made) : [];
  if (resourceClaims.length > 0 && metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    errors.push(fieldForbidden("[]", "static pods do not support resource claims"));
  }
  return errors;
}

/** `made`: the claims that are made for the pod, by the names of their volumes. */
function validateMadeClaims(volumes: readonly Volume[], made: ReadonlyMap<string, string>): FieldError[] {
  const names = new Set(made.values());
  return volumes.flatMap(({ name, persistentVolumeClaim }, index) => {
    const at = indexPath("spec.volumes", index);
    const claim = made.get(name);
    const messages = claim === undefined ? [] : validateDns1123Subdomain(claim);
    const errors = messages.map((message) =>
      fieldInvalid(childPath(at, "name"), name, `PVC name ${JSON.stringify(claim)}: ${message}`),
    );
    if (persistentVolumeClaim && names.has(persistentVolumeClaim.claimName)) {
      const path = childPath(at, "persistentVolumeClaim", "claimName");
      const detail = "must not reference a PVC that gets created for an ephemeral volume";
      errors.push(fieldInvalid(path, persistentVolumeClaim.claimName, detail));
    }
    return errors;
  });
}

/** `knownSpec`: nothing is wrong with the spec as such. */
export function validatePod(pod: Pod, knownSpec = false): FieldError[] {
  const spec = pod.spec ?? NO_SPEC;
  const errors = [...validatePodAnnotations(pod), ...(knownSpec ? [] : validatePodSpec(spec, "spec"))];
  errors.push(...validatePodImages(spec), ...validateMetadataUses(pod, spec));
  if ((spec.ephemeralContainers?.length ?? 0) > 0) {
    errors.push(fieldForbidden("spec.ephemeralContainers", "cannot be set on create"));
  }
  if (spec.nodeName && (spec.schedulingGates?.length ?? 0) > 0) {
    errors.push(fieldForbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  return [...errors, ...validateAnnotatedFields({ metadata: pod.metadata, spec })];
}

function validateImages(containers: readonly Pick<Container, "image">[], path: string): FieldError[] {
  return containers.flatMap(({ image = "" }, index) => {
    const at = childPath(indexPath(path, index), "image");
    const errors = image === "" ? [fieldRequired(at, "")] : [];
    if (image.trim() !== image) errors.push(fieldInvalid(at, image, "must not have leading or trailing whitespace"));
    return errors;
  });
}

const CONTAINER_LISTS = ["containers", "initContainers", "ephemeralContainers"] as const;
type ContainerList = (typeof CONTAINER_LISTS)[number];

/** Templates may hold images with white space around them, as they always could; pods may not. */
function validatePodImages(spec: PodSpec, lists: readonly ContainerList[] = CONTAINER_LISTS): FieldError[] {
  return lists.flatMap((list) =>
    (spec[list] ?? []).flatMap(({ image = "" }, index) => {
      if (image.trim() === image) return [];
      return [fieldInvalid(`spec.${list}[${index}].image`, image, "must not have leading or trailing whitespace")];
    }),
  );
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
    return [fieldForbidden(childPath(indexPath("spec.schedulingGates", index), "name"), detail)];
  });
}

/** `affinity` with the nodes that `old` asks for: the rest of it may not change. */
function withOldNodes(affinity: Affinity | undefined, old: Affinity | undefined): Affinity | undefined {
  const { nodeAffinity: _, ...others } = affinity ?? {};
  if (old?.nodeAffinity !== undefined) return { ...others, nodeAffinity: old.nodeAffinity };
  return Object.keys(others).length === 0 ? old : others;
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
    ...(gated ? { nodeSelector: old.nodeSelector, affinity: withOldNodes(spec.affinity, old.affinity) } : {}),
  };
}

function validateSelectorChange(spec: PodSpec, old: PodSpec): FieldError[] {
  const changed = Object.entries(old.nodeSelector ?? {}).some(([key, value]) => spec.nodeSelector?.[key] !== value);
  if (!changed || (old.schedulingGates?.length ?? 0) === 0) return [];
  return [
    fieldInvalid(
      "spec.nodeSelector",
      spec.nodeSelector,
      "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
    ),
  ];
}

const hasOnlyAdditions = (
  after: readonly NodeSelectorRequirement[] | undefined,
  before: readonly NodeSelectorRequirement[] | undefined,
): boolean => (before ?? []).every((requirement, index) => sameValue(requirement, after?.[index]));

/** One that matched nothing matches nothing. */
function onlyAdds(after: NodeSelectorTerm | undefined, before: NodeSelectorTerm): boolean {
  const { matchExpressions = [], matchFields = [] } = before;
  const empty = matchExpressions.length + matchFields.length === 0;
  if (empty && (after?.matchExpressions?.length ?? 0) + (after?.matchFields?.length ?? 0) > 0) return false;
  return (
    hasOnlyAdditions(after?.matchExpressions, matchExpressions) && hasOnlyAdditions(after?.matchFields, matchFields)
  );
}

/** The nodes that a gated pod asks for become fewer, never others. */
function validateNodesChange(spec: PodSpec, old: PodSpec): FieldError[] {
  if ((old.schedulingGates?.length ?? 0) === 0) return [];
  const termsOf = ({ affinity }: PodSpec) =>
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const [after, before] = [termsOf(spec), termsOf(old)];
  if (before.length === 0) return [];
  const at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  if (after.length !== before.length) {
    return [
      fieldInvalid(
        at,
        after.length === 0 ? null : after,
        "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
      ),
    ];
  }
  return before.flatMap((term, index) =>
    onlyAdds(after[index], term)
      ? []
      : [fieldInvalid(indexPath(at, index), after[index], "only additions are allowed (no mutations or deletions)")],
  );
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
  const errors = [
    ...validateAnnotationChanges(pod, old),
    ...validatePodAnnotations(pod, old),
    ...(knownSpec ? [] : validatePodSpec(spec, "spec")),
    ...validateMetadataUses(pod, spec),
    ...validatePodImages(spec, ["ephemeralContainers"]),
  ];
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
    ...validateNodesChange(spec, before),
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
  if (old.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    return [fieldForbidden("[]", "static pods do not support ephemeral containers")];
  }
  const spec = pod.spec ?? NO_SPEC;
  const errors = [...validatePodSpec(spec, "spec"), ...validatePodImages(spec)];
  for (const before of old.spec?.ephemeralContainers ?? []) {
    const after = spec.ephemeralContainers?.find((container) => container.name === before.name);
    const at = "spec.ephemeralContainers";
    if (!after) {
      const detail = `existing ephemeral containers "${before.name}" may not be removed\n`;
      errors.push(fieldForbidden(at, detail));
    } else if (!sameValue(after, before)) {
      const detail = `existing ephemeral containers "${before.name}" may not be changed\n`;
      errors.push(fieldForbidden(at, detail));
    }
  }
  return errors;
}

const STATUS_LISTS = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] as const;
type StatusList = (typeof STATUS_LISTS)[number];

/** Containers that have ended, and that neither they nor their pod have run again, stay ended; ephemeral ones always do. */
function validateTransitions(status: PodStatus, { status: old, spec }: Pod, list: StatusList): FieldError[] {
  return (old?.[list] ?? []).flatMap((before, index) => {
    const ended = before.state?.terminated;
    const after = status[list]?.find(({ name }) => name === before.name);
    if (!ended || !after || after.state?.terminated) return [];
    const runs = { containerStatuses: spec?.containers, initContainerStatuses: spec?.initContainers };
    const containers = list === "ephemeralContainerStatuses" ? [] : runs[list];
    const container = containers?.find(({ name }) => name === before.name);
    if (container && containerShouldRestart(container, spec?.restartPolicy, ended.exitCode)) return [];
    const at = childPath(indexPath(childPath("status", list), index), "state");
    return [fieldForbidden(at, "may not be transitioned to non-terminated state")];
  });
}

const MAX_ID = 2 ** 31 - 1;

/** Who containers run as: numbers that Linux has, and nothing of Linux in pods of Windows. */
function validateUsers(statuses: readonly ContainerStatus[], os: string | undefined, path: string): FieldError[] {
  return statuses.flatMap(({ user }, index) => {
    const linux = user?.linux;
    const at = childPath(indexPath(path, index), "user", "linux");
    if (!linux) return [];
    if (os === "windows") return [fieldForbidden(at, "cannot be set for a windows pod")];
    const ids: [string, number][] = [
      [childPath(at, "uid"), linux.uid],
      [childPath(at, "gid"), linux.gid],
      ...(linux.supplementalGroups ?? []).map((id, place): [string, number] => [
        indexPath(childPath(at, "supplementalGroups"), place),
        id,
      ]),
    ];
    return ids.flatMap(([field, id]) =>
      id < 0 || id > MAX_ID ? [fieldInvalid(field, id, rangeMessage(0, MAX_ID))] : [],
    );
  });
}

const SYSTEM_CONDITIONS = new Set(["PodScheduled", "Ready", "Initialized"]);

function validateConditions(conditions: readonly PodCondition[]): FieldError[] {
  return conditions.flatMap(({ type, observedGeneration = 0 }, index) => {
    const at = indexPath("status.conditions", index);
    const errors =
      observedGeneration < 0
        ? [fieldInvalid(childPath(at, "observedGeneration"), observedGeneration, "must be a non-negative integer")]
        : [];
    // Upstream's own spelling.
    return SYSTEM_CONDITIONS.has(type)
      ? errors
      : [...errors, ...validateWith(validateQualifiedName, type, childPath(at, "Type"))];
  });
}

/** At most one address of each family, and valid ones; those that were there before may stay as they are. */
function validateAddresses(status: PodStatus, old: PodStatus, list: "hostIPs" | "podIPs"): FieldError[] {
  const ips = (status[list] ?? []).map(({ ip }) => ip);
  const known = new Set((old[list] ?? []).map(({ ip }) => ip));
  const path = childPath("status", list);
  const errors = ips.flatMap((ip, index) => (known.has(ip) ? [] : validateIp(ip, indexPath(path, index))));
  const families = new Set(ips.map((ip) => looseIp(ip)?.family));
  if (ips.length > 1 && (families.size < ips.length || families.has(undefined))) {
    errors.push(fieldInvalid(path, status[list], "may specify no more than one IP for each IP family"));
  }
  return errors;
}

function validateHostIp({ hostIP = "", hostIPs = [] }: PodStatus): FieldError[] {
  const [first] = hostIPs;
  if (first === undefined || first.ip === hostIP) return [];
  return [fieldInvalid("status.hostIPs[0].ip", first.ip, "must be equal to `hostIP`")];
}

function validateNomination(status: PodStatus, old: Pod): FieldError[] {
  const name = status.nominatedNodeName;
  if (!name || name === old.status?.nominatedNodeName) return [];
  const at = "status.nominatedNodeName";
  const errors = validateWith(validateDns1123Subdomain, name, at);
  if (old.spec?.nodeName) errors.push(fieldForbidden(at, "may not be set on pods that are already bound to a node"));
  return errors;
}

export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const status = pod.status ?? {};
  const before = old.status ?? {};
  const errors = [
    ...validateAnnotationChanges(pod, old),
    ...validatePodAnnotations(pod, old),
    ...validateConditions(status.conditions ?? []),
    ...validateNomination(status, old),
  ];
  if ((status.observedGeneration ?? 0) < 0) {
    const detail = "must be a non-negative integer";
    errors.push(fieldInvalid("status.observedGeneration", status.observedGeneration, detail));
  }
  return [
    ...errors,
    ...validateImmutableField(status.qosClass, before.qosClass, "status.qosClass"),
    ...STATUS_LISTS.flatMap((list) => validateTransitions(status, old, list)),
    ...STATUS_LISTS.flatMap((list) => validateUsers(status[list] ?? [], pod.spec?.os?.name, childPath("status", list))),
    ...validateClaimStatuses(pod),
    ...validateAddresses(status, before, "podIPs"),
    ...validateHostIp(status),
    ...validateAddresses(status, before, "hostIPs"),
  ];
}
