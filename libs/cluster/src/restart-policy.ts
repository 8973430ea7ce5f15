// When to start a dead process again. Pure.

export interface RestartPolicy {
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** A process that ran this long starts with a clean slate. */
  readonly resetAfterMs: number;
}

export const RESTART_POLICY: RestartPolicy = { firstDelayMs: 100, maxDelayMs: 10_000, resetAfterMs: 30_000 };

export interface RestartHistory {
  /** Deaths in a row, none of them after a long run. */
  readonly streak: number;
}

/** The delay before the next start, and the history to keep. `ranMs` is how long the process had run. */
export function planRestart(
  history: RestartHistory,
  ranMs: number,
  policy: RestartPolicy = RESTART_POLICY,
): { delayMs: number; history: RestartHistory } {
  const streak = ranMs >= policy.resetAfterMs ? 0 : history.streak;
  const delayMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** Math.min(streak, 20));
  return { delayMs, history: { streak: streak + 1 } };
}
