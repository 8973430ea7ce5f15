// Whether a container that has ended runs again: by its own rules, else by its own policy, else by its pod's. Pure.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#individual-container-restart-policy-and-rules
import type { Container, ContainerRestartRule, Pod } from "@coxswain/api";
import type { ContainerKind, MustRestart } from "./pod-state.ts";

function matches({ exitCodes }: ContainerRestartRule, exitCode: number): boolean {
  const named = exitCodes?.values?.includes(exitCode) ?? false;
  if (exitCodes?.operator === "In") return named;
  return exitCodes?.operator === "NotIn" && !named;
}

interface Ended {
  readonly kind: ContainerKind;
  readonly spec: Container;
  readonly mustRestart?: MustRestart | undefined;
}

/** True where a container that ended like this is to run again. */
export function shouldRestart(pod: Pod, { kind, spec, mustRestart }: Ended, exitCode: number): boolean {
  if (kind === "sidecar" || mustRestart?.always === true) return true;
  // What has initialized the pod is done, whatever its policy.
  if (kind === "ephemeral" || (kind === "init" && exitCode === 0)) return false;
  // Rules go with a policy of the container's own.
  if (spec.restartPolicy !== undefined) {
    const rule = spec.restartPolicyRules?.find((one) => matches(one, exitCode));
    if (rule?.action === "Restart") return true;
  }
  const policy = spec.restartPolicy ?? pod.spec?.restartPolicy ?? "Always";
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}
