// Runs the probes of one container's life: startup first, then liveness and readiness side by side. Guarantees: results
// count as upstream counts them (thresholds in a row, an attempt that could not be made for nothing), and nothing is
// reported after stop().
import type { Container, Probe } from "@coxswain/api";
import type { Env, TimerHandle } from "@coxswain/env";
import type { ProbeKind } from "../cri/contract.ts";
import type { ProbeResult } from "../probes/contract.ts";

export interface ProberDeps {
  readonly env: Env;
  /** Asks the container; a rejection counts as an attempt that could not be made. */
  run(kind: ProbeKind, probe: Probe): Promise<ProbeResult>;
  /** The state after `threshold` equal results in a row, each time it changes (a failure of liveness or startup: once). */
  changed(kind: ProbeKind, success: boolean): void;
  /** Each attempt that was no plain success. */
  told(kind: ProbeKind, result: ProbeResult): void;
}

/** Where a life stands that an earlier process has watched. */
export interface ProberStart {
  readonly started: boolean;
  readonly ready: boolean;
  /** Many begin at once: each begins at a time of its own within the period. */
  readonly adopted: boolean;
}

const FRESH: ProberStart = { started: false, ready: false, adopted: false };

export class Prober {
  readonly #deps: ProberDeps;
  readonly #container: Container;
  readonly #timers = new Map<ProbeKind, TimerHandle>();
  readonly #silenced = new Set<ProbeKind>();
  #from = FRESH;
  #stopped = false;

  constructor(container: Container, deps: ProberDeps) {
    this.#container = container;
    this.#deps = deps;
  }

  start(from: ProberStart = FRESH): void {
    this.#from = from;
    if (this.#container.startupProbe === undefined || from.started) this.#startAfterStartup();
    else this.#watch("startup", this.#container.startupProbe);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) this.#deps.env.timers.clear(timer);
    this.#timers.clear();
  }

  /** Asks neither for startup nor for liveness any more. */
  onlyReadiness(): void {
    for (const kind of ["startup", "liveness"] as const) {
      this.#silenced.add(kind);
      this.#deps.env.timers.clear(this.#timers.get(kind));
      this.#timers.delete(kind);
    }
  }

  #startAfterStartup(): void {
    const { livenessProbe, readinessProbe } = this.#container;
    if (livenessProbe !== undefined) this.#watch("liveness", livenessProbe);
    if (readinessProbe !== undefined) this.#watch("readiness", readinessProbe);
  }

  #watch(kind: ProbeKind, probe: Probe): void {
    let last: boolean | undefined;
    let inRow = 0;
    let known = kind === "liveness" ? true : kind === "readiness" ? this.#from.ready : undefined;
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const attempt = async (): Promise<void> => {
      const result = await this.#attempt(kind, probe);
      if (this.#stopped || this.#silenced.has(kind)) return;
      if (result.outcome !== "success") this.#deps.told(kind, result);
      if (result.outcome !== "unknown") {
        const success = result.outcome !== "failure";
        inRow = success === last ? inRow + 1 : 1;
        last = success;
        if (inRow >= (success ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3)) && success !== known) {
          known = success;
          this.#deps.changed(kind, success);
          if (kind === "startup" && success && !this.#stopped) this.#startAfterStartup();
          // The container is to be restarted, or has started: there is nothing more to ask.
          if (kind === "startup" || (kind === "liveness" && !success)) return;
        }
      }
      this.#again(kind, periodMs, attempt);
    };
    const { adopted } = this.#from;
    const firstMs = adopted ? this.#deps.env.random.float() * periodMs : (probe.initialDelaySeconds ?? 0) * 1000;
    this.#again(kind, firstMs, attempt);
  }

  #again(kind: ProbeKind, ms: number, attempt: () => Promise<void>): void {
    if (this.#stopped || this.#silenced.has(kind)) return;
    const timer = this.#deps.env.timers.setTimeout(() => void attempt(), ms);
    this.#timers.set(kind, timer);
  }

  async #attempt(kind: ProbeKind, probe: Probe): Promise<ProbeResult> {
    try {
      return await this.#deps.run(kind, probe);
    } catch (error) {
      return { outcome: "unknown", output: error instanceof Error ? error.message : String(error) };
    }
  }
}
