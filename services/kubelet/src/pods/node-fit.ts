// May a pod be on this very node: by its operating system, its node selector and affinity, the node's taints, and the ports
// of the node that it wants. Pure; in upstream's words. What the scheduler saw may have changed, and pods may come without it.
import type { Container, Node, Pod } from "@coxswain/api";
import { podMatchesNode, untolerated } from "@coxswain/api/core-v1/node-match";
import type { Refusal } from "./admission.ts";

const OS_LABEL = "kubernetes.io/os";
const OS = "linux";

/** Undefined where the pod is for nodes like this one. */
export function osRefusal({ metadata, spec }: Pod): Refusal | undefined {
  const label = metadata?.labels?.[OS_LABEL];
  if (label !== undefined && label !== OS) {
    const message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
    return { reason: "PodOSSelectorNodeLabelDoesNotMatch", message };
  }
  if (spec?.os === undefined || spec.os.name === OS) return undefined;
  return { reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS" };
}

function predicate(name: string, why: string): Refusal {
  return { reason: name, message: `Predicate ${name} failed: ${why}` };
}

/** Undefined where the pod may be on the node, as far as the node says; what it says may be out of date. */
export function nodeRefusal(pod: Pod, node: Node): Refusal | undefined {
  if (!podMatchesNode(pod, node)) return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  const bad = untolerated(node.spec?.taints ?? [], pod.spec?.tolerations ?? [], ["NoExecute"]);
  return bad !== undefined
    ? predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    : undefined;
}

interface HostPort {
  readonly protocol: string;
  readonly port: number;
  readonly ip: string;
}

const ANY = "0.0.0.0";

function hostPorts({ spec }: Pod): HostPort[] {
  const sidecars = (spec?.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
  const all: Container[] = [...sidecars, ...(spec?.containers ?? [])];
  return all
    .flatMap(({ ports = [] }) => ports)
    .filter(({ hostPort = 0 }) => hostPort > 0)
    .map(({ protocol = "TCP", hostPort = 0, hostIP = "" }) => ({ protocol, port: hostPort, ip: hostIP || ANY }));
}

/** Undefined where the node's ports that the pod wants are nobody's. */
export function portRefusal(pod: Pod, others: readonly Pod[]): Refusal | undefined {
  const wanted = hostPorts(pod);
  if (wanted.length === 0) return undefined;
  const conflicts = (a: HostPort, b: HostPort): boolean =>
    a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === ANY || b.ip === ANY);
  const taken = others.flatMap(hostPorts).some((one) => wanted.some((other) => conflicts(one, other)));
  return taken ? predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports") : undefined;
}
