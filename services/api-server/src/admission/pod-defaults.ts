// DefaultTolerationSeconds: how long a pod stays on a failing node.
import type { Toleration } from "@coxswain/api";
import type { AdmissionPlugin } from "../pipeline/extension.ts";
import { writtenPod } from "./created-pod.ts";

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";
const TOLERATION_SECONDS = 300;

function tolerates(toleration: Toleration, key: string): boolean {
  const effect = toleration.effect ?? "";
  return (toleration.key === key || !toleration.key) && (effect === "NoExecute" || effect === "");
}

export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  admit(attributes) {
    const pod = writtenPod(attributes);
    if (pod === undefined) return;
    const before = pod.spec.tolerations ?? [];
    const added = [NOT_READY, UNREACHABLE]
      .filter((key) => !before.some((toleration) => tolerates(toleration, key)))
      .map((key) => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: TOLERATION_SECONDS }));
    if (added.length > 0) pod.spec.tolerations = [...before, ...added];
  },
};
