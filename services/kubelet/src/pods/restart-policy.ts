// Whether a container of a pod runs again once it has ended. Pure.
import type { Container, Pod } from "@coxswain/api";
import { containerShouldRestart } from "@coxswain/api/core-v1/pod/restart";
import type { ContainerKind, MustRestart } from "./pod-state.ts";

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
  return containerShouldRestart(spec, pod.spec?.restartPolicy, exitCode);
}
