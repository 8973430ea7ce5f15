// Flags that say how long.
import { GoDurationError, parseGoDuration } from "@coxswain/apimachinery";
import { InvalidArgumentError } from "commander";

/** The value of a flag as Go writes durations, as in 10s or 1m30s, in ms; not below zero. Throws InvalidArgumentError. */
export function durationFlag(text: string): number {
  try {
    const ms = parseGoDuration(text);
    if (ms >= 0) return ms;
  } catch (error) {
    if (error instanceof GoDurationError) throw new InvalidArgumentError(error.message);
    throw error;
  }
  throw new InvalidArgumentError("must not be negative");
}
