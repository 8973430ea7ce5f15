// What a strategic merge patch must know of a kind's fields.

export interface PatchField {
  /** For a list with strategy "merge" of objects: the member that identifies an element. */
  readonly mergeKey?: string;
  /** x-kubernetes-patch-strategy, split: "merge", "replace", "retainKeys". Absent: maps merge, lists are replaced. */
  readonly strategies: readonly string[];
  /** Of the object, of the list's elements or of the map's values; undefined for scalars and free-form values. */
  readonly schema: PatchSchema | undefined;
}

export interface PatchSchema {
  /** undefined where the field is unknown: it is then treated by the default rules. */
  lookup(field: string): PatchField | undefined;
}

/** Knows nothing: maps merge, lists are replaced. */
export const UNKNOWN_PATCH_SCHEMA: PatchSchema = { lookup: () => undefined };
