// VolumeBinding: places pods where their volumes are or can be, and has the volumes of claims that waited for their first consumer
// bound or made before the pod is bound. Guarantees: what is decided for one pod is taken for all others at once; a pod is not
// bound before all its claims are. https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
import { annotated, SELECTED_NODE, volumeBoundTo } from "@coxswain/api/core-v1/persistent-volume/binding";
import { objectKey } from "@coxswain/apimachinery";
import { isAbort } from "@coxswain/env";
import type { CycleState, Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import type { ClusterVolumes } from "../snapshot/cluster-volumes.ts";
import { bindingState, planNodeVolumes, type NodeVolumes } from "./plan-volumes.ts";
import { CLAIM_EVENTS, hasClaims, podClaims, type PodClaims } from "./pod-claims.ts";

const NAME = "VolumeBinding";
export interface VolumeBindingArgs {
  /** How long a pod waits for the volumes of its claims; 600 where unset. */
  readonly bindTimeoutSeconds?: number;
}

interface VolumeState {
  readonly claims: PodClaims;
  readonly byNode: Map<string, NodeVolumes>;
}

const unresolvable = (...reasons: string[]): Rejection => ({ code: "UnschedulableAndUnresolvable", reasons });

function stateOf(cycle: CycleState): VolumeState | undefined {
  return cycle.state.get(NAME) as VolumeState | undefined;
}

function planOf(cycle: CycleState, node: string): NodeVolumes | undefined {
  return stateOf(cycle)?.byNode.get(node);
}

const hasWork = (plan: NodeVolumes | undefined): plan is NodeVolumes =>
  plan !== undefined && plan.bind.length + plan.provision.length > 0;

/** What the objects look like once the plan has come true as far as the scheduler writes it. */
function assume(plan: NodeVolumes, node: string, { claims, volumes }: ClusterVolumes): void {
  for (const { volume, claim } of plan.bind) {
    volumes.assume(volume.metadata?.name ?? "", volumeBoundTo(volume, claim));
  }
  for (const claim of plan.provision) claims.assume(objectKey(claim), annotated(claim, { [SELECTED_NODE]: node }));
}

function restore(plan: NodeVolumes, { claims, volumes }: ClusterVolumes): void {
  for (const { volume } of plan.bind) volumes.restore(volume.metadata?.name ?? "");
  for (const claim of plan.provision) claims.restore(objectKey(claim));
}

/** Rejects with the api-server's error where an object has changed meanwhile. */
async function write(plan: NodeVolumes, node: string, all: ClusterVolumes): Promise<void> {
  const { writer, volumes, claims } = all;
  for (const { volume, claim } of plan.bind) {
    const bound = volumeBoundTo(volume, claim);
    if (bound !== volume) volumes.assume(volume.metadata?.name ?? "", await writer.writeVolume(bound));
  }
  for (const claim of plan.provision) {
    if (claim.metadata?.annotations?.[SELECTED_NODE] === node) continue;
    const stored = await writer.writeClaim(annotated(claim, { [SELECTED_NODE]: node }));
    claims.assume(objectKey(claim), stored);
  }
}

async function bindAll(
  cycle: CycleState,
  node: string,
  plan: NodeVolumes,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { volumes, nodes } = cycle.snapshot;
  await write(plan, node, volumes);
  const deadline = volumes.writer.deadline(timeoutMs, signal);
  for (;;) {
    const object = nodes[cycle.snapshot.rowOf(node)];
    if (object === undefined) throw new Error(`node ${JSON.stringify(node)} not found`);
    const state = bindingState(plan, object, volumes);
    if (state instanceof Error) throw state;
    if (state === "bound") return;
    try {
      await volumes.changed(deadline);
    } catch (error) {
      if (signal.aborted || !isAbort(error)) throw error;
      throw new Error("context deadline exceeded", { cause: error });
    }
  }
}

export function createVolumeBinding(args: VolumeBindingArgs = {}): Plugin {
  const timeoutMs = (args.bindTimeoutSeconds ?? 600) * 1000;
  return {
    name: NAME,
    ignoresPods: true,
    preFilter(cycle): PreFilterOutcome {
      const { pod } = cycle.info;
      if (!hasClaims(pod)) return { kind: "skip" };
      const claims = podClaims(pod, cycle.snapshot.volumes);
      if (typeof claims === "string") return { kind: "reject", rejection: unresolvable(claims) };
      if (claims.immediate.length > 0) {
        return { kind: "reject", rejection: unresolvable("pod has unbound immediate PersistentVolumeClaims") };
      }
      const state: VolumeState = { claims, byNode: new Map() };
      cycle.state.set(NAME, state);
      return { kind: "success" };
    },
    filter(cycle, column, from, to) {
      const { snapshot } = cycle;
      const { claims, byNode } = stateOf(cycle)!;
      for (let row = from; row < to; row++) {
        if (!column.open(row)) continue;
        const plan = planNodeVolumes(claims, snapshot.nodes[row]!, snapshot.volumes);
        if (plan.reasons.length > 0) column.reject(row, unresolvable(...plan.reasons));
        else byNode.set(snapshot.names[row]!, plan);
      }
    },
    reserve(cycle, node) {
      const plan = planOf(cycle, node);
      if (hasWork(plan)) assume(plan, node, cycle.snapshot.volumes);
      return undefined;
    },
    unreserve(cycle, node) {
      const plan = planOf(cycle, node);
      if (hasWork(plan)) restore(plan, cycle.snapshot.volumes);
    },
    preBindPreFlight: (cycle, node) => (hasWork(planOf(cycle, node)) ? undefined : "skip"),
    async preBind(cycle, node, signal) {
      const plan = planOf(cycle, node);
      if (!hasWork(plan)) return undefined;
      try {
        await bindAll(cycle, node, plan, { timeoutMs, signal });
        return undefined;
      } catch (error) {
        if (isAbort(error)) throw error;
        const why = error instanceof Error ? error.message : String(error);
        return { code: "Error", reasons: [`binding volumes: ${why}`] };
      }
    },
    events: () => [
      ...CLAIM_EVENTS,
      { resource: "StorageClass", actions: ["Add", "Update"] },
      { resource: "Node", actions: ["Add", "UpdateNodeLabel", "UpdateNodeTaint"] },
      { resource: "CSINode", actions: ["Add", "Update"] },
      { resource: "CSIDriver", actions: ["Update"] },
      { resource: "CSIStorageCapacity", actions: ["Add", "Update"] },
    ],
  };
}

export const volumeBinding = createVolumeBinding();
