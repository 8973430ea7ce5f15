// Backoff of restarts and pulls: 10 s, doubled each time up to 300 s, forgotten after ten quiet minutes. Pure.

export const BACKOFF_MIN_MS = 10_000;
export const BACKOFF_MAX_MS = 300_000;

export interface Backoff {
  readonly delayMs: number;
  readonly updatedAtMs: number;
}

function expired(backoff: Backoff, sinceMs: number): boolean {
  return sinceMs - backoff.updatedAtMs > 2 * BACKOFF_MAX_MS;
}

/** When one may try again after what happened at `sinceMs`; undefined: at once. */
export function backoffUntil(backoff: Backoff | undefined, sinceMs: number): number | undefined {
  return backoff === undefined || expired(backoff, sinceMs) ? undefined : sinceMs + backoff.delayMs;
}

/** The backoff once one has tried again, at `nowMs`, after what happened at `sinceMs`. */
export function nextBackoff(backoff: Backoff | undefined, sinceMs: number, nowMs: number): Backoff {
  const fresh = backoff === undefined || expired(backoff, sinceMs);
  return {
    delayMs: fresh ? BACKOFF_MIN_MS : Math.min(BACKOFF_MAX_MS, backoff.delayMs * 2),
    updatedAtMs: nowMs,
  };
}

/** As Go writes durations of whole seconds: 10s, 1m20s, 5m0s. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours > 0) return `${hours}h${minutes}m${seconds % 60}s`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}
