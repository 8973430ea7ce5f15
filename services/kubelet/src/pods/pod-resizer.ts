// Gives the containers of one pod what its spec asks for anew, while they run. Guarantees: what the node cannot give is told and
// tried again; the pod's own cgroup is never smaller than what its containers have.
import { sameValue } from "@coxswain/api";
import { parseBytes } from "@coxswain/apimachinery";
import { amounts } from "./admission.ts";
import type { NodeContext } from "./node-context.ts";
import { planResize, resizeDetail, resizeRestarts, sameAllocation, wantedAllocation } from "./plan-resize.ts";
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
    const before = this.#state.pod;
    this.#grant();
    const { resize } = this.#state;
    if (resize.inProgress === undefined) return;
    try {
      await this.#give(before);
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

  async #give(before: PodState["pod"]): Promise<void> {
    const state = this.#state;
    const input = { context: this.#context, state };
    const shrinks = (podLimits(state.pod).memoryBytes ?? Infinity) < (podLimits(before).memoryBytes ?? Infinity);
    if (!shrinks) await makeCgroups(input);
    for (const record of this.#open()) await this.#giveOne(record);
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
    await this.#checkMemory(record, wanted.limits?.["memory"]);
    const { pod } = this.#state;
    const { cri, runtime } = this.#context;
    const capacity = runtime.linux?.memoryCapacityBytes;
    const score = capacity === undefined ? 0 : oomScoreAdj(pod, spec, capacity);
    await cri.updateContainerResources(run.id, containerResources(pod, spec), score);
    record.applied = wanted;
  }

  /** A bound below what is in use would end the container. */
  async #checkMemory(record: ContainerRecord, limit: string | undefined): Promise<void> {
    const { sandbox } = this.#state;
    if (limit === undefined || sandbox === undefined || record.applied?.limits?.["memory"] === limit) return;
    const stats = await this.#context.cri.containerStats(sandbox.id);
    const used = stats.find(({ containerId }) => containerId === record.run?.id)?.memoryWorkingSetBytes ?? 0;
    if (used <= parseBytes(limit)) return;
    throw new Error(
      `container ${record.name}: attempting to set memory limit ${parseBytes(limit)} below current usage ${used}`,
    );
  }

  #tell(type: "Normal" | "Warning", reason: string, what: string, error?: string): void {
    const { wanted } = this.#state;
    this.#context.events.pod(wanted, type, reason, `Pod resize ${what}: ${resizeDetail(wanted, error)}`);
  }
}
