// How long a request may take, as its client asks. Pure.
import { newBadRequest } from "@coxswain/apimachinery";

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go writes it (1h2m3.5s); else what is wrong with it. */
export function parseDuration(text: string): number | string {
  const shown = JSON.stringify(text);
  const [, sign, rest = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === "0") return 0;
  if (/^(\d+\.?\d*|\.\d+)$/.test(rest)) return `time: missing unit in duration ${shown}`;
  if (!/^((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+$/.test(rest)) return `time: invalid duration ${shown}`;
  let total = 0;
  for (const [, amount, unit] of rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * UNITS_MS[unit!]!;
  }
  return sign === "-" ? -total : total;
}

/** The limit of a request with that `timeout` parameter; none, and one beyond the maximum, mean the maximum. */
export function requestTimeoutMs(text: string | null, maximumMs: number): number {
  if (text === null || text === "") return maximumMs;
  const wanted = parseDuration(text);
  if (typeof wanted === "string") throw newBadRequest(`invalid timeout specified in the request URL - ${wanted}`);
  return wanted > 0 && wanted < maximumMs ? wanted : maximumMs;
}
