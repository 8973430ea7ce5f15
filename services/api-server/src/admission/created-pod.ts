// The pod of a request that writes it, as admission sees it: before validation. Plugins may rely on a spec with a list of containers
// and on nothing else; whatever is missing in it is validation's to report.
import type { Pod, PodSpec } from "@coxswain/api";
import type { AdmissionAttributes } from "../pipeline/extension.ts";

export type CreatedPod = Pod & { spec: PodSpec };

/** Undefined where the request creates no pod. */
export function createdPod(attributes: AdmissionAttributes): CreatedPod | undefined {
  return attributes.operation === "CREATE" ? writtenPod(attributes) : undefined;
}

/** Undefined where the request neither creates nor updates a pod itself. */
export function writtenPod({ operation, kind, object, subresource }: AdmissionAttributes): CreatedPod | undefined {
  const writes = operation === "CREATE" || operation === "UPDATE";
  if (!writes || kind.group !== "" || kind.resource !== "pods" || subresource !== "") return undefined;
  return withSpec(object as Pod);
}

/** Undefined where the request does not change what a pod's containers ask for. */
export function resizedPod(attributes: AdmissionAttributes): CreatedPod | undefined {
  return podUpdatedBy("resize", attributes);
}

/** Undefined where the request gives a pod no ephemeral containers. */
export function debuggedPod(attributes: AdmissionAttributes): CreatedPod | undefined {
  return podUpdatedBy("ephemeralcontainers", attributes);
}

function podUpdatedBy(wanted: string, attributes: AdmissionAttributes): CreatedPod | undefined {
  const { operation, kind, object, subresource } = attributes;
  const isPod = kind.group === "" && kind.resource === "pods";
  return isPod && subresource === wanted && operation === "UPDATE" ? withSpec(object as Pod) : undefined;
}

function withSpec(pod: Pod): CreatedPod {
  pod.spec ??= { containers: [] };
  pod.spec.containers ??= [];
  return pod as CreatedPod;
}
