// RuntimeClass: a pod of a class gets what its runtime costs, and goes where its runtime is.
import type { PodSpec, RuntimeClass, Toleration } from "@coxswain/api";
import { deepEqual, newForbidden, type KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";
import { createdPod } from "./created-pod.ts";

const RUNTIME_CLASSES = { group: "node.k8s.io", resource: "runtimeclasses" };

/** `read` asks storage, for a class that the cache may not have seen yet. */
export function createRuntimeClass(
  source: ObjectSource,
  read: (name: string) => Promise<KubeObject | undefined>,
): AdmissionPlugin {
  async function admitAs(attributes: AdmissionAttributes, spec: PodSpec, name: string): Promise<void> {
    const refuse = (why: string): never => {
      throw newForbidden(attributes.kind, attributes.name, `pod rejected: ${why}`);
    };
    const found = source.get(RUNTIME_CLASSES, "", name)?.object ?? (await read(name));
    if (found === undefined) {
      refuse(`RuntimeClass "${name}" not found`);
      return;
    }
    const runtimeClass = found as RuntimeClass;
    setOverhead(spec, runtimeClass, refuse);
    setScheduling(spec, runtimeClass, refuse);
  }

  return {
    name: "RuntimeClass",
    admit(attributes): void | Promise<void> {
      const pod = createdPod(attributes);
      const name = pod?.spec.runtimeClassName ?? "";
      if (pod === undefined || name === "") return;
      return admitAs(attributes, pod.spec, name);
    },
    validate(attributes) {
      const spec = createdPod(attributes)?.spec;
      if (spec === undefined || spec.runtimeClassName || Object.keys(spec.overhead ?? {}).length === 0) return;
      const message = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
      throw newForbidden(attributes.kind, attributes.name, message);
    },
  };
}

function setOverhead(spec: PodSpec, { overhead }: RuntimeClass, refuse: (why: string) => never): void {
  if (overhead?.podFixed === undefined) return;
  if (spec.overhead !== undefined && !deepEqual(spec.overhead, overhead.podFixed)) {
    refuse("Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  }
  spec.overhead = { ...overhead.podFixed };
}

function setScheduling(spec: PodSpec, { scheduling }: RuntimeClass, refuse: (why: string) => never): void {
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) {
      refuse(
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    }
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const added = (scheduling?.tolerations ?? []).filter(
    (toleration: Toleration) => !spec.tolerations?.some((own) => deepEqual(own, toleration)),
  );
  if (added.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...added];
}
