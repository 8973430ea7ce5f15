// The supervisor keeps a set of processes running. Guarantees:
// - a process that dies without being told to is started again, after a backoff, and the death is recorded;
// - a process whose liveness probe hangs is killed and started again, unless it was frozen on purpose;
// - `stop` ends everything in reverse order of starting, frozen processes too, by force after a grace period;
// - what runs is on record (onChange) before anybody is told that it runs.
import type { Env, TimerHandle } from "@coxswain/env";
import { stopWaves, type Component, type ProcessSpec } from "./process-plan.ts";
import { planRestart, type RestartHistory } from "./restart-policy.ts";

/** A started process, as the supervisor sees it. */
export interface SpawnedProcess {
  readonly pid: number;
  readonly startTime: string;
  signal(name: NodeJS.Signals): boolean;
  /** Settles when the process is gone. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
}

export interface SupervisorDeps {
  readonly env: Env;
  spawn(spec: ProcessSpec): SpawnedProcess;
  /** Resolves with undefined when the process is ready to serve, else with what is missing. Never rejects. */
  probe(spec: ProcessSpec, kind: "ready" | "live"): Promise<string | undefined>;
  onChange(records: readonly ProcessRecord[]): void;
}

export interface Death {
  /** RFC 3339. */
  readonly at: string;
  readonly code: number | null;
  readonly signal: string | null;
}

export interface ProcessRecord {
  readonly spec: ProcessSpec;
  readonly pid: number;
  readonly startTime: string;
  readonly state: "starting" | "ready" | "unready" | "frozen" | "backoff" | "stopped";
  /** Why it is not ready; "" when it is. */
  readonly message: string;
  readonly restarts: number;
  /** The latest deaths, newest last; at most 20. */
  readonly deaths: readonly Death[];
}

interface Slot {
  record: ProcessRecord;
  process: SpawnedProcess | undefined;
  startedMs: number;
  history: RestartHistory;
  failedProbesSinceMs: number | undefined;
  probing: boolean;
  timer: TimerHandle | undefined;
}

const PROBE_STARTING_MS = 20;
const PROBE_READY_MS = 1_000;
const HANG_MS = 60_000;
const GRACE_MS = 10_000;

export class Supervisor {
  readonly #deps: SupervisorDeps;
  readonly #slots: Slot[];
  #stopping = false;

  constructor(specs: readonly ProcessSpec[], deps: SupervisorDeps) {
    this.#deps = deps;
    this.#slots = specs.map((spec) => ({
      record: { spec, pid: 0, startTime: "", state: "stopped", message: "not started", restarts: 0, deaths: [] },
      process: undefined,
      startedMs: 0,
      history: { streak: 0 },
      failedProbesSinceMs: undefined,
      probing: false,
      timer: undefined,
    }));
  }

  records(): readonly ProcessRecord[] {
    return this.#slots.map((slot) => slot.record);
  }

  /** Starts the processes of `components`; those that run already are left alone. */
  start(components: readonly Component[]): void {
    for (const slot of this.#slots) {
      if (components.includes(slot.record.spec.component) && slot.process === undefined) this.#spawn(slot);
    }
  }

  /** Sends a signal to the processes that match; returns their records. Unknown names give an empty list. */
  chaos(action: "kill" | "freeze" | "thaw", component: string, instance?: string): ProcessRecord[] {
    const hit = this.#slots.filter(
      ({ record, process }) =>
        process !== undefined &&
        record.spec.component === component &&
        (instance === undefined || record.spec.instance === instance),
    );
    for (const slot of hit) {
      if (action === "kill") slot.process?.signal("SIGKILL");
      if (action === "freeze" && slot.process?.signal("SIGSTOP"))
        this.#update(slot, { state: "frozen", message: "frozen on purpose" });
      if (action === "thaw" && slot.process?.signal("SIGCONT"))
        this.#update(slot, { state: "starting", message: "thawed" });
    }
    return hit.map((slot) => slot.record);
  }

  /** Ends all processes, last started first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const components = this.#slots.map((slot) => slot.record.spec.component);
    for (const wave of stopWaves([...new Set(components)])) {
      const slots = this.#slots.filter((slot) => wave.includes(slot.record.spec.component));
      await Promise.all(slots.map((slot) => this.#end(slot)));
    }
  }

  async #end(slot: Slot): Promise<void> {
    this.#deps.env.timers.clear(slot.timer);
    const { process } = slot;
    if (process !== undefined) {
      process.signal("SIGCONT");
      process.signal("SIGTERM");
      const force = this.#deps.env.timers.setTimeout(() => process.signal("SIGKILL"), GRACE_MS);
      await process.exited;
      this.#deps.env.timers.clear(force);
    }
    this.#update(slot, { state: "stopped", message: "stopped", pid: 0, startTime: "" });
  }

  #spawn(slot: Slot): void {
    if (this.#stopping) return;
    const process = this.#deps.spawn(slot.record.spec);
    slot.process = process;
    slot.startedMs = this.#deps.env.clock.monotonic();
    slot.failedProbesSinceMs = undefined;
    this.#update(slot, { state: "starting", message: "starting", pid: process.pid, startTime: process.startTime });
    void process.exited.then((exit) => this.#died(slot, process, exit));
    this.#probeIn(slot, PROBE_STARTING_MS);
  }

  #died(slot: Slot, process: SpawnedProcess, exit: { code: number | null; signal: string | null }): void {
    if (slot.process !== process) return;
    slot.process = undefined;
    if (this.#stopping) return;
    const { env } = this.#deps;
    const { delayMs, history } = planRestart(slot.history, env.clock.monotonic() - slot.startedMs);
    slot.history = history;
    const death: Death = { at: new Date(env.clock.now()).toISOString(), ...exit };
    this.#update(slot, {
      state: "backoff",
      message: `ended with ${exit.signal ?? `code ${exit.code ?? "?"}`}; starts again in ${delayMs} ms`,
      pid: 0,
      startTime: "",
      restarts: slot.record.restarts + 1,
      deaths: [...slot.record.deaths, death].slice(-20),
    });
    env.timers.clear(slot.timer);
    slot.timer = env.timers.setTimeout(() => this.#spawn(slot), delayMs);
  }

  #probeIn(slot: Slot, ms: number): void {
    this.#deps.env.timers.clear(slot.timer);
    slot.timer = this.#deps.env.timers.setTimeout(() => void this.#probe(slot), ms);
  }

  async #probe(slot: Slot): Promise<void> {
    const { process } = slot;
    if (process === undefined || this.#stopping || slot.probing) return;
    slot.probing = true;
    const missing = await this.#deps.probe(slot.record.spec, "ready");
    slot.probing = false;
    if (slot.process !== process || this.#stopping) return;
    if (slot.record.state !== "frozen") {
      const state = missing === undefined ? "ready" : slot.record.state === "starting" ? "starting" : "unready";
      if (state !== slot.record.state || (missing ?? "") !== slot.record.message)
        this.#update(slot, { state, message: missing ?? "" });
      await this.#killWhereHung(slot, process, missing);
    }
    // It may have died meanwhile; its timer is then the one that starts it again.
    if (slot.process === process)
      this.#probeIn(slot, slot.record.state === "starting" ? PROBE_STARTING_MS : PROBE_READY_MS);
  }

  /** A process that is alive by pid and has not answered its liveness probe for a minute is hung. */
  async #killWhereHung(slot: Slot, process: SpawnedProcess, missing: string | undefined): Promise<void> {
    const now = this.#deps.env.clock.monotonic();
    if (missing === undefined) {
      slot.failedProbesSinceMs = undefined;
      return;
    }
    slot.failedProbesSinceMs ??= now;
    if (now - slot.failedProbesSinceMs < HANG_MS) return;
    slot.failedProbesSinceMs = now;
    const dead = await this.#deps.probe(slot.record.spec, "live");
    if (dead !== undefined && slot.process === process && slot.record.state !== "frozen") process.signal("SIGKILL");
  }

  #update(slot: Slot, change: Partial<ProcessRecord>): void {
    slot.record = { ...slot.record, ...change };
    this.#deps.onChange(this.records());
  }
}
