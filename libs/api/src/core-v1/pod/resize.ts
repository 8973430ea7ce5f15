// pods/resize: what a pod's containers ask for and may use changes while they run (KEP 1287). Guarantees: CPU and memory of
// containers and sidecars change, and nothing else of the pod does; its class of service stays.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldForbidden, fieldInvalid, indexPath } from "@coxswain/apimachinery";
import { setGeneration } from "../../define-kind.ts";
import { sameValue } from "../../same-value.ts";
import type { Container, Pod, PodSpec, ResourceRequirements } from "../../types.gen.ts";
import { validatePodSpec } from "../pod-spec/validation.ts";
import { qosClass } from "./qos.ts";
import { MIRROR_ANNOTATION } from "./annotations.ts";

const NO_SPEC: PodSpec = { containers: [] };
const RESIZABLE = ["cpu", "memory"] as const;
const ONLY = "only cpu and memory resources are mutable";
const LISTS = ["containers", "initContainers"] as const;

/** Takes over resources and resize policies of containers by name, and nothing else; what else differs is found by validation. */
export function preparePodResize(pod: Pod, old: Pod): void {
  const merged = (after: readonly Container[] = [], before: readonly Container[] = []): Container[] =>
    after.map((container) => {
      const known = before.find(({ name }) => name === container.name);
      if (known === undefined) return container;
      return { ...known, resources: container.resources, resizePolicy: container.resizePolicy };
    });
  const spec: PodSpec = { ...(old.spec ?? NO_SPEC), containers: merged(pod.spec?.containers, old.spec?.containers) };
  const init = merged(pod.spec?.initContainers, old.spec?.initContainers);
  if (init.length > 0) spec.initContainers = init;
  else delete spec.initContainers;
  if (pod.spec?.resources !== undefined) spec.resources = pod.spec.resources;
  pod.spec = spec;
  pod.status = old.status;
  pod.metadata = { ...old.metadata, resourceVersion: pod.metadata?.resourceVersion };
  setGeneration(pod, old, !sameValue(pod.spec, old.spec));
}

/** Errors in upstream's order and words. */
export function validatePodResize(pod: Pod, old: Pod): FieldError[] {
  const [spec, before] = [pod.spec ?? NO_SPEC, old.spec ?? NO_SPEC];
  const errors = validatePodSpec(spec, "spec");
  if (old.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    return [...errors, fieldForbidden("[]", "static pods cannot be resized")];
  }
  if (before.os?.name === "windows") return [...errors, fieldForbidden("[]", "windows pods cannot be resized")];
  if ((old.status?.qosClass ?? qosClass(before)) !== qosClass(spec)) {
    // Upstream shows the class that the status tells, which is the old one.
    errors.push(
      fieldInvalid("spec", pod.status?.qosClass ?? "", "Pod QOS Class may not change as a result of resizing"),
    );
  }
  if (!nodeSupportsResize(old)) errors.push(fieldForbidden("spec", "Pod running on node without support for resize"));
  if (before.resources !== undefined || spec.resources !== undefined) {
    const gate = "InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled";
    errors.push(fieldForbidden("[]", `resize of pods with pod-level resources is forbidden when ${gate}`));
  }
  const moved = LISTS.flatMap((list) => validateOrder(spec[list] ?? [], before[list] ?? [], list));
  if (moved.length > 0) return [...errors, ...moved];
  return [
    ...errors,
    ...LISTS.flatMap((list) => validateRemovals(spec[list] ?? [], before[list] ?? [], childPath("spec", list))),
    ...validateMains(spec.containers, before.containers),
    ...validateInits(spec.initContainers ?? [], before.initContainers ?? []),
  ];
}

/** A node that can resize tells what its running containers have. */
function nodeSupportsResize(pod: Pod): boolean {
  const running = pod.status?.containerStatuses?.find(({ state }) => state?.running !== undefined);
  return running === undefined || running.resources !== undefined;
}

function validateOrder(after: readonly Container[], before: readonly Container[], list: string): FieldError[] {
  const path = childPath("spec", list);
  if (after.length !== before.length) return [fieldForbidden(path, `${list} may not be added or removed on resize`)];
  return before.flatMap(({ name }, index) =>
    after[index]?.name === name
      ? []
      : [
          fieldForbidden(
            childPath(indexPath(path, index), "name"),
            `${list} may not be renamed or reordered on resize`,
          ),
        ],
  );
}

function validateRemovals(after: readonly Container[], before: readonly Container[], path: string): FieldError[] {
  return before.flatMap(({ resources: old = {} }, index) => {
    const now = after[index]?.resources ?? {};
    const at = childPath(indexPath(path, index), "resources");
    return (["requests", "limits"] as const).flatMap((kind) => {
      const lost = Object.keys(old[kind] ?? {}).some((name) => now[kind]?.[name] === undefined);
      return lost ? [fieldForbidden(childPath(at, kind), `resource ${kind} cannot be removed`)] : [];
    });
  });
}

/** `container` with CPU and memory as they were: what then differs may not. */
function withoutResize(container: Container, old: Container | undefined): Container {
  const restored = (
    list: Record<string, string> | undefined,
    before: Record<string, string> | undefined,
  ): Record<string, string> | undefined => {
    const result: Record<string, string> = { ...list };
    for (const name of RESIZABLE) {
      delete result[name];
      if (before?.[name] !== undefined) result[name] = before[name];
    }
    return Object.keys(result).length === 0 ? before : result;
  };
  const resources: ResourceRequirements = { ...container.resources };
  for (const kind of ["requests", "limits"] as const) {
    const list = restored(resources[kind], old?.resources?.[kind]);
    if (list === undefined) delete resources[kind];
    else resources[kind] = list;
  }
  return { ...container, resources };
}

const unchanged = (container: Container, old: Container | undefined): boolean =>
  sameValue(withoutResize(container, old), { ...old, resources: old?.resources ?? {} });

function validateMains(after: readonly Container[], before: readonly Container[]): FieldError[] {
  return after.every((container, index) => unchanged(container, before[index])) ? [] : [fieldForbidden("spec", ONLY)];
}

function validateInits(after: readonly Container[], before: readonly Container[]): FieldError[] {
  return after.flatMap((container, index) => {
    const old = before[index];
    const at = "spec";
    if (container.restartPolicy === "Always") {
      const detail = "only cpu and memory resources for sidecar containers are mutable";
      return unchanged(container, old) ? [] : [fieldForbidden(at, detail)];
    }
    const same = sameValue(container, old);
    return same ? [] : [fieldForbidden(at, "resources for non-sidecar init containers are immutable")];
  });
}
