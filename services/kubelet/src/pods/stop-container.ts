// Ends containers: the preStop hook first, then the runtime's own stop within what is left of the grace period. Guarantees:
// a hook runs once for each life; a later stop with a shorter grace cuts an earlier one short; a container that has ended
// waits for no hook.
import type { LifecycleHandler } from "@coxswain/api";
import { isAbort } from "@coxswain/env";
import type { ContainerStatus as CriContainerStatus } from "../cri/contract.ts";
import { runHook } from "./lifecycle-hooks.ts";
import type { NodeContext } from "./node-context.ts";
import { MIN_GRACE_SECONDS } from "./plan-sync.ts";
import type { ContainerRecord, PodState } from "./pod-state.ts";

interface Hook {
  /** Aborted where there is no time for it any more. */
  readonly cut: AbortController;
  /** A stop waits for it. */
  awaited: boolean;
  /** Never rejects. */
  readonly done: Promise<void>;
}

export class ContainerStopper {
  readonly #context: NodeContext;
  readonly #state: PodState;
  /** The hook that runs or has run, by the life that it ends. */
  readonly #hooks = new Map<string, Hook>();

  constructor(context: NodeContext, state: PodState) {
    this.#context = context;
    this.#state = state;
  }

  /** Resolves when the life has ended, with what the runtime says of it; undefined where it knows it no more. */
  async stop(record: ContainerRecord, graceSeconds: number): Promise<CriContainerStatus | undefined> {
    const { cri, env } = this.#context;
    const id = record.run?.id ?? "";
    const beganMs = env.clock.monotonic();
    await this.#preStop(record, id, graceSeconds);
    const gone = (env.clock.monotonic() - beganMs) / 1000;
    const left = gone < 0.5 ? graceSeconds : Math.max(MIN_GRACE_SECONDS, Math.ceil(graceSeconds - gone));
    await cri.stopContainer(id, left);
    return cri.containerStatus(id).catch((error: unknown) => {
      this.#context.logger.debug({ container: record.name, err: error }, "a stopped container is not known any more");
      return undefined;
    });
  }

  /** The life is over: nothing waits for its hook. */
  ended(id: string): void {
    this.#hooks.get(id)?.cut.abort();
    this.#hooks.delete(id);
  }

  close(): void {
    for (const { cut } of this.#hooks.values()) cut.abort();
    this.#hooks.clear();
  }

  /** Runs the hook of a container whose turn to end has not come; its stop then waits for it. */
  beginPreStop(record: ContainerRecord, graceSeconds: number): void {
    const id = record.run?.id ?? "";
    if (!this.#hooks.has(id)) this.#begin(record, id, graceSeconds);
  }

  async #preStop(record: ContainerRecord, id: string, graceSeconds: number): Promise<void> {
    const begun = this.#hooks.get(id);
    // A second stop: the hook has had its turn.
    if (begun?.awaited === true) return begun.cut.abort();
    const hook = begun ?? this.#begin(record, id, graceSeconds);
    if (hook === undefined) return;
    hook.awaited = true;
    await hook.done;
  }

  #begin(record: ContainerRecord, id: string, graceSeconds: number): Hook | undefined {
    const handler = record.spec.lifecycle?.preStop;
    if (handler === undefined || graceSeconds <= 0) return undefined;
    const cut = new AbortController();
    const hook: Hook = { cut, awaited: false, done: this.#run(handler, record, cut, graceSeconds) };
    this.#hooks.set(id, hook);
    return hook;
  }

  async #run(
    handler: LifecycleHandler,
    record: ContainerRecord,
    cut: AbortController,
    graceSeconds: number,
  ): Promise<void> {
    const { env, events, logger } = this.#context;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = env.timers.setTimeout(resolve, graceSeconds * 1000);
    cut.signal.addEventListener("abort", () => resolve(), { once: true });
    const hook = runHook(handler, { context: this.#context, state: this.#state, record }, cut.signal, graceSeconds);
    await Promise.race([promise, hook]).catch((error: unknown) => {
      if (isAbort(error)) return;
      logger.info({ container: record.name, err: error }, "a preStop hook failed");
      events.container(this.#state.pod, record, "Warning", "FailedPreStopHook", "PreStopHook failed");
    });
    env.timers.clear(timer);
    // What the hook says after its time is of no interest.
    hook.catch((error: unknown) => logger.debug({ container: record.name, err: error }, "a preStop hook ended late"));
    cut.abort();
  }
}
