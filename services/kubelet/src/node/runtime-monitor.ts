// Watches whether a node's runtime and its network are ready, and which images it has. Guarantees: a change is told at once;
// a runtime that is away for less than half a minute is no news, as upstream has it.
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import { isAbort } from "@coxswain/env";
import type { Cri } from "../cri/contract.ts";
import { HEALTHY, type NodeHealth, type NodeImage } from "./plan-node.ts";

const PERIOD_MS = 5_000;
/** While something is missing. */
const EAGER_PERIOD_MS = 250;
/** How long a runtime may be away. */
const DOWN_AFTER_MS = 30_000;
const IMAGES_EVERY_MS = 30_000;
const MAX_IMAGES = 50;
const MAX_NAMES = 5;

export interface RuntimeMonitorDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly cri: Cri;
  changed(health: NodeHealth): void;
}

/** What a runtime says of one of its conditions; undefined where that is well. Pure. */
export function conditionProblem(
  type: "RuntimeReady" | "NetworkReady",
  ready: boolean,
  message: string,
): string | undefined {
  if (ready) return undefined;
  const own = message.split(/; (?=\w+=false )/).find((one) => one.startsWith(`${type}=`));
  return own ?? `${type}=false reason: message:${message}`;
}

/** The largest first, as upstream lists them. Pure. */
export function planImages(images: readonly { names: readonly string[]; sizeBytes: number }[]): NodeImage[] {
  return images
    .map(({ names, sizeBytes }) => ({ names: names.slice(0, MAX_NAMES), sizeBytes }))
    .filter(({ names }) => names.length > 0)
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes || ((a.names[0] ?? "") < (b.names[0] ?? "") ? -1 : 1))
    .slice(0, MAX_IMAGES);
}

export class RuntimeMonitor {
  readonly #deps: RuntimeMonitorDeps;
  #health: NodeHealth = { ...HEALTHY, problems: ["container runtime status check may not have completed yet"] };
  #networkProblem: string | undefined = "container runtime status check may not have completed yet";
  #seenMs: number;
  #imagesDueMs = 0;

  constructor(deps: RuntimeMonitorDeps) {
    this.#deps = deps;
    this.#seenMs = deps.env.clock.monotonic();
  }

  get health(): NodeHealth {
    return this.#health;
  }

  /** Why pods cannot have a network; undefined where they can. */
  get networkProblem(): string | undefined {
    return this.#networkProblem;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { env } = this.#deps;
    try {
      while (!signal.aborted) {
        await this.check();
        await env.timers.sleep(this.#health.problems.length === 0 ? PERIOD_MS : EAGER_PERIOD_MS, signal);
      }
    } catch (error) {
      if (!isAbort(error) || !signal.aborted) throw error;
    }
  }

  /** Asks once. */
  async check(): Promise<void> {
    const { env, cri, logger } = this.#deps;
    const nowMs = env.clock.monotonic();
    try {
      const { runtimeReady, networkReady, message } = await cri.status();
      const network = conditionProblem("NetworkReady", networkReady, message);
      const runtime = conditionProblem("RuntimeReady", runtimeReady, message);
      this.#networkProblem = network === undefined ? undefined : `container runtime network not ready: ${network}`;
      this.#seenMs = env.clock.monotonic();
      const problems = [
        ...(runtime === undefined ? [] : [`container runtime not ready: ${runtime}`]),
        ...(this.#networkProblem === undefined ? [] : [this.#networkProblem]),
      ];
      this.#set({ problems, images: await this.#images() });
    } catch (error) {
      logger.debug({ err: error }, "the runtime does not answer");
      if (nowMs - this.#seenMs < DOWN_AFTER_MS) return;
      this.#set({ ...this.#health, problems: ["container runtime is down"] });
    }
  }

  async #images(): Promise<readonly NodeImage[]> {
    const { env, cri } = this.#deps;
    if (env.clock.monotonic() < this.#imagesDueMs) return this.#health.images;
    this.#imagesDueMs = env.clock.monotonic() + IMAGES_EVERY_MS;
    return planImages(await cri.listImages());
  }

  #set(health: NodeHealth): void {
    const before = this.#health;
    this.#health = health;
    const same = before.problems.join() === health.problems.join() && before.images === health.images;
    if (!same) this.#deps.changed(health);
  }
}
