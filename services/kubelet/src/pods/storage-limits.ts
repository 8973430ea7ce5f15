// Watches over what a running pod's emptyDirs take of the disk, where the pod says how much they may. A pod that takes more is
// evicted, as upstream does it.
import type { TimerHandle } from "@coxswain/env";
import type { NodeContext } from "./node-context.ts";
import type { PodState } from "./pod-state.ts";

/** Upstream's period of looks at local storage. */
const EVERY_MS = 10_000;

export class StorageLimits {
  readonly #context: NodeContext;
  readonly #state: PodState;
  readonly #exceeded: (message: string) => void;
  #timer: TimerHandle | undefined;
  #started = false;
  #closed = false;

  /** `exceeded` gets upstream's words. */
  constructor(context: NodeContext, state: PodState, exceeded: (message: string) => void) {
    this.#context = context;
    this.#state = state;
    this.#exceeded = exceeded;
  }

  /** The pod's volumes are there. */
  start(): void {
    const limited = this.#state.pod.spec?.volumes?.some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined) ?? false;
    if (this.#started || this.#closed || !limited || this.#context.volumes === undefined) return;
    this.#started = true;
    this.#again();
  }

  close(): void {
    this.#closed = true;
    this.#context.env.timers.clear(this.#timer);
  }

  #again(): void {
    if (!this.#closed) this.#timer = this.#context.env.timers.setTimeout(() => void this.#look(), EVERY_MS);
  }

  async #look(): Promise<void> {
    const { volumes, logger } = this.#context;
    const { pod } = this.#state;
    try {
      const message = await volumes?.excess(pod);
      if (this.#closed) return;
      if (message !== undefined) this.#exceeded(message);
    } catch (error) {
      logger.info({ pod: pod.metadata?.name, err: error }, "what a pod takes of the disk could not be told");
    }
    this.#again();
  }
}
