// A counter of CPU time for what has no program: it grows by the use that is told, over the time since it was last looked at.

export class CpuClock {
  #cpuNanos = 0;
  #atMs: number;

  /** Starts at `startMs` with nothing. */
  constructor(startMs: number) {
    this.#atMs = startMs;
  }

  /** Nanoseconds of CPU up to `nowMs`, where `nanoCores` were used since the last call. Never falls. */
  count(nanoCores: number, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    this.#cpuNanos += Math.round((nanoCores * elapsedMs) / 1000);
    return this.#cpuNanos;
  }
}
