// The supervisor keeps a set of processes running. Guarantees:
// - a process that dies without being told to is started again, after a backoff, and the death is recorded;
// - one that died because another program took its port is moved to other ports where it can be, and else says so;
// - a process whose liveness probe hangs is killed and started again, unless it was frozen on purpose;
// - whoever builds on what a dead process kept in its memory starts anew with it;
// - a node that was killed on purpose stays down, with all of its processes, until it is started again;
// - a node's processes that are removed end, and are on record no more;
// - `stop` ends everything in reverse order of starting, frozen processes too, by force after a grace period;
// - what runs is on record (onChange) before anybody is told that it runs.
import type { Env, TimerHandle } from "@coxswain/env";
import type { ProcessSpec } from "./process-plan.ts";
import { NODE_COMPONENTS, stopWaves, type Component } from "./process-slots.ts";
import { planRestart, type RestartHistory } from "./restart-policy.ts";

/** A started process, as the supervisor sees it. */
export interface SpawnedProcess {
  readonly pid: number;
  readonly startTime: string;
  signal(name: NodeJS.Signals): boolean;
  /** Settles when the process is gone. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  /** Settles when the process tells that it is ready, where it does such a thing. */
  readonly ready?: Promise<void>;
}

export interface SupervisorDeps {
  readonly env: Env;
  spawn(spec: ProcessSpec): SpawnedProcess;
  /** Resolves with undefined when the process is ready to serve, else with what is missing. Never rejects. */
  probe(spec: ProcessSpec, kind: "ready" | "live"): Promise<string | undefined>;
  onChange(records: readonly ProcessRecord[]): void;
  /** The components that cannot go on where a process of `component` has died. None where unset. */
  endWith?(component: Component): readonly Component[];
  /**
   * Which port of a process that has failed another program has taken, and the process with other ports where it may move.
   * Undefined where its ports are free. Rejects where no other ports can be had.
   */
  portTaken?(spec: ProcessSpec): Promise<PortTaken | undefined>;
  /** What a node has besides the supervised processes: its containers, its place on the fabric. None where unset. */
  readonly nodes?: NodePower;
}

export interface PortTaken {
  readonly port: number;
  readonly elsewhere?: ProcessSpec;
}

/** Acts on all that runs on a node, the processes under supervision included. */
export interface NodePower {
  /** Ends it and cuts the node off. */
  cut(node: string): void;
  /** Puts a node that was cut off back. */
  restore(node: string): void;
  /** Stops it where it stands (SIGSTOP), or lets it go on. */
  signal(node: string, name: "SIGSTOP" | "SIGCONT"): void;
}

export type ChaosAction = "kill" | "freeze" | "thaw" | "start";

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
  readonly state: "starting" | "ready" | "unready" | "frozen" | "backoff" | "down" | "stopped";
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
  /** Whom an unanswered probe is about: one of a process that has died must not hold up its successor's. */
  probing: SpawnedProcess | undefined;
  /** Down on purpose: it is not started when it dies. */
  held: boolean;
  /** It ends for good. */
  removed: boolean;
  /** It will tell when it is ready, and has not yet. */
  silent: boolean;
  timer: TimerHandle | undefined;
}

function newSlot(spec: ProcessSpec): Slot {
  return {
    record: { spec, pid: 0, startTime: "", state: "stopped", message: "not started", restarts: 0, deaths: [] },
    process: undefined,
    startedMs: 0,
    history: { streak: 0 },
    failedProbesSinceMs: undefined,
    probing: undefined,
    held: false,
    removed: false,
    silent: false,
    timer: undefined,
  };
}

const onNode = (spec: ProcessSpec, node: string): boolean =>
  spec.node === node && NODE_COMPONENTS.includes(spec.component);

const PROBE_STARTING_MS = 20;
/** While a process is silent that tells by itself when it is ready: each probe costs both sides a TLS handshake. */
const PROBE_SILENT_MS = 2_000;
const PROBE_READY_MS = 1_000;
const HANG_MS = 60_000;
const GRACE_MS = 10_000;

function probeEveryMs({ record, silent }: Slot): number {
  if (record.state !== "starting") return PROBE_READY_MS;
  return silent ? PROBE_SILENT_MS : PROBE_STARTING_MS;
}

export class Supervisor {
  readonly #deps: SupervisorDeps;
  #slots: Slot[];
  #stopping = false;

  constructor(specs: readonly ProcessSpec[], deps: SupervisorDeps) {
    this.#deps = deps;
    this.#slots = specs.map(newSlot);
  }

  records(): readonly ProcessRecord[] {
    return this.#slots.map((slot) => slot.record);
  }

  /** Starts the processes of `components`, or those of them on `node`; those that run already are left alone. */
  start(components: readonly Component[], node?: string): void {
    for (const slot of this.#slots) {
      const { component, node: where } = slot.record.spec;
      if (!components.includes(component) || (node !== undefined && where !== node)) continue;
      if (slot.process === undefined) this.#spawn(slot);
    }
  }

  /** Takes further processes under supervision; `start` starts them. */
  add(specs: readonly ProcessSpec[]): void {
    this.#slots.push(...specs.map(newSlot));
    this.#deps.onChange(this.records());
  }

  /** Ends all processes on `node`, last started first, and forgets them. What else runs there is not ended. */
  async removeNode(node: string): Promise<void> {
    const gone = this.#slots.filter(({ record: { spec } }) => onNode(spec, node));
    for (const slot of gone) slot.removed = true;
    for (const component of NODE_COMPONENTS.toReversed()) {
      const wave = gone.filter(({ record }) => record.spec.component === component);
      await Promise.all(wave.map((slot) => this.#end(slot)));
    }
    this.#slots = this.#slots.filter((slot) => !gone.includes(slot));
    this.#deps.onChange(this.records());
  }

  /**
   * Sends a signal to the processes that match; returns their records. Unknown names give an empty list. The component
   * "node" is all that runs on the node `instance`; killed, it stays down until "thaw" or "start".
   */
  chaos(action: ChaosAction, component: string, instance?: string): ProcessRecord[] {
    if (component === "node") return this.#chaosNode(action, instance ?? "");
    const hit = this.#slots.filter(
      ({ record, process }) =>
        process !== undefined &&
        record.spec.component === component &&
        (instance === undefined || record.spec.instance === instance),
    );
    for (const slot of hit) this.#hit(slot, action);
    return hit.map((slot) => slot.record);
  }

  #hit(slot: Slot, action: ChaosAction): void {
    if (action === "kill") slot.process?.signal("SIGKILL");
    if (action === "freeze" && slot.process?.signal("SIGSTOP"))
      this.#update(slot, { state: "frozen", message: "frozen on purpose" });
    if ((action === "thaw" || action === "start") && slot.process?.signal("SIGCONT"))
      this.#update(slot, { state: "starting", message: "thawed" });
  }

  #chaosNode(action: ChaosAction, node: string): ProcessRecord[] {
    const slots = this.#slots.filter(({ record: { spec } }) => onNode(spec, node));
    const down = slots.some((slot) => slot.held);
    if (slots.length === 0 || (down && (action === "kill" || action === "freeze"))) return [];
    const { nodes } = this.#deps;
    if (action === "kill") {
      for (const slot of slots) this.#hold(slot);
      nodes?.cut(node);
    } else if (down) {
      nodes?.restore(node);
      for (const slot of slots) slot.held = false;
      for (const slot of slots) if (slot.process === undefined) this.#spawn(slot);
    } else {
      nodes?.signal(node, action === "freeze" ? "SIGSTOP" : "SIGCONT");
      for (const slot of slots) if (slot.process !== undefined) this.#hit(slot, action);
    }
    return slots.map((slot) => slot.record);
  }

  #hold(slot: Slot): void {
    slot.held = true;
    this.#deps.env.timers.clear(slot.timer);
    slot.process?.signal("SIGKILL");
    if (slot.process === undefined) this.#update(slot, { state: "down", message: "node is down" });
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
    if (this.#stopping || slot.held || slot.removed) return;
    const process = this.#deps.spawn(slot.record.spec);
    slot.process = process;
    slot.startedMs = this.#deps.env.clock.monotonic();
    slot.failedProbesSinceMs = undefined;
    this.#update(slot, { state: "starting", message: "starting", pid: process.pid, startTime: process.startTime });
    void process.exited.then((exit) => this.#died(slot, process, exit));
    slot.silent = process.ready !== undefined;
    void process.ready?.then(() => this.#told(slot, process));
    this.#probeIn(slot, slot.silent ? PROBE_SILENT_MS : PROBE_STARTING_MS);
  }

  #told(slot: Slot, process: SpawnedProcess): void {
    if (slot.process !== process) return;
    slot.silent = false;
    if (slot.record.state !== "starting") return;
    // It asked itself what a probe would ask.
    this.#update(slot, { state: "ready", message: "" });
    this.#probeIn(slot, PROBE_READY_MS);
  }

  #died(slot: Slot, process: SpawnedProcess, exit: { code: number | null; signal: string | null }): void {
    if (slot.process !== process) return;
    slot.process = undefined;
    if (this.#stopping || slot.removed) return;
    const { env } = this.#deps;
    env.timers.clear(slot.timer);
    const ending = this.#deps.endWith?.(slot.record.spec.component) ?? [];
    for (const other of this.#slots) if (ending.includes(other.record.spec.component)) other.process?.signal("SIGKILL");
    const death: Death = { at: new Date(env.clock.now()).toISOString(), ...exit };
    const deaths = [...slot.record.deaths, death].slice(-20);
    if (slot.held) {
      this.#update(slot, { state: "down", message: "node is down", pid: 0, startTime: "", deaths });
      return;
    }
    const { delayMs, history } = planRestart(slot.history, env.clock.monotonic() - slot.startedMs);
    slot.history = history;
    this.#update(slot, {
      state: "backoff",
      message: `ended with ${exit.signal ?? `code ${exit.code ?? "?"}`}; starts again in ${delayMs} ms`,
      pid: 0,
      startTime: "",
      restarts: slot.record.restarts + 1,
      deaths,
    });
    slot.timer = env.timers.setTimeout(() => this.#spawn(slot), delayMs);
    if (exit.code !== null && exit.code !== 0) void this.#lookAtPorts(slot);
  }

  /** A process that cannot listen ends at once, as often as it is started. */
  async #lookAtPorts(slot: Slot): Promise<void> {
    const taken = await this.#takenPort(slot);
    if (taken === undefined || slot.process !== undefined || slot.held || slot.removed || this.#stopping) return;
    const { port, elsewhere } = taken;
    const why = `port ${port} is taken by another program`;
    if (elsewhere === undefined) {
      this.#update(slot, { message: `${why}; ${slot.record.message}` });
      return;
    }
    this.#update(slot, { spec: elsewhere, message: `${why}; starts on other ports` });
    this.#deps.env.timers.clear(slot.timer);
    this.#spawn(slot);
  }

  async #takenPort(slot: Slot): Promise<PortTaken | undefined> {
    try {
      return await this.#deps.portTaken?.(slot.record.spec);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (slot.process === undefined) this.#update(slot, { message: `${slot.record.message}; ${why}` });
      return undefined;
    }
  }

  #probeIn(slot: Slot, ms: number): void {
    this.#deps.env.timers.clear(slot.timer);
    slot.timer = this.#deps.env.timers.setTimeout(() => void this.#probe(slot), ms);
  }

  async #probe(slot: Slot): Promise<void> {
    const { process } = slot;
    if (process === undefined || this.#stopping || slot.removed || slot.probing === process) return;
    slot.probing = process;
    const missing = await this.#deps.probe(slot.record.spec, "ready");
    if (slot.probing === process) slot.probing = undefined;
    if (slot.process !== process || this.#stopping) return;
    if (slot.record.state !== "frozen") {
      const state = missing === undefined ? "ready" : slot.record.state === "starting" ? "starting" : "unready";
      if (state !== slot.record.state || (missing ?? "") !== slot.record.message)
        this.#update(slot, { state, message: missing ?? "" });
      await this.#killWhereHung(slot, process, missing);
    }
    // It may have died meanwhile; its timer is then the one that starts it again.
    if (slot.process === process) this.#probeIn(slot, probeEveryMs(slot));
  }

  /** A process that is alive by pid and has not answered its liveness probe for a minute is hung. */
  async #killWhereHung(slot: Slot, process: SpawnedProcess, missing: string | undefined): Promise<void> {
    const now = this.#deps.env.clock.monotonic();
    if (missing === undefined || this.#gatewayFails(slot)) {
      slot.failedProbesSinceMs = undefined;
      return;
    }
    slot.failedProbesSinceMs ??= now;
    if (now - slot.failedProbesSinceMs < HANG_MS) return;
    slot.failedProbesSinceMs = now;
    const dead = await this.#deps.probe(slot.record.spec, "live");
    if (dead !== undefined && slot.process === process && slot.record.state !== "frozen") process.signal("SIGKILL");
  }

  /** Probes go through the gateway: while it does not answer, nothing is known of the others. */
  #gatewayFails(slot: Slot): boolean {
    return this.#slots.some(
      (other) => other !== slot && other.record.spec.component === "gateway" && other.record.state !== "ready",
    );
  }

  #update(slot: Slot, change: Partial<ProcessRecord>): void {
    slot.record = { ...slot.record, ...change };
    this.#deps.onChange(this.records());
  }
}
