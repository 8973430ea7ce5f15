// What a Job's podFailurePolicy says of a failed pod. Pure. https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
import type { Job, Pod, PodFailurePolicyRule } from "@coxswain/api";

export interface Verdict {
  readonly action: "Count" | "FailIndex" | "FailJob" | "Ignore";
  /** Why, as the Job's condition tells it; undefined where no rule fits. */
  readonly message?: string;
}

function exitCodeMatch({ onExitCodes }: PodFailurePolicyRule, pod: Pod): { name: string; code: number } | undefined {
  if (onExitCodes === undefined || onExitCodes === null) return undefined;
  const { containerName, operator, values } = onExitCodes;
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  for (const { name, state } of statuses) {
    const code = state?.terminated?.exitCode;
    if (code === undefined || code === 0 || (containerName !== undefined && containerName !== name)) continue;
    if (values.includes(code) === (operator === "In")) return { name, code };
  }
  return undefined;
}

function conditionMatch({ onPodConditions }: PodFailurePolicyRule, pod: Pod): { type: string } | undefined {
  return (onPodConditions ?? []).find(({ type, status }) =>
    pod.status?.conditions?.some((condition) => condition.type === type && condition.status === status),
  );
}

/** The first rule that fits decides. */
export function judgeFailure(job: Job, pod: Pod): Verdict {
  const named = `${pod.metadata?.namespace ?? ""}/${pod.metadata?.name ?? ""}`;
  for (const [at, rule] of (job.spec?.podFailurePolicy?.rules ?? []).entries()) {
    const action = rule.action as Verdict["action"];
    const exit = exitCodeMatch(rule, pod);
    if (exit !== undefined) {
      const message = `Container ${exit.name} for pod ${named} failed with exit code ${exit.code} matching ${action} rule at index ${at}`;
      return { action, message };
    }
    const condition = conditionMatch(rule, pod);
    if (condition !== undefined) {
      return { action, message: `Pod ${named} has condition ${condition.type} matching ${action} rule at index ${at}` };
    }
  }
  return { action: "Count" };
}
