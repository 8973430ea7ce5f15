// Keeps the contents of a running pod's volumes as new as their sources. What cannot be read now stays as it was.
import type { TimerHandle } from "@coxswain/env";
import { VolumeError } from "../volumes/contract.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodState } from "./pod-state.ts";

const RETRY_MS = 30_000;
/** After a change of the pod itself. */
const SOON_MS = 100;

export class VolumeRefresher {
  readonly #context: NodeContext;
  readonly #state: PodState;
  #timer: TimerHandle | undefined;
  #started = false;
  #closed = false;

  constructor(context: NodeContext, state: PodState) {
    this.#context = context;
    this.#state = state;
  }

  /** The pod's volumes are there. */
  start(): void {
    if (this.#started || this.#closed || this.#context.volumes === undefined) return;
    this.#started = true;
    this.#in(SOON_MS);
  }

  /** The pod has changed, and what its volumes say of it. */
  soon(): void {
    if (this.#started) this.#in(SOON_MS);
  }

  close(): void {
    this.#closed = true;
    this.#context.env.timers.clear(this.#timer);
  }

  #in(ms: number): void {
    const { timers } = this.#context.env;
    timers.clear(this.#timer);
    if (!this.#closed) this.#timer = timers.setTimeout(() => void this.#refresh(), ms);
  }

  async #refresh(): Promise<void> {
    const { volumes, events, logger } = this.#context;
    const { pod } = this.#state;
    let nextMs: number | undefined = RETRY_MS;
    try {
      nextMs = await volumes?.refresh(pod);
    } catch (error) {
      const messages = error instanceof VolumeError ? error.messages : [];
      for (const message of messages) events.pod(pod, "Warning", "FailedMount", message);
      logger.info({ pod: pod.metadata?.name, err: error }, "a pod's volumes could not be brought up to date yet");
    }
    if (nextMs !== undefined) this.#in(nextMs);
  }
}
