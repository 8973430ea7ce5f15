// Notices what becomes of one pod's containers and sandboxes in the runtime, by events and by lists. Guarantees: each end of a
// life is noted once, with what the container left to say; what is missing from two lists in a row is gone.
import type { ContainerEvent, ContainerStatus as CriContainerStatus } from "../cri/contract.ts";
import { endedRun } from "./container-end.ts";
import type { NodeContext } from "./node-context.ts";
import { UNKNOWN_STATUS, type RuntimePod } from "./plan-adoption.ts";
import { terminationGrace } from "./plan-sync.ts";
import type { ContainerRecord, PodState } from "./pod-state.ts";

export interface LifeWatchEvents {
  /** A life ends; what it left to say is still being read. */
  ending(id: string): void;
  /** A life is over, and its record says how. */
  over(record: ContainerRecord): void;
  /** The record says more of an end that was noted before. */
  told(): void;
  /** The sandbox is gone. */
  sandboxLost(): void;
  /** There are sandboxes that nobody knows. */
  strangers(): void;
}

export class LifeWatch {
  readonly #context: NodeContext;
  readonly #state: PodState;
  readonly #on: LifeWatchEvents;
  /** Lives whose end is being noted. */
  readonly #ending = new Set<string>();
  /** Lives and sandboxes that the runtime's latest list did not have. */
  #missing: ReadonlySet<string> = new Set();
  #closed = false;

  constructor(context: NodeContext, state: PodState, on: LifeWatchEvents) {
    this.#context = context;
    this.#state = state;
    this.#on = on;
  }

  close(): void {
    this.#closed = true;
  }

  onEvent(event: ContainerEvent): void {
    const record = this.#state.containers.find((one) => one.run?.id === event.containerId);
    if (record === undefined || event.type !== "CONTAINER_STOPPED_EVENT") return;
    this.#context.cri.containerStatus(event.containerId).then(
      (status) => this.ended(record, status),
      (error: unknown) => {
        const pod = this.#state.pod.metadata?.name;
        this.#context.logger.warn({ pod, err: error }, "a container's end is not known");
      },
    );
  }

  /** What a list of all that the runtime has says of this pod. `busy`: something is being made in it right now. */
  observe({ sandboxes, containers }: RuntimePod, busy: boolean): void {
    const missing = new Set<string>();
    this.#observeContainers(containers, missing);
    const { sandbox, stoppedSandboxes } = this.#state;
    if (sandbox !== undefined && !sandboxes.some((one) => one.id === sandbox.id && one.state === "SANDBOX_READY")) {
      missing.add(sandbox.id);
      if (this.#missing.has(sandbox.id) && terminationGrace(this.#state) === undefined && !sandbox.lost) {
        sandbox.lost = true;
        this.#on.sandboxLost();
      }
    }
    const known = new Set([sandbox?.id, ...stoppedSandboxes]);
    for (const { id } of sandboxes) {
      if (known.has(id)) continue;
      missing.add(id);
      if (this.#missing.has(id) && !busy) this.#on.strangers();
    }
    this.#missing = missing;
  }

  #observeContainers(containers: readonly CriContainerStatus[], missing: Set<string>): void {
    const byId = new Map(containers.map((one) => [one.id, one]));
    for (const record of this.#state.containers) {
      const { run } = record;
      const status = byId.get(run?.id ?? "");
      if (run?.state === "exited") this.#noteReason(record, status);
      if (run?.state !== "running") continue;
      if (status === undefined) missing.add(run.id);
      else this.ended(record, status);
      if (status === undefined && this.#missing.has(run.id)) this.#vanished(record);
    }
  }

  /** Notes the end of a life, once, with what the container had to say; nothing where it has not ended. */
  ended(record: ContainerRecord, status: CriContainerStatus): void {
    if (record.run?.id !== status.id || record.run.state === "exited" || this.#ending.has(status.id)) return;
    if (status.state !== "CONTAINER_EXITED" && status.state !== "CONTAINER_UNKNOWN") return;
    this.#ending.add(status.id);
    this.#on.ending(status.id);
    void this.#noteEnd(record, status);
  }

  async #noteEnd(record: ContainerRecord, status: CriContainerStatus): Promise<void> {
    const run = await endedRun({ context: this.#context, state: this.#state, record }, status);
    this.#ending.delete(status.id);
    if (run === undefined || record.run?.id !== run.id || this.#closed) return;
    record.run = run;
    this.#over(record);
  }

  #over(record: ContainerRecord): void {
    Object.assign(record, { stoppingUntilMs: undefined, started: false, ready: false });
    this.#on.over(record);
  }

  #vanished(record: ContainerRecord): void {
    if (record.run === undefined || this.#ending.has(record.run.id)) return;
    record.run = { ...record.run, state: "exited", finishedAtMs: this.#context.env.clock.now(), ...UNKNOWN_STATUS };
    this.#over(record);
  }

  /** A runtime may learn a moment later that it was for lack of memory. */
  #noteReason(record: ContainerRecord, status: CriContainerStatus | undefined): void {
    if (record.run === undefined || status?.reason !== "OOMKilled" || record.run.reason === status.reason) return;
    record.run = { ...record.run, reason: status.reason };
    this.#on.told();
  }
}
