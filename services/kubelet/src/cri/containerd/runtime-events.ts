// What happens to a runtime's containers, told as it happens, by runtimes that have GetContainerEvents. Guarantees: whenever
// the stream of events begins (anew), what may have been missed is made up from a list, so that nobody else needs to list.
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import { CriError, type ContainerEvent, type ContainerState, type ContainerStatus } from "../contract.ts";
import type { CriChannel } from "./cri-channel.ts";

const REOPEN_MS = 1_000;

const EVENT_OF_STATE: Readonly<Record<ContainerState, ContainerEvent["type"]>> = {
  CONTAINER_CREATED: "CONTAINER_CREATED_EVENT",
  CONTAINER_RUNNING: "CONTAINER_STARTED_EVENT",
  CONTAINER_EXITED: "CONTAINER_STOPPED_EVENT",
  CONTAINER_UNKNOWN: "CONTAINER_STOPPED_EVENT",
};

/** What tells a listener that knew `before` of `now`. Pure; both by container id. */
export function planMissedEvents(
  before: ReadonlyMap<string, ContainerEvent>,
  now: readonly ContainerStatus[],
): ContainerEvent[] {
  const present = new Set(now.map(({ id }) => id));
  const gone = [...before.values()].filter(({ containerId }) => !present.has(containerId));
  const changed = now
    .map(({ id, sandboxId, state }) => ({ sandboxId, containerId: id, type: EVENT_OF_STATE[state] }))
    .filter((event) => before.get(event.containerId)?.type !== event.type);
  return [...gone.map((event) => ({ ...event, type: "CONTAINER_DELETED_EVENT" as const })), ...changed];
}

export interface RuntimeEventsDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly channel: CriChannel;
  readonly list: () => Promise<ContainerStatus[]>;
}

export class RuntimeEvents {
  readonly #deps: RuntimeEventsDeps;
  readonly #listeners = new Set<(event: ContainerEvent) => void>();
  /** The last event of each container that exists. */
  readonly #last = new Map<string, ContainerEvent>();
  #stop: AbortController | undefined;

  constructor(deps: RuntimeEventsDeps) {
    this.#deps = deps;
  }

  subscribe(listener: (event: ContainerEvent) => void): () => void {
    this.#listeners.add(listener);
    if (this.#stop === undefined) {
      this.#stop = new AbortController();
      void this.#run(this.#stop.signal);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.close();
    };
  }

  close(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#last.clear();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { env, logger } = this.#deps;
    while (!signal.aborted) {
      try {
        await this.#follow(signal);
      } catch (error) {
        if (!(error instanceof CriError)) throw error;
        logger.debug({ err: error }, "the runtime's events are interrupted");
      }
      await env.timers.sleep(REOPEN_MS, signal).catch((error: unknown) => {
        if (!isAbort(error)) throw error;
      });
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { channel, list } = this.#deps;
    const stream = channel.events(signal)[Symbol.asyncIterator]();
    // Asked for before listing: what happens from now on comes as an event.
    let next = stream.next();
    next.catch(() => undefined);
    for (const event of planMissedEvents(this.#last, await list())) this.#tell(event);
    for (let item = await next; item.done !== true; item = await next) {
      const { containerId, podSandboxStatus, containerEventType: type } = item.value;
      next = stream.next();
      this.#tell({ sandboxId: podSandboxStatus?.id ?? "", containerId, type });
    }
  }

  #tell(event: ContainerEvent): void {
    if (event.type === "CONTAINER_DELETED_EVENT") this.#last.delete(event.containerId);
    else this.#last.set(event.containerId, event);
    for (const listener of this.#listeners) listener(event);
  }
}
