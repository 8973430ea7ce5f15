// Builds a KindDefinition from the parts in which a kind differs. What is left out takes the value most kinds share:
// all verbs, stored, no status, no subresources, nothing to default, nothing selectable besides name and namespace.
import type { KubeObject, ObjectMeta } from "@coxswain/apimachinery";
import type { KindDefinition, Strategy, SubresourceDefinition } from "./kind.ts";
import { ALL_VERBS } from "./kind.ts";
import { nameAndCreated } from "./printing.ts";
import { sameValue } from "./same-value.ts";

type Optional =
  | "listKind"
  | "singular"
  | "shortNames"
  | "categories"
  | "verbs"
  | "stored"
  | "defaults"
  | "validateCreate"
  | "validateUpdate"
  | "strategy"
  | "hasStatus"
  | "subresources"
  | "columns"
  | "row"
  | "selectableFields";

export type KindParts<T extends KubeObject> = Omit<KindDefinition<T>, Optional> & Partial<KindDefinition<T>>;

export function defineKind<T extends KubeObject>(parts: KindParts<T>): KindDefinition<T> {
  return {
    listKind: `${parts.kind}List`,
    singular: parts.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: ALL_VERBS,
    stored: true,
    defaults: () => {},
    validateCreate: () => [],
    validateUpdate: () => [],
    strategy: plainStrategy(),
    hasStatus: false,
    subresources: [],
    columns: nameAndCreated.columns,
    row: nameAndCreated.row,
    selectableFields: () => ({}),
    ...parts,
  };
}

/** A kind that is answered and never stored: a review, a binding, a scale. */
export function defineDocument<T extends KubeObject>(parts: KindParts<T>): KindDefinition<T> {
  return defineKind({ verbs: ["create"], ...parts, stored: false });
}

/** The metadata of an object, made where it is absent. */
export function metaOf(object: KubeObject): ObjectMeta {
  object.metadata ??= {};
  return object.metadata;
}

/** For kinds with neither generation nor status. */
export function plainStrategy<T extends KubeObject>(parts: Partial<Strategy<T>> = {}): Strategy<T> {
  return {
    prepareForCreate: () => {},
    prepareForUpdate: () => {},
    allowCreateOnUpdate: false,
    allowUnconditionalUpdate: true,
    defaultPropagation: "Background",
    ...parts,
  };
}

const KEPT_BY_STATUS = [
  "deletionTimestamp",
  "generation",
  "labels",
  "annotations",
  "finalizers",
  "ownerReferences",
] as const;

/** For kinds whose status update changes the status and nothing of the metadata. */
export function keepMetadata(object: KubeObject, old: KubeObject): void {
  const meta = metaOf(object);
  for (const name of KEPT_BY_STATUS) {
    const before = old.metadata?.[name];
    if (before === undefined) delete meta[name];
    else Object.assign(meta, { [name]: before });
  }
}

interface WithSpecAndStatus extends KubeObject {
  spec?: unknown;
  status?: unknown;
}

/** Sets metadata.generation from `old`, one higher where `changed`. */
export function setGeneration(object: KubeObject, old: KubeObject, changed: boolean): void {
  const before = old.metadata?.generation ?? 0;
  metaOf(object).generation = changed ? before + 1 : before;
}

/** For kinds whose spec is the user's, whose status is a controller's, and which count generations of the spec. */
export function specStrategy<T extends WithSpecAndStatus>(
  emptyStatus: () => T["status"],
  parts: Partial<Strategy<T>> = {},
): Strategy<T> {
  return {
    prepareForCreate(object) {
      object.status = emptyStatus();
      metaOf(object).generation = 1;
    },
    prepareForUpdate(object, old) {
      object.status = old.status;
      setGeneration(object, old, !sameValue(object.spec, old.spec));
    },
    prepareForStatusUpdate(object, old) {
      object.spec = old.spec;
      metaOf(object).generation = old.metadata?.generation;
    },
    allowCreateOnUpdate: false,
    allowUnconditionalUpdate: true,
    defaultPropagation: "Background",
    ...parts,
  };
}

/** Of what passes any request on. */
export const PROXY_VERBS: readonly string[] = ["create", "delete", "get", "patch", "update"];

export function subresource(
  name: string,
  verbs: readonly string[],
  [group, version, kind]: readonly [string, string, string],
): SubresourceDefinition {
  return { name, verbs, group, version, kind };
}
