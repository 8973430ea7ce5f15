// The variables that an expression binds itself, and what is known of their values.
import type { Entries, Operand } from "./operand.ts";
import { fixed, type Range } from "./ranges.ts";

export interface Bound {
  readonly path: readonly string[];
  readonly size: Range | undefined;
  readonly entries: Entries | undefined;
}

export class Scopes {
  readonly #bound = new Map<string, Bound[]>();

  get(name: string): Bound | undefined {
    return this.#bound.get(name)?.at(-1);
  }

  /** What `body` gives while the names are bound. */
  with<T>(names: readonly (readonly [string, Bound])[], body: () => T): T {
    for (const [name, bound] of names) {
      const all = this.#bound.get(name) ?? [];
      all.push(bound);
      this.#bound.set(name, all);
    }
    const value = body();
    for (const [name] of names) this.#bound.get(name)!.pop();
    return value;
  }
}

const isList = ({ kind, entries }: Operand): boolean => (entries?.container ?? kind) === "list";

/** The variable of a loop that has one: elements of a list, keys of a map. */
export function oneOf(range: Operand): Bound {
  return isList(range) ? valueOf(range) : keyOf(range);
}

/** The first of two variables. */
export function keyOf(range: Operand): Bound {
  const step = isList(range) ? "@indices" : "@keys";
  return { path: [...range.path, step], size: range.entries?.key, entries: undefined };
}

/** The second of two variables. */
export function valueOf(range: Operand): Bound {
  const step = isList(range) ? "@items" : "@values";
  return { path: [...range.path, step], size: range.entries?.value, entries: undefined };
}

export const EMPTY_LIST: Entries = { container: "list", key: fixed(1), value: fixed(0) };
