// The pod of a create request, as admission sees it: before validation. Plugins may rely on a spec with a list of containers
// and on nothing else; whatever is missing in it is validation's to report.
import type { Pod, PodSpec } from "@coxswain/api";
import type { AdmissionAttributes } from "../pipeline/extension.ts";

export type CreatedPod = Pod & { spec: PodSpec };

/** Undefined where the request creates no pod. */
export function createdPod({ operation, kind, object, subresource }: AdmissionAttributes): CreatedPod | undefined {
  if (operation !== "CREATE" || kind.group !== "" || kind.resource !== "pods" || subresource !== "") return undefined;
  return withSpec(object as Pod);
}

/** Undefined where the request does not change what a pod's containers ask for. */
export function resizedPod({ operation, kind, object, subresource }: AdmissionAttributes): CreatedPod | undefined {
  const resizes = kind.group === "" && kind.resource === "pods" && subresource === "resize";
  return resizes && operation === "UPDATE" ? withSpec(object as Pod) : undefined;
}

function withSpec(pod: Pod): CreatedPod {
  pod.spec ??= { containers: [] };
  pod.spec.containers ??= [];
  return pod as CreatedPod;
}
