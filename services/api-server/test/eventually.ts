// Waits for what comes true by itself, as long as a slow machine takes.
import { vi } from "vitest";

const TIMEOUT_MS = 20_000;

/** Looks again until `look` throws no more; rejects with what it threw last. */
export function eventually<T>(look: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: TIMEOUT_MS });
}
