// Managers that wrote in other versions of an object: their fields have the names of their versions, so what becomes of them is
// seen by looking at the object as those versions have it.
import type { Comparison } from "./compare.ts";
import { changedFields, compareObjects } from "./compare.ts";
import { difference, type FieldSet, isEmptySet, union } from "./field-set.ts";
import type { Managers, ManagedSet } from "./managers.ts";
import type { TypeSchema } from "./type-schema.ts";

/** The versions of an object whose fields differ. Absent where it has one, or all have the same fields. */
export interface Forms {
  /** undefined: no version of this object. */
  typeOf(apiVersion: string): TypeSchema | undefined;
  /** The object, which says its own version, in another; may share parts with it. */
  convert(object: Record<string, unknown>, apiVersion: string): Record<string, unknown>;
}

/** The version of a write, with its type. */
export interface Versioned {
  readonly apiVersion: string;
  readonly forms?: Forms | undefined;
}

/** Forgets who wrote in a version that is no more. Changes and returns `managers`. */
export function withoutUnknownVersions(managers: Managers, { forms }: Versioned): Managers {
  if (forms === undefined) return managers;
  for (const [id, { apiVersion }] of managers) if (forms.typeOf(apiVersion) === undefined) managers.delete(id);
  return managers;
}

/** The type that a manager's fields are of; `own` is that of the write. */
export function typeFor({ apiVersion }: ManagedSet, own: TypeSchema, write: Versioned): TypeSchema {
  if (write.forms === undefined || apiVersion === write.apiVersion) return own;
  return write.forms.typeOf(apiVersion) ?? own;
}

/** What a write changed, as each version has it. */
export class VersionedChange {
  readonly #write: Versioned;
  readonly #before: Record<string, unknown>;
  readonly #after: Record<string, unknown>;
  readonly #refine: (comparison: Comparison) => Comparison;
  readonly #known: Map<string, Comparison>;

  /** `own`: the comparison in the version of the write; `refine` is applied to all others. */
  constructor(
    write: Versioned,
    states: { readonly before: Record<string, unknown>; readonly after: Record<string, unknown> },
    own: Comparison,
    refine: (comparison: Comparison) => Comparison,
  ) {
    this.#write = write;
    this.#before = states.before;
    this.#after = states.after;
    this.#refine = refine;
    this.#known = new Map([[write.apiVersion, own]]);
  }

  #in(apiVersion: string): Comparison {
    const { forms, apiVersion: own } = this.#write;
    const known = this.#known.get(forms === undefined ? own : apiVersion);
    if (known !== undefined) return known;
    const type = forms!.typeOf(apiVersion)!;
    const [before, after] = [this.#before, this.#after].map((state) => forms!.convert(state, apiVersion));
    const made = this.#refine(compareObjects(before, after, type));
    this.#known.set(apiVersion, made);
    return made;
  }

  /** What became another or is new. */
  changed({ apiVersion }: ManagedSet): FieldSet {
    return changedFields(this.#in(apiVersion));
  }

  /** Takes what changed or went away from all managers but those for which `spares` holds; who has none left is gone. */
  disown(managers: Managers, spares: (id: string) => boolean = () => false): void {
    const lost = new Map<string, FieldSet>();
    for (const [id, entry] of managers) {
      if (spares(id)) continue;
      let fields = lost.get(entry.apiVersion);
      if (fields === undefined) {
        fields = union(this.changed(entry), this.#in(entry.apiVersion).removed);
        lost.set(entry.apiVersion, fields);
      }
      const set = difference(entry.set, fields);
      if (set === entry.set) continue;
      if (isEmptySet(set)) managers.delete(id);
      else managers.set(id, { ...entry, set });
    }
  }
}
