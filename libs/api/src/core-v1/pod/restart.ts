// Whether a container that has ended runs again: by its own rules, else by its own policy, else by its pod's. Pure.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#individual-container-restart-policy-and-rules
import type { Container, ContainerRestartRule, PodSpec } from "../../types.gen.ts";

function matches({ exitCodes }: ContainerRestartRule, exitCode: number): boolean {
  const named = exitCodes?.values?.includes(exitCode) ?? false;
  if (exitCodes?.operator === "In") return named;
  return exitCodes?.operator === "NotIn" && !named;
}

export function containerShouldRestart(
  container: Pick<Container, "restartPolicy" | "restartPolicyRules">,
  podPolicy: PodSpec["restartPolicy"],
  exitCode: number,
): boolean {
  // Rules go with a policy of the container's own.
  if (container.restartPolicy !== undefined) {
    const rule = container.restartPolicyRules?.find((one) => matches(one, exitCode));
    if (rule?.action === "Restart") return true;
  }
  const policy = container.restartPolicy ?? podPolicy ?? "Always";
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}
