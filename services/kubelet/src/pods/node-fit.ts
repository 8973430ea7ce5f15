// May a pod be on this very node: by its operating system, its node selector and affinity, the node's taints, and the ports
// of the node that it wants. Pure; in upstream's words. What the scheduler saw may have changed, and pods may come without it.
import type { Container, Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration } from "@coxswain/api";
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

const INTEGER = /^[+-]?\d+$/;

function requirementHolds({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  if (operator === "Exists") return value !== undefined;
  if (operator === "DoesNotExist") return value === undefined;
  if (operator === "NotIn") return value === undefined || !values.includes(value);
  if (value === undefined) return false;
  if (operator === "In") return values.includes(value);
  const [bound = ""] = values;
  if (!INTEGER.test(value) || !INTEGER.test(bound)) return false;
  return operator === "Gt" ? BigInt(value) > BigInt(bound) : operator === "Lt" && BigInt(value) < BigInt(bound);
}

/** An empty term matches nothing. */
function termHolds({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, { metadata }: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  return (
    matchExpressions.every((one) => requirementHolds(one, metadata?.labels?.[one.key])) &&
    matchFields.every((one) => one.key === "metadata.name" && requirementHolds(one, metadata?.name))
  );
}

function affinityHolds({ spec }: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  if (Object.entries(spec?.nodeSelector ?? {}).some(([key, value]) => labels[key] !== value)) return false;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => termHolds(term, node));
}

function tolerates({ key = "", operator = "Equal", value = "", effect = "" }: Toleration, taint: Taint): boolean {
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  return operator === "Exists" || (operator === "Equal" && value === (taint.value ?? ""));
}

/** Undefined where the pod may be on the node, as far as the node says; what it says may be out of date. */
export function nodeRefusal(pod: Pod, node: Node): Refusal | undefined {
  if (!affinityHolds(pod, node)) return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  const tolerations = pod.spec?.tolerations ?? [];
  const taints = (node.spec?.taints ?? []).filter(({ effect }) => effect === "NoExecute");
  const bad = taints.some((taint) => !tolerations.some((one) => tolerates(one, taint)));
  return bad ? predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate") : undefined;
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
