// Taints and tolerations. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
import type { Node, Pod, Taint, Toleration } from "@coxswain/api";

/** Whether one toleration covers one taint. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  const operator = toleration.operator || "Equal";
  if (operator === "Exists") return true;
  return operator === "Equal" && Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
}

/** The first taint with one of `effects` that no toleration covers. */
export function untolerated(
  taints: readonly Taint[],
  tolerations: readonly Toleration[],
  effects: readonly string[],
): Taint | undefined {
  return taints.find(
    (taint) => effects.includes(taint.effect) && !tolerations.some((toleration) => tolerates(toleration, taint)),
  );
}

/** The effects that keep a pod off a node. */
export const HARD_EFFECTS: readonly string[] = ["NoSchedule", "NoExecute"];

export function podTolerates(pod: Pod, node: Node): boolean {
  return untolerated(node.spec?.taints ?? [], pod.spec?.tolerations ?? [], HARD_EFFECTS) === undefined;
}
