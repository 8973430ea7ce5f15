// Priority: how important a pod is, from its PriorityClass or the cluster's default one, and that there is one default.
import type { Pod, PodSpec, PriorityClass } from "@coxswain/api";
import { SYSTEM_PRIORITY_CLASSES } from "@coxswain/api/scheduling-v1/priority-class/priority-class";
import { newForbidden, type KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";
import { type CreatedPod, writtenPod } from "./created-pod.ts";

const PRIORITY_CLASSES = { group: "scheduling.k8s.io", resource: "priorityclasses" };

/** `read` asks storage, for a class that the cache may not have seen yet. */
export function createPriority(
  source: ObjectSource,
  read: (name: string) => Promise<KubeObject | undefined>,
): AdmissionPlugin {
  const all = (): PriorityClass[] => source.list(PRIORITY_CLASSES).map(({ object }) => object as PriorityClass);
  let seen: ReturnType<ObjectSource["list"]> = [];
  let byDefault: PriorityClass | undefined;
  /** Every pod asks, and classes hardly ever change. */
  const defaultClass = (): PriorityClass | undefined => {
    const present = source.list(PRIORITY_CLASSES);
    if (present.length !== seen.length || present.some((each, at) => each !== seen[at])) {
      seen = present;
      byDefault = defaultOf(all());
    }
    return byDefault;
  };
  const named = async (name: string): Promise<PriorityClass | undefined> => {
    const cached = source.get(PRIORITY_CLASSES, "", name)?.object ?? (await read(name));
    return (
      (cached as PriorityClass | undefined) ?? SYSTEM_PRIORITY_CLASSES.find((each) => each.metadata?.name === name)
    );
  };
  return {
    name: "Priority",
    admit(attributes): void | Promise<void> {
      const pod = writtenPod(attributes);
      if (pod === undefined) return;
      if (attributes.operation === "UPDATE") return keepPriority(pod, attributes.old);
      const name = pod.spec.priorityClassName ?? "";
      if (name !== "") return named(name).then((found) => setNamed(pod.spec, found, name, attributes));
      setPriority(pod.spec, defaultClass(), attributes);
    },
    validate({ kind, operation, object, name, subresource }) {
      const ours = kind.group === PRIORITY_CLASSES.group && kind.resource === PRIORITY_CLASSES.resource;
      if (!ours || subresource !== "" || operation === "DELETE") return;
      if ((object as PriorityClass).globalDefault !== true) return;
      const other = all().find((each) => each.globalDefault === true && each.metadata?.name !== object?.metadata?.name);
      if (other === undefined) return;
      const message = `PriorityClass ${other.metadata?.name} is already marked as default. Only one default can exist`;
      throw newForbidden(kind, name, message);
    },
  };
}

/** A manifest says neither, and what was decided at creation may not change. */
function keepPriority({ spec }: CreatedPod, old: Pod | undefined): void {
  const { priority, preemptionPolicy } = old?.spec ?? {};
  if (spec.priority === undefined && priority !== undefined) spec.priority = priority;
  if (spec.preemptionPolicy === undefined && preemptionPolicy !== undefined) spec.preemptionPolicy = preemptionPolicy;
}

/** Two defaults are possible for a moment: the lowest value wins. */
function defaultOf(classes: readonly PriorityClass[]): PriorityClass | undefined {
  return classes.filter((each) => each.globalDefault === true).toSorted((a, b) => a.value - b.value)[0];
}

function setNamed(
  spec: PodSpec,
  found: PriorityClass | undefined,
  name: string,
  attributes: AdmissionAttributes,
): void {
  if (found === undefined) {
    throw newForbidden(attributes.kind, attributes.name, `no PriorityClass with name ${name} was found`);
  }
  setPriority(spec, found, attributes);
}

function setPriority(spec: PodSpec, found: PriorityClass | undefined, { kind, name }: AdmissionAttributes): void {
  const value = found?.value ?? 0;
  if (found !== undefined) spec.priorityClassName = found.metadata?.name ?? "";
  if (spec.priority !== undefined && spec.priority !== value) {
    throw newForbidden(
      kind,
      name,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    );
  }
  const policy = found?.preemptionPolicy ?? "PreemptLowerPriority";
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw newForbidden(
      kind,
      name,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
    );
  }
  spec.priority = value;
  spec.preemptionPolicy = policy;
}
