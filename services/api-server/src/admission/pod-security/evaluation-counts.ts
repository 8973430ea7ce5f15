// Counts how often pods were judged by the Pod Security Standards, under upstream's names and labels.
// https://kubernetes.io/docs/concepts/security/pod-security-admission/#metrics
import type { Metrics } from "@coxswain/component-base";
import type { AdmissionAttributes } from "../../pipeline/extension.ts";
import type { LevelVersion } from "./policy.ts";

const LABELS = ["decision", "policy_level", "policy_version", "mode", "request_operation", "resource", "subresource"];
/** The minor of the newest version that this server knows. */
const NEWEST = 35;

export type EvaluationMode = "enforce" | "audit" | "warn";
export type CountEvaluation = (
  decision: "allow" | "deny",
  level: LevelVersion,
  mode: EvaluationMode,
  attributes: AdmissionAttributes,
) => void;

/** Nothing at all is asked for in any version. */
function versionOf({ level, minor }: LevelVersion): string {
  if (minor === "latest" || level === "privileged") return "latest";
  return minor > NEWEST ? "future" : `v1.${minor}`;
}

export function createEvaluationCounts(metrics: Metrics): CountEvaluation {
  const total = metrics.counter(
    "pod_security_evaluations_total",
    "Judgements of pods by their namespaces' levels.",
    LABELS,
  );
  const kept = new Map<string, { inc(): void }>();
  return (decision, level, mode, { operation, kind, subresource }) => {
    const version = versionOf(level);
    const resource = kind.group === "" && kind.resource === "pods" ? "pod" : "controller";
    const key = `${decision} ${level.level} ${version} ${mode} ${operation} ${resource} ${subresource}`;
    let found = kept.get(key);
    if (found === undefined) {
      found = total.of({
        decision,
        policy_level: level.level,
        policy_version: version,
        mode,
        request_operation: operation.toLowerCase(),
        resource,
        subresource,
      });
      kept.set(key, found);
    }
    found.inc();
  };
}
