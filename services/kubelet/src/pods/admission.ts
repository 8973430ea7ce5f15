// May a pod that was bound to this node run here, beside those that are here? Pure. The scheduler has the first word; this
// is the node's own check, for pods that came without it or by a stale decision.
import type { Container, Node, Pod } from "@coxswain/api";
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import { nodeRefusal, osRefusal, portRefusal } from "./node-fit.ts";
import { planRuntimeAdmission } from "./runtime-admission.ts";

export type Amounts = Readonly<Record<string, number>>;

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

function amountOf(resource: string, value: string): number {
  return resource === "cpu" ? parseCpuMillis(value) : parseBytes(value);
}

export function amounts(list: Readonly<Record<string, string>>): Record<string, number> {
  return Object.fromEntries(Object.entries(list).map(([name, value]) => [name, amountOf(name, value)]));
}

function add(total: Record<string, number>, more: Amounts): void {
  for (const [name, value] of Object.entries(more)) total[name] = (total[name] ?? 0) + value;
}

function atLeast(total: Record<string, number>, other: Amounts): void {
  for (const [name, value] of Object.entries(other)) total[name] = Math.max(total[name] ?? 0, value);
}

/** What a pod asks for at most at any time of its life: sidecars stay, init containers come one after another. */
export function podRequests(pod: Pod): Record<string, number> {
  return podResources(pod, "requests");
}

/** As podRequests, or the same of limits: what no container bounds is not among them. */
export function podResources(pod: Pod, kind: "requests" | "limits"): Record<string, number> {
  const own = ({ resources }: Container): Record<string, number> => amounts(resources?.[kind] ?? {});
  const total: Record<string, number> = {};
  for (const container of pod.spec?.containers ?? []) add(total, own(container));
  const sidecars: Record<string, number> = {};
  const peak: Record<string, number> = {};
  for (const container of pod.spec?.initContainers ?? []) {
    if (container.restartPolicy === "Always") {
      add(sidecars, own(container));
      atLeast(peak, sidecars);
    } else {
      const now = { ...sidecars };
      add(now, own(container));
      atLeast(peak, now);
    }
  }
  add(total, sidecars);
  atLeast(total, peak);
  // What the pod asks for as a whole holds against what its containers do.
  Object.assign(total, amounts(pod.spec?.resources?.[kind] ?? {}));
  add(total, amounts(pod.spec?.overhead ?? {}));
  return total;
}

export interface AdmissionInput {
  readonly pod: Pod;
  /** Those that are admitted and not over. */
  readonly others: readonly Pod[];
  readonly allocatable: Amounts;
  /** As it is known; absent: it is not asked. */
  readonly node: Node | undefined;
  /** False where the runtime runs nothing real, and so can give anything. */
  readonly real: boolean;
}

/** Undefined where the pod may run; else the first reason, in upstream's order, why not. */
export function planAdmission({ pod, others, allocatable, node, real }: AdmissionInput): Refusal | undefined {
  return (
    (real ? planRuntimeAdmission(pod) : undefined) ??
    osRefusal(pod) ??
    resourceRefusal(pod, others, allocatable) ??
    (node === undefined ? undefined : nodeRefusal(pod, node)) ??
    portRefusal(pod, others)
  );
}

/** Reasons that come from what the Node says, which may be out of date. */
export function dependsOnNode({ reason }: Refusal): boolean {
  return reason === "NodeAffinity" || reason === "TaintToleration";
}

/** Resources that are nobody's on this node, but somebody's in the cluster. */
function isElsewhere(name: string, allocatable: Amounts): boolean {
  const own = !name.includes("/") || name.split("/")[0]?.endsWith("kubernetes.io") === true;
  return !own && allocatable[name] === undefined;
}

export function resourceRefusal(pod: Pod, others: readonly Pod[], allocatable: Amounts): Refusal | undefined {
  const used: Record<string, number> = {};
  for (const other of others) add(used, podRequests(other));
  const wanted = { ...podRequests(pod), pods: 1 };
  used["pods"] = others.length;
  for (const [name, requested] of Object.entries(wanted)) {
    const capacity = allocatable[name] ?? 0;
    const taken = used[name] ?? 0;
    if (requested === 0 || requested + taken <= capacity || isElsewhere(name, allocatable)) continue;
    const message = `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${taken}, capacity: ${capacity}`;
    return { reason: `OutOf${name}`, message };
  }
  return undefined;
}
