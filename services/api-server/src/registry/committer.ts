// Commits one object's change with all that must change with it: allocations, fences. Guarantees:
// - It is all one transaction, on the condition that the object is at the version that the caller decided on.
// - A refusal by somebody else's condition is told by that somebody; a refusal by the object's own is the caller's to retry.
import type { KindDefinition } from "@coxswain/api";
import { convertForm } from "@coxswain/api/scheme";
import { apiVersionOf, newRequestEntityTooLarge, type KubeObject } from "@coxswain/apimachinery";
import type { Condition, Mutation, Storage, StoredValue } from "@coxswain/storage";
import { CachedObject } from "../watch-cache/cached-object.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { encodeStored, storageKey } from "../watch-cache/stored-form.ts";
import { APPLY_TYPE } from "./apply.ts";
import { fenceCondition, fenceHolds, planFence, refuseFenced } from "./fences.ts";
import type { WriteContext } from "./write-context.ts";

/** etcd's limit on a request. */
export const MAX_OBJECT_BYTES = 1_572_864 - 16_384;

const NO_CONTRIBUTIONS: readonly Contribution[] = [];

/** What a plugged-in allocator adds to a write. */
export interface Contribution {
  readonly conditions: readonly Condition[];
  readonly mutations: readonly Mutation[];
  /** Called with what the keys of `conditions` held when the write was refused; throws where a retry is in vain. */
  refused(current: readonly (StoredValue | undefined)[]): void;
  /** Called with the versions of `mutations` once they are stored. */
  committed?(rvs: readonly bigint[]): void;
}

/** The object to be stored (undefined: removed) and the one before; `state` lives as long as the request does. */
export interface ContributionInput {
  readonly context: WriteContext;
  readonly next: KubeObject | undefined;
  readonly old: KubeObject | undefined;
  readonly state: Map<string, unknown>;
}

export interface Contributor {
  /** Called once the object is decoded, before it is prepared and validated: fills it in. */
  prepare?(input: {
    readonly context: WriteContext;
    readonly next: KubeObject;
    readonly old: KubeObject | undefined;
    readonly state: Map<string, unknown>;
  }): void;
  /** Commits of this process with the same key go one after the other; undefined: this one need not wait. */
  turn?(input: ContributionInput): string | undefined;
  /** Awaited before each attempt that has a turn. */
  ready?(input: ContributionInput): Promise<void>;
  /** Called before each attempt; may fill in the object that is to be stored. */
  contribute(input: ContributionInput): Contribution | undefined;
}

export interface Change {
  readonly context: WriteContext;
  readonly name: string;
  /** Undefined removes the object. */
  readonly next: KubeObject | undefined;
  readonly old: CachedObject | undefined;
  readonly state: Map<string, unknown>;
  /** JSON of the object's spec where it is known: no contributor fills in a spec that stands alone. */
  readonly specText?: string | undefined;
}

export type ChangeOutcome =
  /** `object` is undefined where it was removed, and `rv` the version of what happened, of a dry run that of what there was. */
  | { readonly committed: true; readonly object: CachedObject | undefined; readonly rv: bigint }
  /** Somebody was faster; `current` is what is there now. */
  | { readonly committed: false; readonly current: CachedObject | undefined };

export class Committer {
  readonly #storage: Storage;
  readonly #contributors: readonly Contributor[];
  readonly #cache: Pick<WatchCache, "writing" | "written">;
  /** The last commit of each turn. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(storage: Storage, contributors: readonly Contributor[], cache: Pick<WatchCache, "writing" | "written">) {
    this.#storage = storage;
    this.#contributors = contributors;
    this.#cache = cache;
  }

  prepare(input: Parameters<NonNullable<Contributor["prepare"]>>[0]): void {
    for (const each of this.#contributors) each.prepare?.(input);
  }

  /** A dry run stops before the commit, after the contributors have filled in the object. */
  async commit(change: Change): Promise<ChangeOutcome> {
    const { context, next, old, state } = change;
    const input: ContributionInput = { context, next, old: old?.object, state };
    for (const contributor of this.#contributors) {
      const turn = contributor.turn?.(input);
      if (turn !== undefined) {
        return await this.#inTurn(turn, async () => {
          await contributor.ready?.(input);
          return await this.#attempt(change, input);
        });
      }
    }
    return await this.#attempt(change, input);
  }

  async #inTurn<T>(turn: string, act: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(turn) ?? Promise.resolve();
    const mine = before.then(act, act);
    this.#turns.set(turn, mine);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(turn) === mine) this.#turns.delete(turn);
    }
  }

  async #attempt(change: Change, input: ContributionInput): Promise<ChangeOutcome> {
    const { context, next, old, name } = change;
    const { kind, namespace } = context;
    const contributions = this.#contributionsOf(input);
    const key = storageKey(kind, namespace, name);
    const encoded = next === undefined ? undefined : encodeChecked(context, next, change.specText);
    const stored = encoded instanceof Promise ? await encoded : encoded;
    if (context.dryRun) {
      const unchanged = old?.rv ?? 0n;
      const now = await this.#storage.get(key);
      if ((now?.rv ?? 0n) !== unchanged) {
        const current = now && (await CachedObject.read(kind, namespace, name, now.rv, now.value));
        return { committed: false, current };
      }
      return { committed: true, object: await versioned(change, stored, unchanged), rv: unchanged };
    }
    const { fence } = context.request;
    const conditions: Condition[] = [old === undefined ? { key, is: "absent" } : { key, is: "at", rv: old.rv }];
    const mutations: Mutation[] = [stored === undefined ? { op: "delete", key } : { op: "put", key, value: stored }];
    const moved = leaseFence(change);
    if (moved !== undefined) mutations.push(moved);
    for (const contribution of contributions) {
      conditions.push(...contribution.conditions);
      mutations.push(...contribution.mutations);
    }
    if (fence !== undefined) conditions.push(fenceCondition(fence));
    if (stored !== undefined) this.#cache.writing(kind, key, stored, next!);
    const result = await this.#storage.commit({ conditions, mutations });
    if (result.committed) {
      tellCommitted(contributions, result.rvs);
      const rv = result.rvs[0]!;
      if (stored === undefined) return { committed: true, object: undefined, rv };
      const made = this.#cache.written(kind, namespace, name, rv, stored);
      return { committed: true, object: made instanceof Promise ? await made : made, rv };
    }
    if (fence !== undefined && !fenceHolds(fence, result.current.at(-1))) refuseFenced(fence, result.current.at(-1));
    const current = result.current[0];
    const changed = current === undefined ? old !== undefined : current.rv !== old?.rv;
    if (!changed) tellContributors(contributions, result.current.slice(1));
    return {
      committed: false,
      current:
        current === undefined ? undefined : await CachedObject.read(kind, namespace, name, current.rv, current.value),
    };
  }

  /** Most writes get none. */
  #contributionsOf(input: ContributionInput): readonly Contribution[] {
    let found: Contribution[] | undefined;
    for (const contributor of this.#contributors) {
      const contribution = contributor.contribute(input);
      if (contribution !== undefined) (found ??= []).push(contribution);
    }
    return found ?? NO_CONTRIBUTIONS;
  }

  /** The object as storage has it now. */
  async read(kind: KindDefinition, namespace: string, name: string): Promise<CachedObject | undefined> {
    return (await this.readStored(kind, namespace, name))?.object;
  }

  /** The same, and whether it lies there in a form that is no longer used. */
  async readStored(
    kind: KindDefinition,
    namespace: string,
    name: string,
  ): Promise<{ readonly object: CachedObject; readonly stale: boolean } | undefined> {
    const found = await this.#storage.get(storageKey(kind, namespace, name));
    if (found === undefined) return undefined;
    const object = CachedObject.fromStored(kind, namespace, name, found.rv, found.value);
    return { object, stale: found.stale === true };
  }
}

/** The contributions' mutations are the last ones. */
function tellCommitted(contributions: readonly Contribution[], rvs: readonly bigint[]): void {
  if (contributions.length === 0) return;
  let at = rvs.length - contributions.reduce((sum, each) => sum + each.mutations.length, 0);
  for (const contribution of contributions) {
    contribution.committed?.(rvs.slice(at, at + contribution.mutations.length));
    at += contribution.mutations.length;
  }
}

function tellContributors(contributions: readonly Contribution[], current: readonly (StoredValue | undefined)[]): void {
  let at = 0;
  for (const contribution of contributions) {
    contribution.refused(current.slice(at, at + contribution.conditions.length));
    at += contribution.conditions.length;
  }
}

function leaseFence(change: Change): Mutation | undefined {
  const { kind, namespace } = change.context;
  if (kind.group !== "coordination.k8s.io" || kind.resource !== "leases") return undefined;
  const lease = `${namespace}/${change.name}`;
  return planFence(lease, change.next, change.old?.object);
}

function versioned(
  change: Change,
  stored: Buffer | undefined,
  rv: bigint,
): CachedObject | undefined | Promise<CachedObject> {
  const { kind, namespace } = change.context;
  return stored === undefined ? undefined : CachedObject.read(kind, namespace, change.name, rv, stored);
}

/** The object as it is stored, in the storage version. @throws StatusError RequestEntityTooLarge */
function encodeChecked(
  { kind, request }: Pick<WriteContext, "kind" | "request">,
  object: KubeObject,
  specText?: string,
): Buffer | Promise<Buffer> {
  const { custom, form } = kind;
  if (form !== undefined) {
    const stored = convertForm(kind, form.of, object);
    // What a form leaves out has the stored kind's defaults, in storage and in the answer.
    form.of.defaults(stored);
    return encodeFitting(request, stored, () => encodeStored(form.of, stored));
  }
  if (custom?.convert === undefined || custom.storedAs.version === kind.version) {
    return encodeFitting(request, object, () => encodeStored(custom?.storedAs ?? kind, object, specText));
  }
  const plain = JSON.parse(encodeStored(kind, object).toString()) as KubeObject;
  const converting = custom.convert([plain], apiVersionOf(custom.storedAs), request);
  return converting.then(([converted]) =>
    encodeFitting(request, converted!, () => encodeStored(custom.storedAs, converted!)),
  );
}

/** An object that is too large with its managedFields loses them, unless an apply wants them to be kept. */
function encodeFitting({ contentType }: WriteContext["request"], object: KubeObject, encode: () => Buffer): Buffer {
  const whole = encode();
  if (whole.length <= MAX_OBJECT_BYTES) return whole;
  const sheds = contentType !== APPLY_TYPE && object.metadata?.managedFields !== undefined;
  if (sheds) delete object.metadata!.managedFields;
  const stored = sheds ? encode() : whole;
  if (stored.length <= MAX_OBJECT_BYTES) return stored;
  throw newRequestEntityTooLarge(`limit is ${MAX_OBJECT_BYTES} bytes for an object, this one has ${stored.length}`);
}
