// Watches over what a running pod takes of the disk, where the pod says how much it may: its emptyDirs by their sizeLimit, its
// containers' own files and logs by their limit of ephemeral-storage. A pod that takes more is evicted, as upstream does it.
import type { TimerHandle } from "@coxswain/env";
import type { NodeContext } from "./node-context.ts";
import { limitsStorage, planStorageExcess } from "./plan-storage-excess.ts";
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
    const { pod } = this.#state;
    const bounded = pod.spec?.volumes?.some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined) ?? false;
    const limited = bounded || limitsStorage(pod);
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

  /** Of the containers; undefined: none. */
  async #excess(): Promise<string | undefined> {
    const { cri, logs, volumes } = this.#context;
    const { pod, sandbox, containers } = this.#state;
    if (sandbox === undefined || !limitsStorage(pod)) return undefined;
    const layers = new Map<string, number>();
    for (const one of await cri.containerStats(sandbox.id)) layers.set(one.containerId, one.writableLayerBytes);
    const used = new Map<string, number>();
    for (const { name, run } of containers) {
      const own = run === undefined ? 0 : (layers.get(run.id) ?? 0);
      used.set(name, own + ((await logs?.usage(pod, name)) ?? 0));
    }
    return planStorageExcess(pod, used, (await volumes?.usage(pod)) ?? 0);
  }

  async #look(): Promise<void> {
    const { volumes, logger } = this.#context;
    const { pod } = this.#state;
    try {
      const message = (await volumes?.excess(pod)) ?? (await this.#excess());
      if (this.#closed) return;
      if (message !== undefined) this.#exceeded(message);
    } catch (error) {
      logger.info({ pod: pod.metadata?.name, err: error }, "what a pod takes of the disk could not be told");
    }
    this.#again();
  }
}
