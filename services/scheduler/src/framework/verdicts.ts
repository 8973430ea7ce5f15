// The verdict column of one attempt: by row, which plugin rejected the node and why. Reused from attempt to attempt, so
// that an attempt allocates nothing per node.
import type { NodeVerdicts, Rejection, VerdictColumn } from "./contract.ts";

const OPEN = 0;

export class Verdicts implements VerdictColumn, NodeVerdicts {
  rows = 0;
  /** Index of the plugin that runs now; set by the framework. */
  plugin = 0;
  #plugins = new Uint8Array(64);
  #rejections: (Rejection | undefined)[] = [];
  readonly #names: readonly string[];

  /** `names`: plugin names by index. */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** All rows are open; or those that `closed` says 0 of, in which case nobody may ask why the others are not. */
  reset(rows: number, closed?: Uint8Array): void {
    this.rows = rows;
    if (this.#plugins.length < rows) this.#plugins = new Uint8Array(rows * 2);
    else if (closed === undefined) this.#plugins.fill(OPEN, 0, rows);
    if (closed !== undefined) this.#plugins.set(closed);
    // What is left of earlier attempts is not read: those rows are open.
    for (let row = this.#rejections.length; row < rows; row++) this.#rejections.push(undefined);
  }

  open(row: number): boolean {
    return this.#plugins[row] === OPEN;
  }
  /** By row: 0 where it is open. Void after `reset`. */
  get closed(): Uint8Array {
    return this.#plugins;
  }

  reject(row: number, rejection: Rejection): void {
    this.#plugins[row] = this.plugin + 1;
    this.#rejections[row] = rejection;
  }

  rejectionOf(row: number): Rejection | undefined {
    return this.#plugins[row] === OPEN ? undefined : this.#rejections[row];
  }

  pluginOf(row: number): string {
    return this.#names[this.#plugins[row]! - 1] ?? "";
  }

  /** Names of the plugins that rejected any row. */
  plugins(): Set<string> {
    const seen = new Uint8Array(this.#names.length + 1);
    for (let row = 0; row < this.rows; row++) seen[this.#plugins[row]!] = 1;
    return new Set(this.#names.filter((_, at) => seen[at + 1] === 1));
  }
}

/** The verdict on a single row; tells no rows apart. */
export class RowVerdict implements VerdictColumn {
  /** Index of the plugin that runs now. */
  plugin = 0;
  rejection: Rejection | undefined;

  open(): boolean {
    return this.rejection === undefined;
  }
  reject(_row: number, rejection: Rejection): void {
    this.rejection = rejection;
  }
}
