// Turns a pipeline's watch into an async iterable. A reader that falls far behind is dropped, as over a wire.
import { newServiceUnavailable, StatusError, type KubeObject, type Status } from "@coxswain/apimachinery";
import type { WatchEvent } from "@coxswain/client";
import type { PipelineWatchEvent, WatchSink } from "../pipeline/contract.ts";

const MAX_PENDING = 100_000;

export class WatchStream<T extends KubeObject> implements WatchSink {
  #pending: PipelineWatchEvent[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: StatusError | undefined;

  /** `aborted` ends it quietly, `broken` with ServiceUnavailable. */
  constructor(aborted: AbortSignal, broken: AbortSignal | undefined) {
    aborted.addEventListener("abort", () => this.#finish(undefined), { once: true });
    const lose = (): void => this.#finish(newServiceUnavailable("the connection was lost"));
    if (broken?.aborted) lose();
    broken?.addEventListener("abort", lose, { once: true });
  }

  send(events: readonly PipelineWatchEvent[]): boolean {
    if (this.#ended) return true;
    for (const event of events) this.#pending.push(event);
    this.#wake?.();
    return this.#pending.length < MAX_PENDING;
  }

  end(error: Status | undefined): void {
    this.#finish(error === undefined ? undefined : StatusError.fromStatus(error));
  }

  #finish(error: StatusError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async *events(): AsyncGenerator<WatchEvent<T>> {
    for (;;) {
      const events = this.#pending;
      this.#pending = [];
      for (const { type, object } of events) {
        yield { type, object: JSON.parse(object.json.toString()) as T };
      }
      if (this.#pending.length > 0) continue;
      if (this.#ended) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#error !== undefined) throw this.#error;
  }
}
