// A witness of watches: follows a resource as any client would, through api-servers that die, resuming from the last version
// that it saw. Guarantee to be checked: it hears every change once, in order.
import { isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Env } from "@coxswain/env";
import type { Change } from "./cluster-state.ts";

const RETRY_MS = 200;

export class WatchWitness {
  readonly #env: Env;
  readonly #client: ResourceClient;
  readonly #ref: ResourceRef;
  #from = "";
  #last = "";
  readonly #heard: string[] = [];
  readonly #committed: { rv: bigint; text: string }[] = [];

  constructor(env: Env, client: ResourceClient, ref: ResourceRef) {
    this.#env = env;
    this.#client = client;
    this.#ref = ref;
  }

  /** Takes in what was really committed. */
  observe({ ref, rv, object, old, key }: Change): void {
    if (ref.resource !== this.#ref.resource || ref.group !== this.#ref.group) return;
    const type = object === undefined ? "DELETED" : old === undefined ? "ADDED" : "MODIFIED";
    this.#committed.push({ rv, text: `${type} ${key.slice(key.lastIndexOf("/") + 1)} ${rv}` });
  }

  /** Never ends. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#last === "") {
          const list = await this.#client.list(this.#ref);
          this.#from = this.#last = list.metadata.resourceVersion;
        }
        await this.#watch(signal);
      } catch (error) {
        // Nothing here runs long enough to be compacted away: Expired would be a broken promise.
        if (isReason(error, "Expired", "Gone")) this.#heard.push(`expired at ${this.#last}`);
      }
      await this.#env.timers.sleep(RETRY_MS);
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const options = { resourceVersion: this.#last, allowBookmarks: true };
    for await (const { type, object } of this.#client.watch<KubeObject>(this.#ref, options, signal)) {
      const { name = "", resourceVersion = "" } = object.metadata ?? {};
      if (type !== "BOOKMARK") this.#heard.push(`${type} ${name} ${resourceVersion}`);
      this.#last = resourceVersion;
    }
  }

  /** Undefined where all that was committed until now has been heard as it should; else the first difference. */
  difference(): string | undefined {
    const from = BigInt(this.#from === "" ? 0 : this.#from);
    const wanted = this.#committed.filter(({ rv }) => rv > from).map(({ text }) => text);
    const at = wanted.findIndex((text, index) => this.#heard[index] !== text);
    if (at < 0 && this.#heard.length === wanted.length) return undefined;
    const index = at < 0 ? wanted.length : at;
    return `a watch of ${this.#ref.resource} heard ${this.#heard[index] ?? "nothing"} where ${wanted[index] ?? "nothing"} was due`;
  }
}
