// Gives the containers of one pod what its spec asks for anew, while they run. Guarantees: what the node cannot give is told and
// tried again; the pod's own cgroup is never smaller than what its containers have.
import { type Container, type Pod, type ResourceRequirements, sameValue } from "@coxswain/api";
import { parseBytes } from "@coxswain/apimachinery";
import { amounts } from "./admission.ts";
import type { NodeContext } from "./node-context.ts";
import {
  memoryRefusal,
  planResize,
  resizeDetail,
  resizeRestarts,
  sameAllocation,
  wantedAllocation,
} from "./plan-resize.ts";
import { type ContainerRecord, isRunning, type PodState, takeSpec } from "./pod-state.ts";
import { containerResources, oomScoreAdj, podLimits } from "./qos-resources.ts";
import { makeCgroups } from "./sandbox-lifecycle.ts";

/** How often what the node could not give, or a container did not take, is tried again. */
const RETRY_MS = 30_000;

export class PodResizer {
  readonly #context: NodeContext;
  readonly #state: PodState;

  constructor(context: NodeContext, state: PodState) {
    this.#context = context;
    this.#state = state;
  }

  /** When to try again, whatever happens until then. */
  wakeAtMs(): number | undefined {
    const { pending, inProgress } = this.#state.resize;
    const waits = pending?.reason === "Deferred" || inProgress?.message !== undefined;
    return waits ? this.#context.env.clock.now() + RETRY_MS : undefined;
  }

  /** Grants what can be granted, and gives it to the containers. Never rejects for what a container does not take. */
  async sync(): Promise<void> {
    this.#grant();
    const { resize } = this.#state;
    if (resize.inProgress === undefined) return;
    try {
      await this.#give();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (resize.inProgress.message !== message) this.#tell("Warning", "ResizeError", "error", message);
      resize.inProgress = { message };
      return;
    }
    if (this.#open().length > 0) return;
    resize.inProgress = undefined;
    this.#tell("Normal", "ResizeCompleted", "completed");
  }

  #grant(): void {
    const state = this.#state;
    const wanted = wantedAllocation(state.wanted);
    if (sameAllocation(wanted, state.allocation)) {
      state.resize.pending = undefined;
      return;
    }
    const others = this.#context.occupants(state.wanted);
    const allocatable = amounts(this.#context.allocatable);
    const pending = planResize({ pod: state.wanted, others, allocatable });
    if (pending !== undefined) {
      const news = !sameValue(pending, state.resize.pending);
      state.resize.pending = pending;
      if (news) this.#tell("Warning", `Resize${pending.reason}`, pending.reason, pending.message);
      return;
    }
    Object.assign(state, { allocation: wanted, pod: state.wanted });
    takeSpec(state);
    Object.assign(state.resize, { pending: undefined, inProgress: {} });
    this.#tell("Normal", "ResizeStarted", "started");
  }

  /** Containers that run with something else than they are granted. */
  #open(): ContainerRecord[] {
    return this.#state.containers.filter(
      (record) =>
        (record.kind === "main" || record.kind === "sidecar") &&
        isRunning(record) &&
        !sameValue(record.applied ?? {}, record.spec.resources ?? {}),
    );
  }

  async #give(): Promise<void> {
    const state = this.#state;
    const input = { context: this.#context, state };
    const open = this.#open();
    // A try that failed has changed some containers and not the pod: what they run with counts, not what was granted before.
    const shrinks = lessMemory(podLimits(appliedPod(state)).memoryBytes, podLimits(state.pod).memoryBytes);
    await this.#checkMemory(open, shrinks);
    if (!shrinks) await makeCgroups(input);
    for (const record of open) await this.#giveOne(record);
    if (shrinks) await makeCgroups(input);
  }

  async #giveOne(record: ContainerRecord): Promise<void> {
    const { spec, applied = {}, run } = record;
    const wanted = spec.resources ?? {};
    if (run === undefined) return;
    if (resizeRestarts(spec, applied, wanted)) {
      record.mustRestart ??= { message: `Container ${record.name} resize requires restart`, always: true };
      return;
    }
    const { pod } = this.#state;
    const { cri, runtime } = this.#context;
    const capacity = runtime.linux?.memoryCapacityBytes;
    const score = capacity === undefined ? 0 : oomScoreAdj(pod, spec, capacity);
    await cri.updateContainerResources(run.id, containerResources(pod, spec), score);
    record.applied = wanted;
  }

  /** Refuses before anything changes: a bound of memory below what is in use would end the container. */
  async #checkMemory(open: readonly ContainerRecord[], podShrinks: boolean): Promise<void> {
    const { pod, sandbox } = this.#state;
    const smaller = open.filter(
      ({ spec, applied = {} }) =>
        !resizeRestarts(spec, applied, spec.resources ?? {}) &&
        lessMemory(memoryLimit(applied), memoryLimit(spec.resources ?? {})),
    );
    if (sandbox === undefined || (smaller.length === 0 && !podShrinks)) return;
    const stats = await this.#context.cri.containerStats(sandbox.id);
    const used = (id: string | undefined): number | undefined =>
      stats.find(({ containerId }) => containerId === id)?.memoryWorkingSetBytes;
    const bounds = smaller.map(({ name, spec, run }) => ({
      container: name,
      limit: memoryLimit(spec.resources ?? {}) ?? 0,
      used: used(run?.id),
    }));
    const sum = stats.reduce((bytes, { memoryWorkingSetBytes }) => bytes + memoryWorkingSetBytes, 0);
    const whole = { container: undefined, limit: podLimits(pod).memoryBytes ?? 0, used: sum };
    const refusal = memoryRefusal(podShrinks ? [whole, ...bounds] : bounds);
    if (refusal !== undefined) throw new Error(refusal);
  }

  #tell(type: "Normal" | "Warning", reason: string, what: string, error?: string): void {
    const { wanted } = this.#state;
    this.#context.events.pod(wanted, type, reason, `Pod resize ${what}: ${resizeDetail(wanted, error)}`);
  }
}

/** Bounds in bytes; undefined is none. */
const lessMemory = (before: number | undefined, after: number | undefined): boolean =>
  (after ?? Infinity) < (before ?? Infinity);

function memoryLimit({ limits }: ResourceRequirements): number | undefined {
  const limit = limits?.["memory"];
  return limit === undefined ? undefined : parseBytes(limit);
}

/** The pod as it runs: its running containers with the resources that they were given last. */
function appliedPod({ pod, containers }: PodState): Pod {
  const applied = new Map(containers.filter(isRunning).map(({ name, applied: given }) => [name, given]));
  const asGiven = (container: Container): Container => ({
    ...container,
    resources: applied.get(container.name) ?? container.resources,
  });
  const { spec } = pod;
  if (spec === undefined) return pod;
  const initContainers = spec.initContainers?.map(asGiven);
  return { ...pod, spec: { ...spec, containers: spec.containers.map(asGiven), initContainers } };
}
