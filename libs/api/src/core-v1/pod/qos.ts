// The quality of service class of a pod, from the cpu and memory its containers ask for.
import { parseQuantity } from "@coxswain/apimachinery";
import type { PodSpec, ResourceRequirements } from "../../types.gen.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

const RESOURCES = ["cpu", "memory"] as const;

function isPositive(text: string | undefined): boolean {
  return text !== undefined && parseQuantity(text).compare(parseQuantity("0")) > 0;
}

/** Guaranteed: limits for both, and requests that equal them. BestEffort: neither. Burstable: all else. */
export function qosClass(spec: PodSpec): QosClass {
  const wholePod = Object.keys(spec.resources?.limits ?? spec.resources?.requests ?? {}).length > 0;
  const all: ResourceRequirements[] = wholePod
    ? [spec.resources ?? {}]
    : [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((container) => container.resources ?? {});
  const asks = all.some((r) =>
    RESOURCES.some((name) => isPositive(r.requests?.[name]) || isPositive(r.limits?.[name])),
  );
  if (!asks) return "BestEffort";
  const guaranteed = all.every((r) =>
    RESOURCES.every((name) => {
      const limit = r.limits?.[name];
      const request = r.requests?.[name] ?? limit;
      return isPositive(limit) && parseQuantity(String(request)).compare(parseQuantity(String(limit))) === 0;
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
