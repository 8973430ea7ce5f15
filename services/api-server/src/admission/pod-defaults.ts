// DefaultTolerationSeconds and Priority: how long a pod stays on a failing node, and how important it is.
import type { PodSpec, Toleration } from "@coxswain/api";
import { newForbidden } from "@coxswain/apimachinery";
import type { AdmissionPlugin } from "../pipeline/extension.ts";
import { createdPod } from "./created-pod.ts";

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";
const TOLERATION_SECONDS = 300;

/** PriorityClasses are no kind here yet: these two are what every cluster has. */
const BUILT_IN = new Map([
  ["system-cluster-critical", 2_000_000_000],
  ["system-node-critical", 2_000_001_000],
]);

function tolerates(toleration: Toleration, key: string): boolean {
  const effect = toleration.effect ?? "";
  return (toleration.key === key || !toleration.key) && (effect === "NoExecute" || effect === "");
}

export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  admit(attributes) {
    const pod = createdPod(attributes);
    if (pod === undefined) return;
    const before = pod.spec.tolerations ?? [];
    const added = [NOT_READY, UNREACHABLE]
      .filter((key) => !before.some((toleration) => tolerates(toleration, key)))
      .map((key) => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: TOLERATION_SECONDS }));
    if (added.length > 0) pod.spec.tolerations = [...before, ...added];
  },
};

export const priority: AdmissionPlugin = {
  name: "Priority",
  admit(attributes) {
    const pod = createdPod(attributes);
    if (pod === undefined) return;
    const spec: PodSpec = pod.spec;
    const { kind, name } = attributes;
    const className = spec.priorityClassName ?? "";
    const value = className === "" ? 0 : BUILT_IN.get(className);
    if (value === undefined) throw newForbidden(kind, name, `no PriorityClass with name ${className} was found`);
    if (spec.priority !== undefined && spec.priority !== value) {
      throw newForbidden(
        kind,
        name,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
      );
    }
    spec.priority = value;
    spec.preemptionPolicy ??= "PreemptLowerPriority";
  },
};
