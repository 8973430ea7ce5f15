// The network of the simulation: every message takes its time, drawn from the seed, and calls may fail on the way.
// Guarantees: messages on one link arrive in the order of sending; faults happen only where they have been set.
import { newServiceUnavailable, StatusError } from "@coxswain/apimachinery";
import type { Random, VirtualEnv } from "@coxswain/env";
import type { SimProcess } from "./sim-process.ts";

export interface EdgeFaults {
  /** Chance that a call is lost before it reaches the server. */
  readonly loseCalls: number;
  /** Chance that a call takes effect and its answer is lost. */
  readonly loseAnswers: number;
}

const NO_FAULTS: EdgeFaults = { loseCalls: 0, loseAnswers: 0 };

export class Network {
  readonly env: VirtualEnv;
  readonly random: Random;
  readonly #faults = new Map<string, EdgeFaults>();
  /** Upper bound of a message's way, ms. */
  readonly #maxLatencyMs: number;

  constructor(env: VirtualEnv, random: Random, maxLatencyMs: number) {
    this.env = env;
    this.random = random;
    this.#maxLatencyMs = maxLatencyMs;
  }

  latencyMs(): number {
    return 0.05 + this.random.float() ** 2 * this.#maxLatencyMs;
  }

  travel(): Promise<void> {
    return this.env.timers.sleep(this.latencyMs());
  }

  /** To the store, which sees its network in ticks of a millisecond: so writes meet and are committed together. */
  travelToStore(): Promise<void> {
    const arrivesMs = Math.ceil(this.env.elapsedMs + this.latencyMs());
    return this.env.timers.sleep(arrivesMs - this.env.elapsedMs);
  }

  /** From now on calls of the process of that name meet these faults. */
  setFaults(process: string, faults: EdgeFaults): void {
    this.#faults.set(process, faults);
  }

  heal(process?: string): void {
    if (process === undefined) this.#faults.clear();
    else this.#faults.delete(process);
  }

  /** Throws where the call is lost before it arrives. */
  passCall(process: string): void {
    const { loseCalls } = this.#faults.get(process) ?? NO_FAULTS;
    if (loseCalls > 0 && this.random.float() < loseCalls) throw newServiceUnavailable("the connection was refused");
  }

  /** Throws where the answer is lost. */
  passAnswer(process: string): void {
    const { loseAnswers } = this.#faults.get(process) ?? NO_FAULTS;
    if (loseAnswers > 0 && this.random.float() < loseAnswers) {
      throw new StatusError("Timeout", 504, "no answer in time; the request may have taken effect");
    }
  }
}

/** A one-way link to a process: messages arrive late, and in order. */
export class Link {
  readonly #network: Network;
  readonly #process: SimProcess;
  #lastMs = 0;

  constructor(network: Network, process: SimProcess) {
    this.#network = network;
    this.#process = process;
  }

  send(arrive: () => void): void {
    const { env } = this.#network;
    this.#lastMs = Math.max(this.#lastMs, env.elapsedMs + this.#network.latencyMs());
    env.timers.setTimeout(() => this.#process.deliver(arrive), this.#lastMs - env.elapsedMs);
  }
}
