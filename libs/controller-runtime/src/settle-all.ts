// Waits for all of several writes. Promise.all returns at the first failure while the others still fly, and a controller
// that then starts over writes twice.

/** Some of the writes failed; `errors` holds all failures, `landed` says how many succeeded. */
export class SettleError extends AggregateError {
  override readonly name = "SettleError";
  readonly landed: number;
  constructor(errors: readonly Error[], landed: number) {
    super(errors, errors.map((error) => error.message).join("; "));
    this.landed = landed;
  }
}

/**
 * Resolves with all values once every promise has settled. Rejects, only then too, with the failure if there was one, or
 * with a SettleError that holds all of them.
 */
export async function settleAll<T>(promises: Iterable<Promise<T>>): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  const values: T[] = [];
  const errors: Error[] = [];
  for (const result of results) {
    if (result.status === "fulfilled") values.push(result.value);
    else errors.push(result.reason instanceof Error ? result.reason : new Error(String(result.reason)));
  }
  const [only] = errors;
  if (errors.length === 1 && only !== undefined) throw only;
  if (errors.length > 1) throw new SettleError(errors, values.length);
  return values;
}
