// Runs the probes of one container's life: startup first, then liveness and readiness side by side. Guarantees: results
// count as upstream counts them (thresholds in a row), and nothing is reported after stop().
import type { Container, Probe } from "@coxswain/api";
import type { Env, TimerHandle } from "@coxswain/env";
import type { ProbeKind } from "../cri/contract.ts";

export interface ProbeResult {
  readonly success: boolean;
  readonly output: string;
}

export interface ProberDeps {
  readonly env: Env;
  /** Asks the container; a rejection counts as a failure. */
  run(kind: ProbeKind, probe: Probe): Promise<ProbeResult>;
  /** The state after `threshold` equal results in a row, each time it changes (a failure of liveness or startup: once). */
  changed(kind: ProbeKind, success: boolean): void;
  /** Each failed attempt. */
  failed(kind: ProbeKind, output: string): void;
}

export class Prober {
  readonly #deps: ProberDeps;
  readonly #container: Container;
  readonly #timers = new Map<ProbeKind, TimerHandle>();
  #stopped = false;

  constructor(container: Container, deps: ProberDeps) {
    this.#container = container;
    this.#deps = deps;
  }

  start(): void {
    if (this.#container.startupProbe === undefined) this.#startAfterStartup();
    else this.#watch("startup", this.#container.startupProbe);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) this.#deps.env.timers.clear(timer);
    this.#timers.clear();
  }

  #startAfterStartup(): void {
    const { livenessProbe, readinessProbe } = this.#container;
    if (livenessProbe !== undefined) this.#watch("liveness", livenessProbe);
    if (readinessProbe !== undefined) this.#watch("readiness", readinessProbe);
  }

  #watch(kind: ProbeKind, probe: Probe): void {
    let last: boolean | undefined;
    let inRow = 0;
    let known = kind === "liveness" ? true : kind === "readiness" ? false : undefined;
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const attempt = async (): Promise<void> => {
      const { success, output } = await this.#attempt(kind, probe);
      if (this.#stopped) return;
      if (!success) this.#deps.failed(kind, output);
      inRow = success === last ? inRow + 1 : 1;
      last = success;
      if (inRow >= (success ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3)) && success !== known) {
        known = success;
        this.#deps.changed(kind, success);
        if (kind === "startup" && success) this.#startAfterStartup();
        // The container is to be restarted, or has started: there is nothing more to ask.
        if (kind === "startup" || (kind === "liveness" && !success)) return;
      }
      again(periodMs);
    };
    const again = (ms: number): void => {
      if (!this.#stopped)
        this.#timers.set(
          kind,
          this.#deps.env.timers.setTimeout(() => void attempt(), ms),
        );
    };
    again((probe.initialDelaySeconds ?? 0) * 1000);
  }

  async #attempt(kind: ProbeKind, probe: Probe): Promise<ProbeResult> {
    try {
      return await this.#deps.run(kind, probe);
    } catch (error) {
      return { success: false, output: error instanceof Error ? error.message : String(error) };
    }
  }
}
