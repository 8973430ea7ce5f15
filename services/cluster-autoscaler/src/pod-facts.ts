// What the autoscaler asks of a pod: pure.
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import { occupyingPod, type Container, type OwnerReference, type Pod } from "@coxswain/api";
import { MIRROR_ANNOTATION } from "@coxswain/api/core-v1/pod/annotations";

export interface Requests {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

const ZERO: Requests = { cpuMillis: 0, memoryBytes: 0 };

export const podKey = ({ metadata }: Pod): string => `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;

type Quantities = Readonly<Record<string, string | number>> | undefined;

function amounts(quantities: Quantities): Requests {
  return {
    cpuMillis: parseCpuMillis(String(quantities?.["cpu"] ?? "0")),
    memoryBytes: parseBytes(String(quantities?.["memory"] ?? "0")),
  };
}

export const sum = (a: Requests, b: Requests): Requests => ({
  cpuMillis: a.cpuMillis + b.cpuMillis,
  memoryBytes: a.memoryBytes + b.memoryBytes,
});

const larger = (a: Requests, b: Requests): Requests => ({
  cpuMillis: Math.max(a.cpuMillis, b.cpuMillis),
  memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
});

const ofContainer = (container: Container): Requests => amounts(container.resources?.requests);

/** cpu and memory that a pod takes of its node: containers and sidecars, or the largest init container; pod-level requests; overhead. */
export function requestsOf(pod: Pod): Requests {
  const { spec } = occupyingPod(pod);
  let total = (spec?.containers ?? []).map(ofContainer).reduce(sum, ZERO);
  let sidecars = ZERO;
  let peak = ZERO;
  for (const container of spec?.initContainers ?? []) {
    if (container.restartPolicy === "Always") {
      sidecars = sum(sidecars, ofContainer(container));
      peak = larger(peak, sidecars);
    } else peak = larger(peak, sum(ofContainer(container), sidecars));
  }
  total = larger(sum(total, sidecars), peak);
  const whole = spec?.resources?.requests;
  const level = amounts(whole);
  if (whole?.["cpu"] !== undefined) total = { ...total, cpuMillis: level.cpuMillis };
  if (whole?.["memory"] !== undefined) total = { ...total, memoryBytes: level.memoryBytes };
  return sum(total, amounts(spec?.overhead));
}

export const controllerOf = ({ metadata }: Pod): OwnerReference | undefined =>
  metadata?.ownerReferences?.find((owner) => owner.controller === true);

export const isDaemonPod = (pod: Pod): boolean => controllerOf(pod)?.kind === "DaemonSet";
export const isMirrorPod = ({ metadata }: Pod): boolean => metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined;
export const isOver = ({ status }: Pod): boolean => status?.phase === "Succeeded" || status?.phase === "Failed";
