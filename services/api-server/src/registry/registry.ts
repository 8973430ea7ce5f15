// The generic store of every kind: create, update, delete. Guarantees:
// - A change is decided on one version of the object and committed only if that is still the stored one; else it is
//   decided again. What was decided on a version from the cache is refused only after a look at storage.
// - A dry run does all but the commit.
import type { KindDefinition, StrategyContext } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import {
  deepClone,
  isJsonObject,
  isReason,
  newAlreadyExists,
  newForbidden,
  newGenerateNameConflict,
  newInvalid,
  newNotFound,
  newServerTimeout,
  StatusError,
  type FieldError,
  type KubeObject,
} from "@coxswain/apimachinery";
import { validateObjectMeta, validateObjectMetaUpdate } from "@coxswain/api/object-meta";
import type { Env } from "@coxswain/env";
import type { AdmissionAttributes, AdmissionOperation } from "../pipeline/extension.ts";
import type { AdmissionChain } from "../admission/chain.ts";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { isUnchanged, setManagedFields, trackWrite } from "./apply-tracking.ts";
import { keepsSpec } from "./codec.ts";
import type { Committer } from "./committer.ts";
import { isReleased, planDeletion } from "./deletion-plan.ts";
import { KnownSpecs } from "./known-specs.ts";
import { fillForCreate, fillForUpdate, otherObject, requireNoVersion } from "./metadata.ts";
import type { Template } from "./templates.ts";
import type { DeletionOptions, WriteContext } from "./write-context.ts";

const GENERATED_NAME_ATTEMPTS = 8;
/** Another writer must have won each time; beyond it the client is asked to come back. */
const MAX_ATTEMPTS = 64;

export interface RegistryDeps {
  readonly env: Env;
  readonly cache: WatchCache;
  readonly committer: Committer;
  readonly admission: AdmissionChain;
}

type Removal = Extract<Decision, { readonly remove: CachedObject }>;
type Decision =
  | { readonly put: KubeObject; readonly specText?: string | undefined }
  /** The object that goes; `last` is what it is answered as, where that is another state than the stored one. */
  | { readonly remove: CachedObject; readonly last?: KubeObject }
  /** `unchanged` is what an update made of it: the same again. */
  | { readonly keep: CachedObject; readonly unchanged?: KubeObject };

export interface WriteOutcome {
  /** As it was last where it was removed. */
  readonly object: CachedObject;
  readonly removed: boolean;
}

/** Makes the new state from the old one; the result is the registry's to change. */
export type Produce = (old: CachedObject) => KubeObject | Promise<KubeObject>;

export interface UpdateRules {
  /** Replaces the kind's own preparation and validation: finalize, binding. */
  readonly prepare?: (object: KubeObject, old: KubeObject, context: StrategyContext) => void;
  readonly validate?: (object: KubeObject, old: KubeObject) => readonly FieldError[];
  /** The object comes with its managedFields settled: an apply. */
  readonly applied?: boolean;
  /** Webhooks and policies were asked already, about what the change is made of: a Scale, a Binding. */
  readonly asked?: boolean;
  /** The uid of the object that a whole new state is meant for: where none is there it is not that it was never there. */
  readonly uid?: string | undefined;
}

export interface CreateRules extends Pick<UpdateRules, "applied"> {
  /** What the object's body ended with. */
  readonly template?: Template | undefined;
  /** The same object once more; a copy where unset. */
  readonly again?: () => KubeObject;
}

export class Registry {
  readonly #deps: RegistryDeps;
  readonly #knownSpecs = new Map<KindDefinition, KnownSpecs>();

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
  }

  async create(context: WriteContext, object: KubeObject, rules: CreateRules = {}): Promise<CachedObject> {
    const generated = !object.metadata?.name && !!object.metadata?.generateName;
    // A name that is taken is rare: most never need the object a second time.
    const again = rules.again ?? (() => deepClone(object));
    for (let attempt = 1; ; attempt++) {
      const first = attempt === 1 && (!generated || rules.again !== undefined);
      const candidate = first ? object : again();
      try {
        return await this.#createOnce(context, candidate, rules);
      } catch (error) {
        if (!generated || !isReason(error, "AlreadyExists")) throw error;
        if (attempt >= GENERATED_NAME_ATTEMPTS) {
          throw newGenerateNameConflict(storedKindOf(context.kind), candidate.metadata?.name ?? "", 1);
        }
      }
    }
  }

  async #createOnce(context: WriteContext, object: KubeObject, rules: CreateRules): Promise<CachedObject> {
    const { kind } = context;
    const { env, admission } = this.#deps;
    fillForCreate(env, context, object);
    const name = object.metadata?.name ?? "";
    if (rules.applied !== true) {
      setManagedFields(object, trackWrite(context, object, undefined, env.clock.now(), rules.template?.sets));
    }
    if (kind.leaving !== undefined) throw newForbidden(storedKindOf(kind), name, kind.leaving.refusal);
    const attributes = this.#attributes(context, "CREATE", name, object, undefined);
    await admission.admit(attributes);
    kind.defaults(object);
    const state = new Map<string, unknown>();
    this.#deps.committer.prepare({ context, next: object, old: undefined, state });
    kind.strategy.prepareForCreate(object, { nowMs: env.clock.now() });
    const specText = specTextOf(kind, object);
    this.#validateCreate(kind, name, object, context, specText);
    await admission.validate(attributes);
    requireNoVersion(object);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const outcome = await this.#commit(context, name, object, undefined, state, specText);
      if (outcome.committed) return outcome.object!;
      if (outcome.current !== undefined) throw newAlreadyExists(storedKindOf(kind), name);
    }
    throw newServerTimeout(storedKindOf(kind), "create", 1);
  }

  #validateCreate(
    kind: KindDefinition,
    name: string,
    object: KubeObject,
    context: WriteContext,
    specText: string | undefined,
  ): void {
    const specific = this.#specErrors(kind, specText, (known) => kind.validateCreate(object, known));
    const errors = [...validateObjectMeta(object.metadata!, kind), ...specific];
    if (errors.length > 0) throw newInvalid(storedKindOf(kind), name || (object.metadata?.generateName ?? ""), errors);
    context.warnings.push(...(kind.strategy.warnings?.(object, undefined) ?? []));
  }

  /** `validate` is told whether the spec is known to have no errors. */
  #specErrors(
    kind: KindDefinition,
    text: string | undefined,
    validate: (known: boolean) => FieldError[],
  ): readonly FieldError[] {
    if (text === undefined) return validate(false);
    let known = this.#knownSpecs.get(kind);
    if (known === undefined) {
      known = new KnownSpecs();
      this.#knownSpecs.set(kind, known);
    }
    return known.errorsOf(text, validate);
  }

  /** Updates what `produce` makes of the stored object; creates it where the kind allows and `absent` is given. */
  async update(
    context: WriteContext,
    produce: Produce,
    rules: UpdateRules = {},
    absent?: () => Promise<CachedObject>,
  ): Promise<WriteOutcome & { readonly created: boolean }> {
    const { kind, name } = context;
    try {
      const outcome = await this.#transact(context, async (old, state) => {
        if (old === undefined) {
          throw rules.uid ? otherObject(context, rules.uid, undefined) : newNotFound(storedKindOf(kind), name);
        }
        return await this.#decideUpdate(context, old, await produce(old), rules, state);
      });
      return { ...outcome, created: false };
    } catch (error) {
      if (absent === undefined || !isReason(error, "NotFound")) throw error;
      return { object: await absent(), removed: false, created: true };
    }
  }

  async #decideUpdate(
    context: WriteContext,
    old: CachedObject,
    object: KubeObject,
    rules: UpdateRules,
    state: Map<string, unknown>,
  ): Promise<Decision> {
    const { kind, name, subresource } = context;
    const { env, admission } = this.#deps;
    fillForUpdate(context, object, old, rules.uid);
    const before = old.object;
    const now = { nowMs: env.clock.now() };
    const managed =
      rules.applied === true ? object.metadata?.managedFields : trackWrite(context, object, before, now.nowMs);
    setManagedFields(object, managed);
    const attributes = this.#attributes(context, "UPDATE", name, object, before);
    await admission.admit(attributes, rules.asked);
    if (!keepsSpec(kind, object, before)) kind.defaults(object);
    this.#deps.committer.prepare({ context, next: object, old: before, state });
    if (rules.prepare !== undefined) rules.prepare(object, before, now);
    else if (subresource === "status") kind.strategy.prepareForStatusUpdate?.(object, before, now);
    else kind.strategy.prepareForUpdate(object, before, now);
    // What an endpoint keeps of the old metadata does not take back who changed what.
    setManagedFields(object, managed);
    const plain = rules.validate === undefined && subresource !== "status";
    const specText = plain ? specTextOf(kind, object) : undefined;
    const specific = rules.validate
      ? rules.validate(object, before)
      : subresource === "status"
        ? (kind.validateStatusUpdate?.(object, before) ?? [])
        : this.#specErrors(kind, specText, (known) => kind.validateUpdate(object, before, known));
    const errors = [...validateObjectMetaUpdate(object.metadata!, before.metadata!, kind), ...specific];
    if (errors.length > 0) throw newInvalid(storedKindOf(kind), name, errors);
    if (subresource === "") replaceWarnings(context, kind, object, before);
    await admission.validate(attributes, rules.asked);
    if (isUnchanged(object, before)) return { keep: old, unchanged: object };
    return isReleased(kind, object, before) ? { remove: old, last: object } : { put: object, specText };
  }

  /** Deletes, or marks where grace or finalizers hold the object. */
  async delete(
    context: WriteContext,
    options: DeletionOptions,
    { asked }: Pick<UpdateRules, "asked"> = {},
  ): Promise<WriteOutcome> {
    const { kind, name } = context;
    return await this.#transact(context, async (old) => {
      if (old === undefined) throw newNotFound(storedKindOf(kind), name);
      await this.#deps.admission.validate(this.#attributes(context, "DELETE", name, undefined, old.object), asked);
      // Deletion changes an object at its top and in its metadata; a kind's own preparation may do so anywhere.
      const object = kind.strategy.prepareForDelete === undefined ? old.draft() : old.unmanaged();
      const plan = planDeletion(kind, object, options, this.#deps.env.clock.now());
      const graceful = kind.strategy.gracefulDelete !== undefined;
      if (plan.action === "remove" && !graceful) return { remove: old };
      if (plan.action === "none") return { keep: old };
      setManagedFields(object, old.object.metadata?.managedFields);
      return plan.action === "remove" ? { remove: old, last: object } : { put: object };
    });
  }

  /** Decides on the cached version first; looks into storage before it refuses or leaves things as they are. */
  async #transact(
    context: WriteContext,
    decide: (old: CachedObject | undefined, state: Map<string, unknown>) => Promise<Decision>,
  ): Promise<WriteOutcome> {
    const { kind, namespace, name } = context;
    const { cache, committer } = this.#deps;
    const cached = cache.get(kind, namespace, name)?.formIn(kind, context.request);
    let old = cached instanceof Promise ? await cached : cached;
    let fresh = false;
    const state = new Map<string, unknown>();
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      let decision: Decision | undefined;
      let refusal: StatusError | undefined;
      try {
        decision = await decide(old, state);
      } catch (error) {
        if (fresh || !(error instanceof StatusError)) throw error;
        refusal = error;
      }
      if (decision === undefined || "keep" in decision) {
        if (!fresh) {
          const now = await committer.readStored(kind, namespace, name);
          fresh = true;
          if (now?.object.rv !== old?.rv) {
            old = now?.object;
            continue;
          }
          // What lies under an old key is written again, be it the same: so keys are changed.
          if (now?.stale === true) decision = rewritten(decision);
        }
        if (refusal !== undefined) throw refusal;
        if (decision === undefined || "keep" in decision) return { object: decision!.keep, removed: false };
      }
      const { put: next, specText } = "put" in decision ? decision : { put: undefined };
      const outcome = await this.#commit(context, name, next, old, state, specText);
      if (outcome.committed && "remove" in decision) {
        return { object: removedForm(context, decision, outcome.rv), removed: true };
      }
      if (outcome.committed) return { object: outcome.object!, removed: false };
      old = outcome.current;
      fresh = true;
    }
    throw newServerTimeout(storedKindOf(kind), context.request.verb, 1);
  }

  #commit(
    context: WriteContext,
    name: string,
    next: KubeObject | undefined,
    old: CachedObject | undefined,
    state: Map<string, unknown>,
    specText: string | undefined,
  ): ReturnType<Committer["commit"]> {
    return this.#deps.committer.commit({ context, name, next, old, state, specText });
  }

  #attributes(
    context: WriteContext,
    operation: AdmissionOperation,
    name: string,
    object: KubeObject | undefined,
    old: KubeObject | undefined,
  ): AdmissionAttributes {
    const { request, kind, namespace, subresource, dryRun, warnings } = context;
    const warn = (text: string): void => {
      if (!warnings.includes(text)) warnings.push(text);
    };
    const base = { request, kind, operation, namespace, name, subresource, object, old, dryRun, warn };
    return request.annotate === undefined ? base : { ...base, annotate: request.annotate };
  }
}

/** What is answered of an object that was removed, `rv` being the version of that: only a deletion tells it. */
function removedForm({ kind, request }: WriteContext, decision: Removal, rv: bigint): CachedObject {
  const { remove: old, last } = decision;
  const version = request.verb === "delete" ? rv : old.rv;
  if (last !== undefined) return old.changedTo(kind, last, version);
  return kind.returnDeletedObject === true && version !== old.rv ? old.atVersion(version) : old;
}

/** The JSON of a spec that stands alone, once nothing changes it any more: validation and storage both want it. */
function specTextOf(kind: KindDefinition, object: KubeObject): string | undefined {
  const { spec } = object as { spec?: unknown };
  return kind.specAlone === true && isJsonObject(spec) ? JSON.stringify(spec) : undefined;
}

function rewritten(decision: Decision | undefined): Decision | undefined {
  const { unchanged } = decision !== undefined && "keep" in decision ? decision : {};
  return unchanged === undefined ? decision : { put: unchanged };
}

/** A retried decision must not tell its warnings twice. */
function replaceWarnings(context: WriteContext, kind: KindDefinition, object: KubeObject, old: KubeObject): void {
  for (const warning of kind.strategy.warnings?.(object, old) ?? []) {
    if (!context.warnings.includes(warning)) context.warnings.push(warning);
  }
}
