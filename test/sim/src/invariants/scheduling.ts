// Invariants of scheduling: a pod is bound once, and no node is given more than it has.
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import type { Pod } from "@coxswain/api";
import { isFinished, type ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

export function podsAreBoundOnce(): Invariant {
  return {
    name: "bound-once",
    check({ key, ref, object, old }) {
      if (ref.resource !== "pods" || object === undefined || old === undefined) return OK;
      if (object.metadata?.uid !== old.metadata?.uid) return OK;
      const before = (old as Pod).spec?.nodeName ?? "";
      const after = (object as Pod).spec?.nodeName ?? "";
      return before === "" || before === after ? OK : [`${key} went from ${before} to ${after || "no node"}`];
    },
  };
}

interface Load {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly pods: number;
}

function loadOf(pods: readonly Pod[]): Load {
  let [cpuMillis, memoryBytes] = [0, 0];
  for (const container of pods.flatMap((pod) => pod.spec?.containers ?? [])) {
    const requests = container.resources?.requests ?? {};
    cpuMillis += parseCpuMillis(requests["cpu"] ?? "0");
    memoryBytes += parseBytes(requests["memory"] ?? "0");
  }
  return { cpuMillis, memoryBytes, pods: pods.length };
}

/** Undefined where the node holds what is bound to it, else what it was given. */
function overload(state: ClusterState, name: string): string | undefined {
  const allocatable = state.nodes.find((node) => node.metadata?.name === name)?.status?.allocatable;
  if (allocatable === undefined) return undefined;
  const { cpuMillis, memoryBytes, pods } = loadOf(
    state.pods.filter((pod) => pod.spec?.nodeName === name && !isFinished(pod)),
  );
  const fits =
    cpuMillis <= parseCpuMillis(allocatable["cpu"] ?? "0") &&
    memoryBytes <= parseBytes(allocatable["memory"] ?? "0") &&
    pods <= Number(allocatable["pods"] ?? 0);
  return fits ? undefined : `${name} was given ${pods} pods with ${cpuMillis} milli-CPU and ${memoryBytes} bytes`;
}

/** Checked at each binding. */
export function nodesAreNotOvercommitted(): Invariant {
  return {
    name: "no-overcommit",
    check({ ref, object, old }, state) {
      if (ref.resource !== "pods" || object === undefined) return OK;
      const nodeOf = (pod: Pod | undefined): string => pod?.spec?.nodeName ?? "";
      const node = nodeOf(object);
      if (node === "" || nodeOf(old) === node) return OK;
      const broken = overload(state, node);
      return broken === undefined ? OK : [broken];
    },
  };
}
