// What a simulated container or node uses: made up, deterministic, and to be set by annotations, so that autoscaling can be
// played without a program. Pure.
//
// On a pod, at any time:  simulation.coxswain.dev/cpu-usage: "250m"        shared by its containers in equal parts
//                         simulation.coxswain.dev/memory-usage: "web=1Gi,proxy=64Mi"   a figure for each container named
// On a Node the same two, without names, set what the whole node uses. Without them a container uses a tenth of the CPU and
// half of the memory that it requests, 1m and 8Mi at least, and a node what its pods use and a little more.
import type { Node, Pod } from "@coxswain/api";
import { parseQuantity, QuantityError } from "@coxswain/apimachinery";

export const CPU_USAGE_ANNOTATION = "simulation.coxswain.dev/cpu-usage";
export const MEMORY_USAGE_ANNOTATION = "simulation.coxswain.dev/memory-usage";

export interface SimulatedUsage {
  readonly cpuNanoCores: number;
  readonly memoryBytes: number;
}

/** What a node uses besides its pods. */
export const SIMULATED_SYSTEM: SimulatedUsage = { cpuNanoCores: 50_000_000, memoryBytes: 256 * 1024 * 1024 };
const LEAST: SimulatedUsage = { cpuNanoCores: 1_000_000, memoryBytes: 8 * 1024 * 1024 };
const CPU_SHARE = 0.1;
const MEMORY_SHARE = 0.5;

/** What is wrong with an annotation, with its path. */
export class SimulatedUsageError extends Error {
  override readonly name = "SimulatedUsageError";
}

type Annotations = Readonly<Record<string, string>> | undefined;

/** Billionths of a core, or bytes. */
function amountOf(annotation: string, text: string): number {
  const refuse = (why: string): never => {
    const value = JSON.stringify(text);
    throw new SimulatedUsageError(`metadata.annotations[${annotation}]: Invalid value: ${value}: ${why}`);
  };
  try {
    const quantity = parseQuantity(text);
    if (quantity.sign() < 0) refuse("must be greater than or equal to 0");
    return annotation === CPU_USAGE_ANNOTATION ? Number(quantity.nanos) : quantity.value();
  } catch (error) {
    if (error instanceof QuantityError) return refuse(error.message);
    throw error;
  }
}

/** What an annotation says of one of `names`; undefined where it says nothing. Throws SimulatedUsageError. */
function toldOf(
  annotation: string,
  annotations: Annotations,
  container: string,
  names: readonly string[],
): number | undefined {
  const text = annotations?.[annotation];
  if (text === undefined) return undefined;
  if (!text.includes("=")) {
    if (!names.includes(container)) return undefined;
    return Math.floor(amountOf(annotation, text) / names.length);
  }
  for (const part of text.split(",")) {
    const [name = "", amount = ""] = part.split("=").map((one) => one.trim());
    if (name === container) return amountOf(annotation, amount);
  }
  return undefined;
}

function request(pod: Pod, container: string, resource: "cpu" | "memory"): number {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const text = all.find((one) => one.name === container)?.resources?.requests?.[resource];
  if (text === undefined) return 0;
  const quantity = parseQuantity(text);
  return resource === "cpu" ? Number(quantity.nanos) : quantity.value();
}

/** What one container of a pod uses where nobody says anything. */
export function defaultUsage(pod: Pod | undefined, container: string): SimulatedUsage {
  if (pod === undefined) return LEAST;
  return {
    cpuNanoCores: Math.max(LEAST.cpuNanoCores, Math.floor(request(pod, container, "cpu") * CPU_SHARE)),
    memoryBytes: Math.max(LEAST.memoryBytes, Math.floor(request(pod, container, "memory") * MEMORY_SHARE)),
  };
}

/** What one container of a pod uses. Throws SimulatedUsageError for an annotation that cannot be read. */
export function simulatedUsage(pod: Pod, container: string): SimulatedUsage {
  const names = (pod.spec?.containers ?? []).map(({ name }) => name ?? "");
  const { annotations } = pod.metadata ?? {};
  const cpu = toldOf(CPU_USAGE_ANNOTATION, annotations, container, names);
  const memory = toldOf(MEMORY_USAGE_ANNOTATION, annotations, container, names);
  if (cpu !== undefined && memory !== undefined) return { cpuNanoCores: cpu, memoryBytes: memory };
  const { cpuNanoCores, memoryBytes } = defaultUsage(pod, container);
  return { cpuNanoCores: cpu ?? cpuNanoCores, memoryBytes: memory ?? memoryBytes };
}

/** What a node uses: `otherwise` where its annotations do not say. Throws SimulatedUsageError. */
export function simulatedNodeUsage(node: Node | undefined, otherwise: SimulatedUsage): SimulatedUsage {
  const { annotations } = node?.metadata ?? {};
  const of = (annotation: string): number | undefined => {
    const text = annotations?.[annotation];
    return text === undefined ? undefined : amountOf(annotation, text);
  };
  return {
    cpuNanoCores: of(CPU_USAGE_ANNOTATION) ?? otherwise.cpuNanoCores,
    memoryBytes: of(MEMORY_USAGE_ANNOTATION) ?? otherwise.memoryBytes,
  };
}
