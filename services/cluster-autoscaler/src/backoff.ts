// Groups that failed rest for a while, longer each time: upstream's exponential backoff of node groups.
export interface BackoffState {
  readonly untilMs: number;
  readonly durationMs: number;
  readonly lastFailureMs: number;
}

/** A group that has not failed for this long starts from the beginning. */
const RESET_MS = 3 * 60 * 60_000;

/** The state of a group after a further failure. */
export function afterFailure(
  before: BackoffState | undefined,
  nowMs: number,
  { initialBackoffMs, maxBackoffMs }: { initialBackoffMs: number; maxBackoffMs: number },
): BackoffState {
  const again = before !== undefined && nowMs - before.lastFailureMs < RESET_MS;
  const durationMs = again ? Math.min(maxBackoffMs, before.durationMs * 2) : initialBackoffMs;
  return { untilMs: nowMs + durationMs, durationMs, lastFailureMs: nowMs };
}

export const isResting = (state: BackoffState | undefined, nowMs: number): boolean =>
  state !== undefined && nowMs < state.untilMs;
