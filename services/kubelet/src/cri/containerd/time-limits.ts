// How long a runtime may take to answer, ms.

/** For what only reads. */
export const READ_TIMEOUT_MS = 10_000;
/** For what makes, starts, stops or removes. */
export const CHANGE_TIMEOUT_MS = 120_000;
export const PULL_TIMEOUT_MS = 900_000;
