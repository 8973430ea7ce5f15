// The ResourceClient of the in-memory double: routes each call through fault injection to the store.
import {
  objectKey,
  StatusError,
  type KubeObject,
  type ResourceRef,
  fieldInvalid,
  newBadRequest,
  newConflict,
  newInvalid,
  newNotFound,
} from "@coxswain/apimachinery";
import type {
  BatchOperation,
  BatchOutcome,
  Fence,
  ListOptions,
  ListResult,
  PatchType,
  ResourceClient,
} from "../resource-client.ts";
import type { FaultRule, MemoryCall, MemoryVerb } from "./faults.ts";
import { memoryKind } from "./memory-kinds.ts";
import { cloneJson } from "./memory-store.ts";
import { checkUpdatable, createSubresource, scaleOf, updateScale } from "./memory-subresources.ts";
import { openWatch, tooOld, type WatchDeps } from "./memory-watch.ts";
import {
  createObject,
  deleteObject,
  keyOf,
  mustGet,
  updateObject,
  type Loose,
  type WriteContext,
} from "./memory-writes.ts";
import { applyPatch } from "./patch.ts";
import { selectionTest } from "../selection.ts";

export interface MemoryClientDeps extends WriteContext, WatchDeps {
  /** Notes the call and gives the fault that strikes it. */
  readonly take: (call: MemoryCall) => FaultRule | undefined;
  /** Time that a call takes one way, in ms; 0 answers within the same turn of the event loop. */
  readonly latencyMs: () => number;
}

const LEASES: ResourceRef = { group: "coordination.k8s.io", version: "v1", resource: "leases" };

type FenceSource = (() => Fence | undefined) | undefined;

/** A client that acts as `user`. */
export function createMemoryClient(deps: MemoryClientDeps, user: string, fence?: FenceSource): ResourceClient {
  const call = <T>(details: Omit<MemoryCall, "user">, run: () => T): Promise<T> =>
    perform(deps, { ...details, user }, fence, run);
  const named = (
    verb: MemoryVerb,
    ref: ResourceRef,
    namespace: string,
    name: string,
    subresource = "",
    body?: unknown,
  ) => ({
    verb,
    ref,
    namespace: memoryKind(ref).namespaced ? namespace : "",
    name,
    subresource,
    body,
  });
  const client: ResourceClient = {
    get: (ref, target, options = {}) => {
      const at = named("get", ref, target.namespace ?? "", target.name, options.subresource);
      return call(at, () => read(deps, ref, at) as never);
    },
    list: (ref, options = {}) => call(named("list", ref, options.namespace ?? "", ""), () => list(deps, ref, options)),
    watch: (ref, options, signal) => watchLazily(deps, user, ref, options, signal) as never,
    create: (ref, object, options = {}) => {
      const namespace = options.namespace || (object.metadata?.namespace ?? "");
      const name = options.name ?? object.metadata?.name ?? "";
      const { subresource = "", dryRun = false } = options;
      const at = named("create", ref, namespace, name, subresource, object);
      return call(
        at,
        () =>
          (subresource === ""
            ? createObject(deps, ref, object, { namespace, dryRun })
            : createSubresource(deps, ref, at, subresource, object, dryRun)) as never,
      );
    },
    update: (ref, object, options = {}) => {
      const at = named(
        "update",
        ref,
        object.metadata?.namespace ?? "",
        object.metadata?.name ?? "",
        options.subresource,
        object,
      );
      return call(at, () => update(deps, ref, at, object, options.dryRun ?? false) as never);
    },
    patch: (ref, target, type, patch, options = {}) => {
      const at = named("patch", ref, target.namespace ?? "", target.name, options.subresource, patch);
      return call(at, () => patchObject(deps, ref, at, type, patch, options.dryRun ?? false) as never);
    },
    delete: (ref, target, options = {}) => {
      const at = named("delete", ref, target.namespace ?? "", target.name, "", options);
      return call(at, () => deleteObject(deps, ref, at, options));
    },
    deleteCollection: (ref, selection, options = {}) =>
      call(named("deletecollection", ref, selection.namespace ?? "", "", "", options), () => {
        for (const object of list(deps, ref, selection).items) {
          deleteObject(
            deps,
            ref,
            { namespace: object.metadata?.namespace ?? "", name: object.metadata?.name ?? "" },
            options,
          );
        }
      }),
    batch: <T extends KubeObject>(operations: readonly BatchOperation[]) =>
      Promise.all(operations.map((operation) => outcome<T>(performOne(client, operation)))),
    fenced: (current) => createMemoryClient(deps, user, current),
    close: () => Promise.resolve(),
  };
  return client;
}

function performOne(client: ResourceClient, operation: BatchOperation): Promise<KubeObject | undefined> {
  const { ref } = operation;
  if (operation.op === "create") {
    const { namespace, name, subresource } = operation;
    return client.create(ref, operation.object, { namespace, name, subresource });
  }
  if (operation.op === "update") return client.update(ref, operation.object, { subresource: operation.subresource });
  if (operation.op === "patch") {
    const { target, type, patch, subresource } = operation;
    return client.patch(ref, target, type, patch, { subresource });
  }
  return client.delete(ref, operation.target, operation.options);
}

async function outcome<T>(write: Promise<KubeObject | undefined>): Promise<BatchOutcome<T>> {
  try {
    return { ok: true, object: (await write) as T };
  } catch (error) {
    return { ok: false, error: error as Error };
  }
}

const WRITES: ReadonlySet<MemoryVerb> = new Set(["create", "update", "patch", "delete", "deletecollection"]);

async function perform<T>(deps: MemoryClientDeps, call: MemoryCall, fence: FenceSource, run: () => T): Promise<T> {
  const isWrite = WRITES.has(call.verb);
  const proof = isWrite && fence !== undefined ? fence() : undefined;
  if (isWrite && fence !== undefined && proof === undefined) {
    throw newConflict(call.ref, call.name, "this process does not lead, so it does not write");
  }
  const body = call.body === undefined ? undefined : cloneJson(call.body);
  const fault = deps.take({ ...call, body });
  const error = fault?.error ?? new StatusError("InternalError", 500, "Internal error occurred: injected failure");
  const there = deps.latencyMs();
  if (there > 0) await deps.env.timers.sleep(there);
  if (fault !== undefined && !(fault.lands === true && isWrite)) throw error;
  if (proof !== undefined) checkFence(deps, call, proof);
  const answer = run();
  const back = deps.latencyMs();
  if (back > 0) await deps.env.timers.sleep(back);
  if (fault !== undefined) throw error;
  return answer;
}

function checkFence(deps: MemoryClientDeps, call: MemoryCall, proof: Fence): void {
  const lease = deps.store.table(LEASES).get(proof.lease);
  const { spec = {} } = (lease ?? {}) as Loose;
  const holds = spec["holderIdentity"] === proof.holder && (spec["leaseTransitions"] ?? 0) === proof.transitions;
  if (!holds) throw newConflict(call.ref, call.name, `the writer no longer holds the lease ${proof.lease}`);
}

interface At {
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

function read(deps: MemoryClientDeps, ref: ResourceRef, at: At): KubeObject {
  if (at.name === "") throw newBadRequest("resource name may not be empty");
  if (at.subresource === "scale") return scaleOf(deps, ref, at);
  checkUpdatable(ref, at.subresource);
  return cloneJson(mustGet(deps, ref, at.namespace, at.name));
}

function list<T extends KubeObject>(deps: MemoryClientDeps, ref: ResourceRef, options: ListOptions): ListResult<T> {
  const test = selectionTest(options);
  const token =
    options.continue === undefined || options.continue === "" ? undefined : decodeContinue(options.continue);
  if (token !== undefined && BigInt(token.rv) < deps.store.compactedRv) {
    throw tooOld(token.rv, deps.store.compactedRv);
  }
  const all = [...deps.store.table(ref).values()].filter(test);
  all.sort((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));
  const rest = token === undefined ? all : all.filter((object) => objectKey(object) > token.after);
  const limit = options.limit ?? 0;
  const items = limit > 0 ? rest.slice(0, limit) : rest;
  const resourceVersion = token?.rv ?? deps.store.currentRv.toString();
  const last = items.at(-1);
  const more = items.length < rest.length && last !== undefined;
  const continuation = more
    ? { continue: encodeContinue(resourceVersion, objectKey(last)), remainingItemCount: rest.length - items.length }
    : {};
  return { metadata: { resourceVersion, ...continuation }, items: items.map((object) => cloneJson(object) as T) };
}

// Pages after the first read the present state, not the first page's: enough for a double, and a reader that follows with
// a watch from the list's version converges all the same.
function encodeContinue(rv: string, after: string): string {
  return Buffer.from(JSON.stringify({ rv, after })).toString("base64url");
}
function decodeContinue(token: string): { rv: string; after: string } {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString()) as { rv: string; after: string };
  } catch {
    throw newBadRequest("continue key is not valid");
  }
}

function update(deps: MemoryClientDeps, ref: ResourceRef, at: At, object: KubeObject, dryRun: boolean): KubeObject {
  const { subresource } = at;
  if (subresource === "scale") return updateScale(deps, ref, at, () => cloneJson(object), dryRun);
  checkUpdatable(ref, subresource);
  const absent = !deps.store.table(ref).has(keyOf(at.namespace, at.name));
  if (absent && memoryKind(ref).createOnUpdate && subresource === "" && at.name !== "") {
    if ((object.metadata?.resourceVersion ?? "") !== "") throw newNotFound(ref, at.name);
    return createObject(deps, ref, object, { namespace: at.namespace, dryRun });
  }
  return updateObject(deps, ref, at, () => cloneJson(object), { subresource, dryRun });
}

function patchObject(
  deps: MemoryClientDeps,
  ref: ResourceRef,
  at: At,
  type: PatchType,
  patch: unknown,
  dryRun: boolean,
): KubeObject {
  if (at.subresource === "scale") return updateScale(deps, ref, at, (old) => applyPatch(old, type, patch), dryRun);
  checkUpdatable(ref, at.subresource);
  const change = (old: Loose): Loose => {
    const next = applyPatch(old, type, patch);
    if (next.metadata?.name !== undefined && next.metadata.name !== at.name) {
      const cause = fieldInvalid("metadata.name", next.metadata.name, "field is immutable");
      throw newInvalid({ group: ref.group, kind: old.kind ?? "" }, at.name, [cause]);
    }
    return next;
  };
  return updateObject(deps, ref, at, change, { subresource: at.subresource, dryRun });
}

/** A watch opens at the first read, as a network client's does; a fault strikes then. */
async function* watchLazily(
  deps: MemoryClientDeps,
  user: string,
  ref: ResourceRef,
  options: Parameters<ResourceClient["watch"]>[1],
  signal: AbortSignal,
): AsyncGenerator<{ type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; object: KubeObject }> {
  if (signal.aborted) return;
  const fault = deps.take({ verb: "watch", ref, namespace: options.namespace ?? "", name: "", subresource: "", user });
  if (fault !== undefined)
    throw (
      fault.error ?? new StatusError("ServiceUnavailable", 503, "the server is currently unable to handle the request")
    );
  yield* openWatch(deps, ref, user, options, signal);
}
