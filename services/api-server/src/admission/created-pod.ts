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
export function resizedPod({ operation, kind, object, subresource }: AdmissionAttributes): CreatedPod | undefined {
  const resizes = kind.group === "" && kind.resource === "pods" && subresource === "resize";
  return resizes && operation === "UPDATE" ? withSpec(object as Pod) : undefined;
}

/** Undefined where the request gives a pod no ephemeral containers. */
export function debuggedPod({ operation, kind, object, subresource }: AdmissionAttributes): CreatedPod | undefined {
  const debugs = kind.group === "" && kind.resource === "pods" && subresource === "ephemeralcontainers";
  return debugs && operation === "UPDATE" ? withSpec(object as Pod) : undefined;
}

function withSpec(pod: Pod): CreatedPod {
  pod.spec ??= { containers: [] };
  pod.spec.containers ??= [];
  return pod as CreatedPod;
}
