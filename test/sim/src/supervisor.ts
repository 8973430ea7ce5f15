// Keeps the simulated processes running, by the real supervisor's policy: what dies is started anew after a backoff.
import { planRestart, type RestartHistory } from "@coxswain/cluster/restart-policy";
import type { VirtualEnv } from "@coxswain/env";
import type { SimProcess } from "./sim-process.ts";

/** Starting a program takes a while: imports, flags, first connections. */
const START_MS = { min: 150, spread: 250 } as const;

export interface Program {
  readonly name: string;
  /** Makes the process's parts and runs them; a rejection is a crash. Runs as `process`. */
  run(process: SimProcess): Promise<void>;
}

interface Running {
  process: SimProcess;
  startedMs: number;
  history: RestartHistory;
}

export interface SupervisorDeps {
  readonly env: VirtualEnv;
  readonly newProcess: (name: string) => SimProcess;
  readonly onCrash: (process: SimProcess, error: unknown) => void;
  readonly note: (line: string) => void;
}

export class Supervisor {
  readonly #deps: SupervisorDeps;
  readonly #programs = new Map<string, Program>();
  readonly #running = new Map<string, Running>();

  constructor(deps: SupervisorDeps) {
    this.#deps = deps;
  }

  start(program: Program): void {
    this.#programs.set(program.name, program);
    this.#launch(program, { streak: 0 });
  }

  /** Undefined while it is down. */
  process(name: string): SimProcess | undefined {
    const process = this.#running.get(name)?.process;
    return process?.alive === true ? process : undefined;
  }

  names(): string[] {
    return [...this.#programs.keys()];
  }

  /** As `kill -9`; the program comes back. */
  kill(name: string): void {
    const running = this.#running.get(name);
    if (running === undefined || !running.process.alive) return;
    running.process.kill();
    this.#restart(this.#programs.get(name)!, running);
  }

  #restart(program: Program, running: Running): void {
    const { env } = this.#deps;
    const ranMs = env.elapsedMs - running.startedMs;
    const { delayMs, history } = planRestart(running.history, ranMs);
    const startMs = START_MS.min + env.random.int(START_MS.spread);
    env.timers.setTimeout(() => this.#launch(program, history), delayMs + startMs);
  }

  #launch(program: Program, history: RestartHistory): void {
    const { env, newProcess, onCrash, note } = this.#deps;
    const process = newProcess(program.name);
    const running: Running = { process, startedMs: env.elapsedMs, history };
    this.#running.set(program.name, running);
    note(`${program.name} starts`);
    const crashed = (error: unknown): void => {
      if (!process.alive) return;
      onCrash(process, error);
      process.kill();
      this.#restart(program, running);
    };
    program.run(process).then(() => crashed(new Error("ended by itself")), crashed);
  }
}
