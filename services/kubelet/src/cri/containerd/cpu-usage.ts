// CPU use out of a counter that only grows. Pure but for what it remembers: the last two samples of each container.

interface Sample {
  readonly atNanos: bigint;
  readonly usedNanos: bigint;
}

/** Samples closer together than this say little: a limit lets a container run in bursts. */
const MIN_WINDOW_NANOS = 1_000_000_000n;

export class CpuUsage {
  readonly #last = new Map<string, { readonly sample: Sample; readonly nanoCores: number | undefined }>();

  /** Nanoseconds of CPU a second since the sample before; undefined until there are two, a second apart. */
  nanoCores(containerId: string, atNanos: bigint, usedNanos: bigint): number | undefined {
    const before = this.#last.get(containerId);
    const sample = { atNanos, usedNanos };
    // A counter that went back belongs to a new life.
    if (before === undefined || usedNanos < before.sample.usedNanos) {
      this.#last.set(containerId, { sample, nanoCores: undefined });
      return undefined;
    }
    const elapsed = atNanos - before.sample.atNanos;
    if (elapsed < MIN_WINDOW_NANOS) return before.nanoCores;
    const nanoCores = Number(((usedNanos - before.sample.usedNanos) * 1_000_000_000n) / elapsed);
    this.#last.set(containerId, { sample, nanoCores });
    return nanoCores;
  }

  forget(containerId: string): void {
    this.#last.delete(containerId);
  }
}
