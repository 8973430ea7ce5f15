// How many seats a level wanted over a period: the highest, the average and the deviation, weighted by time. Pure: told the time.
import type { Demand } from "./plan-limits.ts";

export class DemandMeter {
  #value = 0;
  #sinceMs: number;
  #elapsed = 0;
  #sum = 0;
  #squares = 0;
  #high = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  set(nowMs: number, value: number): void {
    if (nowMs > this.#sinceMs) this.#pass(nowMs);
    this.#value = value;
    if (value > this.#high) this.#high = value;
  }

  #pass(nowMs: number): void {
    const passed = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    this.#elapsed += passed;
    this.#sum += passed * this.#value;
    this.#squares += passed * this.#value * this.#value;
  }

  /** Ends the period and begins the next. */
  take(nowMs: number): Demand {
    this.#pass(nowMs);
    const elapsed = this.#elapsed || 1;
    const average = this.#sum / elapsed;
    const deviation = Math.sqrt(Math.max(0, this.#squares / elapsed - average * average));
    const high = this.#high;
    [this.#elapsed, this.#sum, this.#squares, this.#high] = [0, 0, 0, this.#value];
    return { high, average, deviation };
  }
}
