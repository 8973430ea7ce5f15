// Does a pod take more of the node's disk than its limits of ephemeral-storage allow? Pure.
import type { Container, Pod } from "@coxswain/api";
import { parseQuantity, quantityOf, type Quantity } from "@coxswain/apimachinery";
import { allContainers } from "../volumes/plan-volumes.ts";
import { podResources } from "./admission.ts";

const EPHEMERAL_STORAGE = "ephemeral-storage";

const limitOf = ({ resources }: Container): Quantity | undefined => {
  const limit = resources?.limits?.[EPHEMERAL_STORAGE];
  return limit === undefined ? undefined : parseQuantity(limit);
};

/** Whether anything bounds what the pod takes. */
export function limitsStorage(pod: Pod): boolean {
  return allContainers(pod).some((container) => limitOf(container) !== undefined);
}

/**
 * What is wrong, in upstream's words; undefined: nothing. `used`: bytes of each container's root and logs, by name;
 * `volumes`: bytes of the pod's volumes on the node's disk, which count for the pod as a whole.
 */
export function planStorageExcess(pod: Pod, used: ReadonlyMap<string, number>, volumes: number): string | undefined {
  const total = podResources(pod, "limits")[EPHEMERAL_STORAGE];
  let bytes = volumes;
  for (const one of used.values()) bytes += one;
  if (total !== undefined && bytes > total) {
    const format = allContainers(pod)
      .map(limitOf)
      .find((limit) => limit !== undefined)?.format;
    const limit = quantityOf(total, format).toString();
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${limit}. `;
  }
  for (const container of allContainers(pod)) {
    const limit = limitOf(container);
    if (limit === undefined || (used.get(container.name) ?? 0) <= limit.value()) continue;
    return `Container ${container.name} exceeded its local ephemeral storage limit "${limit.toString()}". `;
  }
  return undefined;
}
