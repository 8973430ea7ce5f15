// The generic store of every kind: create, update, delete. Guarantees:
// - A change is decided on one version of the object and committed only if that is still the stored one; else it is
//   decided again. What was decided on a version from the cache is refused only after a look at storage.
// - A dry run does all but the commit.
import type { KindDefinition } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import {
  deepClone,
  isReason,
  newAlreadyExists,
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
import type { Committer } from "./committer.ts";
import { isReleased, planDeletion } from "./deletion-plan.ts";
import { fillForCreate, fillForUpdate } from "./metadata.ts";
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

type Decision =
  | { readonly put: KubeObject }
  /** The object as it was last. */
  | { readonly remove: CachedObject }
  /** `unchanged` is what an update made of it: the same again. */
  | { readonly keep: CachedObject; readonly unchanged?: KubeObject };

export interface WriteOutcome {
  readonly object: CachedObject;
  readonly removed: boolean;
}

/** Makes the new state from the old one; the result is the registry's to change. */
export type Produce = (old: CachedObject) => KubeObject | Promise<KubeObject>;

export interface UpdateRules {
  /** Replaces the kind's own preparation and validation: finalize, binding. */
  readonly prepare?: (object: KubeObject, old: KubeObject) => void;
  readonly validate?: (object: KubeObject, old: KubeObject) => readonly FieldError[];
  /** The object comes with its managedFields settled: an apply. */
  readonly applied?: boolean;
}

export class Registry {
  readonly #deps: RegistryDeps;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
  }

  async create(
    context: WriteContext,
    object: KubeObject,
    rules: Pick<UpdateRules, "applied"> = {},
  ): Promise<CachedObject> {
    const generated = !object.metadata?.name && !!object.metadata?.generateName;
    for (let attempt = 1; ; attempt++) {
      const candidate = generated ? deepClone(object) : object;
      try {
        return await this.#createOnce(context, candidate, rules.applied === true);
      } catch (error) {
        if (!generated || !isReason(error, "AlreadyExists")) throw error;
        if (attempt >= GENERATED_NAME_ATTEMPTS) {
          throw newGenerateNameConflict(storedKindOf(context.kind), candidate.metadata?.name ?? "", 1);
        }
      }
    }
  }

  async #createOnce(context: WriteContext, object: KubeObject, applied: boolean): Promise<CachedObject> {
    const { kind } = context;
    const { env, admission } = this.#deps;
    fillForCreate(env, context, object);
    const name = object.metadata?.name ?? "";
    if (!applied) setManagedFields(object, trackWrite(context, object, undefined, env.clock.now()));
    const attributes = this.#attributes(context, "CREATE", name, object, undefined);
    await admission.admit(attributes);
    kind.defaults(object);
    const state = new Map<string, unknown>();
    this.#deps.committer.prepare({ context, next: object, old: undefined, state });
    kind.strategy.prepareForCreate(object, { nowMs: env.clock.now() });
    this.#validateCreate(kind, name, object, context);
    await admission.validate(attributes);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const outcome = await this.#commit(context, name, object, undefined, state);
      if (outcome.committed) return outcome.object!;
      if (outcome.current !== undefined) throw newAlreadyExists(storedKindOf(kind), name);
    }
    throw newServerTimeout(storedKindOf(kind), "create", 1);
  }

  #validateCreate(kind: KindDefinition, name: string, object: KubeObject, context: WriteContext): void {
    const errors = [...validateObjectMeta(object.metadata!, kind), ...kind.validateCreate(object)];
    if (errors.length > 0) throw newInvalid(storedKindOf(kind), name || (object.metadata?.generateName ?? ""), errors);
    context.warnings.push(...(kind.strategy.warnings?.(object, undefined) ?? []));
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
        if (old === undefined) throw newNotFound(storedKindOf(kind), name);
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
    fillForUpdate(context, object, old);
    const before = old.object;
    const now = { nowMs: env.clock.now() };
    const managed =
      rules.applied === true ? object.metadata?.managedFields : trackWrite(context, object, before, now.nowMs);
    setManagedFields(object, managed);
    const attributes = this.#attributes(context, "UPDATE", name, object, before);
    await admission.admit(attributes);
    kind.defaults(object);
    this.#deps.committer.prepare({ context, next: object, old: before, state });
    if (rules.prepare !== undefined) rules.prepare(object, before);
    else if (subresource === "status") kind.strategy.prepareForStatusUpdate?.(object, before, now);
    else kind.strategy.prepareForUpdate(object, before, now);
    // What an endpoint keeps of the old metadata does not take back who changed what.
    setManagedFields(object, managed);
    const specific = rules.validate
      ? rules.validate(object, before)
      : subresource === "status"
        ? (kind.validateStatusUpdate?.(object, before) ?? [])
        : kind.validateUpdate(object, before);
    const errors = [...validateObjectMetaUpdate(object.metadata!, before.metadata!, kind), ...specific];
    if (errors.length > 0) throw newInvalid(storedKindOf(kind), name, errors);
    if (subresource === "") replaceWarnings(context, kind, object, before);
    await admission.validate(attributes);
    if (isUnchanged(object, before)) return { keep: old, unchanged: object };
    return isReleased(kind, object, before) ? { remove: old } : { put: object };
  }

  /** Deletes, or marks where grace or finalizers hold the object. */
  async delete(context: WriteContext, options: DeletionOptions): Promise<WriteOutcome> {
    const { kind, name } = context;
    return await this.#transact(context, async (old) => {
      if (old === undefined) throw newNotFound(storedKindOf(kind), name);
      await this.#deps.admission.validate(this.#attributes(context, "DELETE", name, undefined, old.object));
      // Deletion changes an object at its top and in its metadata; a kind's own preparation may do so anywhere.
      const object = kind.strategy.prepareForDelete === undefined ? old.draft() : old.unmanaged();
      const plan = planDeletion(kind, object, options, this.#deps.env.clock.now());
      if (plan.action === "remove") return { remove: old };
      if (plan.action === "none") return { keep: old };
      setManagedFields(object, old.object.metadata?.managedFields);
      return { put: object };
    });
  }

  /** Decides on the cached version first; looks into storage before it refuses or leaves things as they are. */
  async #transact(
    context: WriteContext,
    decide: (old: CachedObject | undefined, state: Map<string, unknown>) => Promise<Decision>,
  ): Promise<WriteOutcome> {
    const { kind, namespace, name } = context;
    const { cache, committer } = this.#deps;
    const cached = cache.get(kind, namespace, name)?.formIn(kind);
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
      const next = "put" in decision ? decision.put : undefined;
      const outcome = await this.#commit(context, name, next, old, state);
      if (outcome.committed) return { object: outcome.object ?? old!, removed: next === undefined };
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
  ): ReturnType<Committer["commit"]> {
    return this.#deps.committer.commit({ context, name, next, old, state });
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
