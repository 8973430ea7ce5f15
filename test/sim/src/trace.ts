// The trace of a run: every commit and every fault with its virtual time. Two runs are the same run when their traces are,
// byte for byte.
import { createHash } from "node:crypto";

export class Trace {
  readonly #hash = createHash("sha256");
  readonly #keep: number;
  readonly #recent: string[] = [];
  #length = 0;

  /** Keeps the latest `keep` lines for a report. */
  constructor(keep = 200) {
    this.#keep = keep;
  }

  add(ms: number, line: string): void {
    const text = `${ms.toFixed(3)} ${line}`;
    this.#hash.update(text).update("\n");
    this.#length++;
    // Heartbeats belong to the run, but would crowd out what a reader of the report looks for.
    if (line.includes("/leases/")) return;
    this.#recent.push(text);
    if (this.#recent.length > this.#keep) this.#recent.shift();
  }

  get length(): number {
    return this.#length;
  }

  recent(): readonly string[] {
    return this.#recent;
  }

  digest(): string {
    return this.#hash.copy().digest("hex");
  }
}
