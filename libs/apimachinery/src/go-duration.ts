// Durations as Go writes and reads them: 300ms, 1m30s, -1.5h. Pure. Milliseconds on this side, with fractions.
// https://pkg.go.dev/time#ParseDuration

const UNITS_MS: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["μs", 1e-3],
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);
/** Go counts nanoseconds in 63 bits. */
const MOST_MS = 2 ** 63 / 1e6;

/** What is no duration; the message is Go's. */
export class GoDurationError extends Error {
  override readonly name = "GoDurationError";
}

/** In ms. Throws GoDurationError. */
export function parseGoDuration(text: string): number {
  const shown = JSON.stringify(text);
  const [, sign, amounts = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (amounts === "0") return 0;
  let total = 0;
  let rest = amounts;
  do {
    const [whole, amount = "", unit = ""] = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest) ?? [];
    if (whole === undefined) throw new GoDurationError(`time: invalid duration ${shown}`);
    if (unit === "") throw new GoDurationError(`time: missing unit in duration ${shown}`);
    const unitMs = UNITS_MS.get(unit);
    if (unitMs === undefined)
      throw new GoDurationError(`time: unknown unit ${JSON.stringify(unit)} in duration ${shown}`);
    total += Number(amount) * unitMs;
    rest = rest.slice(whole.length);
  } while (rest !== "");
  if (total >= MOST_MS) throw new GoDurationError(`time: invalid duration ${shown}`);
  return sign === "-" && total !== 0 ? -total : total;
}
