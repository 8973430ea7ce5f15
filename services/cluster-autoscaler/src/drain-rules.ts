// Which pods hold their node, which are moved, and which do not matter: pure. The rules are upstream's.
import { labelSelectorAsSelector } from "@coxswain/apimachinery";
import type { Pod, PodDisruptionBudget } from "@coxswain/api";
import type { AutoscalerOptions } from "./options.ts";
import { controllerOf, isDaemonPod, isMirrorPod, isOver, podKey } from "./pod-facts.ts";

const SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_LOCAL_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const KNOWN_CONTROLLERS = new Set(["ReplicationController", "ReplicaSet", "Job", "StatefulSet", "DaemonSet"]);

export type DrainOptions = Pick<
  AutoscalerOptions,
  | "skipNodesWithSystemPods"
  | "skipNodesWithLocalStorage"
  | "skipNodesWithCustomControllerPods"
  | "expendablePodsPriorityCutoff"
>;

export interface DrainPlan {
  /** Pods to be evicted, which must find room elsewhere. */
  readonly move: readonly Pod[];
  /** Why the node must stay; undefined where it may go. */
  readonly blocked: { readonly pod: Pod; readonly reason: string } | undefined;
}

/** What is to happen to the pods of a node that is to go. */
export function planDrain(
  pods: readonly Pod[],
  budgets: readonly PodDisruptionBudget[],
  options: DrainOptions,
  nowMs: number,
): DrainPlan {
  const move = pods.filter((pod) => mustMove(pod, nowMs));
  for (const pod of move) {
    const reason = holds(pod, budgets, options);
    if (reason !== undefined) return { move, blocked: { pod, reason } };
  }
  const over = overBudget(move, budgets);
  return { move, blocked: over === undefined ? undefined : { pod: over, reason: "NotEnoughPdb" } };
}

function mustMove(pod: Pod, nowMs: number): boolean {
  if (isMirrorPod(pod) || isDaemonPod(pod) || isOver(pod)) return false;
  const deadline = Date.parse(pod.metadata?.deletionTimestamp ?? "");
  // A pod whose time is over is on its way out by itself.
  return !(deadline <= nowMs);
}

function holds(pod: Pod, budgets: readonly PodDisruptionBudget[], options: DrainOptions): string | undefined {
  const annotations = pod.metadata?.annotations ?? {};
  const safe = annotations[SAFE_TO_EVICT];
  if (safe === "true") return undefined;
  if (safe === "false") return "NotSafeToEvictAnnotation";
  const controller = controllerOf(pod);
  if (controller === undefined) return "NotReplicated";
  if (options.skipNodesWithCustomControllerPods && !KNOWN_CONTROLLERS.has(controller.kind)) return "NotReplicated";
  const covered = budgets.some((budget) => covers(budget, pod));
  if (options.skipNodesWithSystemPods && pod.metadata?.namespace === "kube-system" && !covered)
    return "UnmovableKubeSystemPod";
  return options.skipNodesWithLocalStorage && hasLocalStorage(pod) ? "LocalStorageRequested" : undefined;
}

function hasLocalStorage({ metadata, spec }: Pod): boolean {
  const harmless = (metadata?.annotations?.[SAFE_LOCAL_VOLUMES] ?? "").split(",");
  return (spec?.volumes ?? []).some(
    ({ name, emptyDir, hostPath }) =>
      !harmless.includes(name) &&
      (hostPath !== undefined || (emptyDir !== undefined && emptyDir !== null && emptyDir.medium !== "Memory")),
  );
}

export function covers(budget: PodDisruptionBudget, pod: Pod): boolean {
  if (budget.metadata?.namespace !== pod.metadata?.namespace) return false;
  return labelSelectorAsSelector(budget.spec?.selector).matches(pod.metadata?.labels ?? {});
}

/** The first pod whose budgets allow no eviction once those before it are evicted. */
function overBudget(move: readonly Pod[], budgets: readonly PodDisruptionBudget[]): Pod | undefined {
  const left = new Map(budgets.map((budget) => [budget, budget.status?.disruptionsAllowed ?? 0]));
  for (const pod of move) {
    for (const [budget, allowed] of left) {
      if (!covers(budget, pod)) continue;
      if (allowed < 1) return pod;
      left.set(budget, allowed - 1);
    }
  }
  return undefined;
}

export const describeBlocked = ({ pod, reason }: NonNullable<DrainPlan["blocked"]>): string =>
  `${podKey(pod)}: ${reason}`;
