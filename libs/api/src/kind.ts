// What a kind is. A kind is data and pure functions in one folder; it never has request handlers of its own. The generic
// registry of the api-server does the rest.
import type { CelType } from "@coxswain/cel";
import type { FieldError, GroupVersionKind, KubeObject } from "@coxswain/apimachinery";
import type { FieldSet, TypeSchema } from "@coxswain/apimachinery/managed-fields/index";

export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";
export const ALL_VERBS: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

/** A column of the Table form (meta/v1 Table). priority 0 columns show always, others with `-o wide`. */
export interface ColumnDefinition {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean" | "date" | "number";
  readonly format?: "name" | "";
  readonly description: string;
  readonly priority: number;
}

export interface PrintContext {
  /** ms since the epoch, for ages. */
  readonly nowMs: number;
}

/** As upstream's TableRowCondition. */
export interface RowCondition {
  readonly type: "Completed";
  readonly status: "True";
  readonly reason: string;
  readonly message: string;
}

export interface StrategyContext {
  readonly nowMs: number;
}

/** What graceful deletion does to an object: see `Strategy.gracefulDelete`. */
export interface GracefulDeletion {
  /** 0 deletes at once. */
  readonly gracePeriodSeconds: number;
}

export interface Strategy<T> {
  /** Clears what a creator must not set (status), sets generation 1 where the kind has one. */
  prepareForCreate(object: T, context: StrategyContext): void;
  /** Keeps status from `old`, bumps metadata.generation where the spec changed. */
  prepareForUpdate(object: T, old: T, context: StrategyContext): void;
  /** For the status subresource: keeps everything but status (and what the kind allows besides). */
  prepareForStatusUpdate?(object: T, old: T, context: StrategyContext): void;
  /** At the first DELETE of an object that is not yet being deleted: may add a finalizer. */
  prepareForDelete?(object: T, context: StrategyContext): void;
  /** PUT of an absent object creates it (upstream: Lease, Event and a few more). */
  readonly allowCreateOnUpdate: boolean;
  /** PUT without a resourceVersion is allowed. */
  readonly allowUnconditionalUpdate: boolean;
  /** Absent: the kind is deleted at once. */
  gracefulDelete?(object: T, requestedSeconds: number | undefined): GracefulDeletion;
  /** What DELETE without a propagationPolicy means. */
  readonly defaultPropagation: "Background" | "Orphan";
  /** Upstream's warnings, sent as Warning headers. */
  warnings?(object: T, old: T | undefined): string[];
}

export interface ScaleAccess<T> {
  replicas(object: T): number;
  setReplicas(object: T, replicas: number): void;
  statusReplicas(object: T): number;
  /** The label selector in string form. */
  selector(object: T): string;
}

/** Makes objects of an apiVersion of others of the same kind, one for each, until `asker` is gone. Rejects with StatusError. */
export type ConvertObjects = (
  objects: readonly KubeObject[],
  apiVersion: string,
  asker?: { readonly signal: AbortSignal },
) => Promise<KubeObject[]>;

/** What a kind that was defined at run time does besides: its schema is not in the table of schemas. */
export interface CustomForm {
  /** The identity under which objects are stored: that of the storage version. */
  readonly storedAs: GroupVersionKind;
  /**
   * Brings an object that came from outside into the form of the schema, in place: takes out what is unknown.
   * Returns the paths of that, and what is wrong with the object's own identity (in the words of a decoder).
   */
  accept(object: KubeObject): { readonly unknown: readonly string[]; readonly wrong: readonly string[] };
  /**
   * Brings an object that lies in storage in the version `stored` into the form of that version's schema, in place, with its
   * defaults; says whether it changed. Absent: nothing ever.
   * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting
   */
  revive?(object: KubeObject, stored: string): boolean;
  /** Takes out, in place, what this version does not know of an object that came from another; says whether it changed. */
  prune?(object: KubeObject): boolean;
  /** Asks somebody else for objects in another version; absent: versions differ in their apiVersion alone. */
  readonly convert?: ConvertObjects;
  /** The type as expressions see it where types are checked. */
  celType(): CelType;
  /** The OpenAPI schemas of the kind and its list, by name. */
  readonly schemas: Readonly<Record<string, unknown>>;
}

/**
 * Of a kind that is another form of one that is stored: the same objects under another group or version. The conversions
 * are pure, take and return whole objects of which they may share parts, and keep what they do not know of metadata.
 */
export interface ServedForm<T extends KubeObject = KubeObject> {
  /** The kind whose form is stored. */
  readonly of: KindDefinition;
  // Methods, so that a kind's own type fits.
  toStored(object: T): KubeObject;
  fromStored(object: KubeObject): T;
}

/** Of a kind that is about to go. */
export interface Leaving {
  /** What discovery still tells of; what is there can be changed as before. */
  readonly verbs: readonly Verb[];
  /** Why nothing is created. */
  readonly refusal: string;
}

export interface KindDefinition<T extends KubeObject = KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** As in "PodList". */
  readonly listKind: string;
  /** Plural, as in "pods". */
  readonly resource: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  readonly leaving?: Leaving;
  /** The key in the schema table, as in "io.k8s.api.core.v1.Pod". */
  readonly schemaName: string;
  /** How its fields merge under server-side apply; absent: as the schema of `schemaName` says. */
  typeSchema?(): TypeSchema;
  /** What a status update cannot change besides the spec; absent: nothing more. */
  statusResets?(): FieldSet;
  /** False for review kinds (SubjectAccessReview, …), which are answered and never stored. */
  readonly stored: boolean;
  /** Other versions of the group that a body may name, of the same form. */
  readonly alsoReads?: readonly string[];
  /** Fills in defaults, in place. Idempotent. */
  defaults(object: T): void;
  /**
   * A new state may share with the old one what a patch leaves as it is: neither defaults nor the strategy's updates write into
   * what lies below the top and metadata of a stored object; they put something else in its place.
   */
  readonly sharesState?: true;
  /**
   * The spec stands alone: defaults look at it and at nothing else, change nothing else, and where there is none do nothing; and
   * what is wrong with it as such depends on nothing else.
   */
  readonly specAlone?: true;
  /**
   * Everything but metadata, which the registry validates for all kinds. `knownSpec`, of kinds whose spec stands alone: that
   * nothing is wrong with the spec as such.
   */
  validateCreate(object: T, knownSpec?: boolean): FieldError[];
  validateUpdate(object: T, old: T, knownSpec?: boolean): FieldError[];
  validateStatusUpdate?(object: T, old: T): FieldError[];
  /** Validates metadata.name; absent: a DNS-1123 subdomain. */
  validateName?(name: string, prefix: boolean): string[];
  /** True where finalizers need not have a path. */
  readonly freeFinalizers?: boolean;
  /** DELETE of an object that goes at once is answered with it, as it was last; absent: with a Status. */
  readonly returnDeletedObject?: boolean | undefined;
  readonly strategy: Strategy<T>;
  readonly hasStatus: boolean;
  readonly scale?: ScaleAccess<T>;
  /** Further subresources that the api-server serves generically by name: binding, eviction, token, log, exec, … */
  readonly subresources: readonly SubresourceDefinition[];
  readonly columns: readonly ColumnDefinition[];
  /** The cells of a Table row, in order of `columns`. */
  row(object: T, context: PrintContext): unknown[];
  /** The order of the rows of a Table; absent: that of the list. */
  tableOrder?(a: T, b: T): number;
  /** What a Table row says of the object besides its cells; absent, or undefined for an object: nothing. */
  rowConditions?(object: T): readonly RowCondition[] | undefined;
  /** What every caller is warned of, as in "v1 ComponentStatus is deprecated in v1.19+". */
  readonly deprecation?: string;
  /** Set for custom resources. */
  readonly custom?: CustomForm;
  /** Set where objects are stored as those of another kind. */
  readonly form?: ServedForm<T>;
  /** Field-selector values besides metadata.name and metadata.namespace. */
  selectableFields(object: T): Record<string, string>;
}

export interface SubresourceDefinition {
  readonly name: string;
  readonly verbs: readonly string[];
  /** The kind of the body, for discovery. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** A subresource that reads and writes a part of the object itself: what an update keeps, and what it must be. */
  readonly rules?: {
    // Methods, so that a kind's own type fits.
    prepare(object: KubeObject, old: KubeObject, context: StrategyContext): void;
    validate(object: KubeObject, old: KubeObject): FieldError[];
  };
}
