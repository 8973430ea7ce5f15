// GET and LIST from the watch cache, and from storage for pages that are older than the cache remembers.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
import type { KindDefinition } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import {
  fieldForbidden,
  fieldNotSupported,
  newBadRequest,
  newExpired,
  newInvalid,
  newNotFound,
  parseResourceVersion,
  type FieldError,
  type StatusError,
} from "@coxswain/apimachinery";
import { CompactedError, type Storage } from "@coxswain/storage";
import type { ApiResult, Asker, RequestOptions } from "../pipeline/contract.ts";
import { CachedObject } from "./cached-object.ts";
import { decodeContinue, encodeContinue, ExpiredContinueError } from "./continue-token.ts";
import { identityOf, opaqueKind } from "./opaque-kind.ts";
import { namespacePrefix, parseStorageKey, resourcePrefix, storageKey } from "./stored-form.ts";
import type { WatchCache } from "./watch-cache.ts";
import { selects, type ObjectSelection } from "./watcher.ts";

const VERSION_EXPIRED = "The resourceVersion for the provided list is too old.";

/** Versions are unsigned numbers of 64 bits. */
const MAX_VERSION = 2n ** 64n - 1n;

export interface ReadDeps {
  readonly cache: WatchCache;
  readonly storage: Storage;
}

/** @throws StatusError BadRequest where the text is not a version */
export function requireVersion(text: string): bigint {
  const rv = parseResourceVersion(text);
  if (rv === undefined || rv > MAX_VERSION) {
    const why = rv === undefined ? "invalid syntax" : "value out of range";
    const shown = JSON.stringify(text);
    const problem = `Invalid value: ${shown}: strconv.ParseUint: parsing ${shown}: ${why}`;
    throw newBadRequest(`invalid resource version: resourceVersion: ${problem}`);
  }
  return rv;
}

/** Waits as long as the version that a request names demands: "" the present, "0" anything, else at least that one. */
export async function awaitVersion(cache: WatchCache, resourceVersion: string | undefined): Promise<void> {
  if (resourceVersion === undefined || resourceVersion === "") await cache.consistent();
  else if (resourceVersion === "0") await cache.caughtUp();
  else {
    const rv = requireVersion(resourceVersion);
    await cache.caughtUp();
    await cache.reach(rv);
  }
}

export async function readObject(
  { cache }: ReadDeps,
  kind: KindDefinition,
  namespace: string,
  name: string,
  resourceVersion: string | undefined,
  asker: Asker,
): Promise<CachedObject> {
  // Most reads want the present: they wait for it without a promise more.
  await (resourceVersion === undefined ? cache.consistent() : awaitVersion(cache, resourceVersion));
  const object = cache.resource(kind).get(namespace, name);
  if (object === undefined) throw newNotFound(storedKindOf(kind), name);
  const form = object.formIn(kind, asker);
  return form instanceof Promise ? await form : form;
}

export interface ListRequest {
  readonly kind: KindDefinition;
  readonly selection: ObjectSelection;
  /** False where a label or field selector is given: what remains is then unknown. */
  readonly countable: boolean;
  readonly options: RequestOptions;
  readonly asker: Asker;
}

type ListResult = Extract<ApiResult, { type: "list" }>;

export async function readList(deps: ReadDeps, request: ListRequest): Promise<ListResult> {
  const { options } = request;
  validateListOptions(options);
  const limit = Math.max(0, parseInteger(options.limit));
  // Nothing bounds a list by it; that it is a number is asked of every request.
  parseInteger(options.timeoutSeconds);
  if (options.continue !== undefined && options.continue !== "") {
    const token = decodeContinue(options.continue);
    if (options.resourceVersion !== undefined && options.resourceVersion !== "" && options.resourceVersion !== "0") {
      throw newBadRequest("specifying resource version is not allowed when using continue");
    }
    if (token.rv === undefined) await deps.cache.consistent();
    const expired = (): StatusError => new ExpiredContinueError(token.after);
    return await listAt(deps, request, { rv: token.rv ?? deps.cache.throughRv, limit, after: token.after, expired });
  }
  const text = options.resourceVersion ?? "";
  const exact =
    options.resourceVersionMatch === "Exact" ||
    (limit > 0 && text !== "" && text !== "0" && !options.resourceVersionMatch);
  if (exact) {
    return await listAt(deps, request, {
      rv: requireVersion(text),
      limit,
      after: undefined,
      expired: () => newExpired(VERSION_EXPIRED),
    });
  }
  await awaitVersion(deps.cache, text);
  const { kind, selection } = request;
  const present = deps.cache.resource(kind).list(selection.namespace);
  // Who takes any version takes it from memory, and as a whole.
  return await page(request, { rv: deps.cache.throughRv, limit: text === "0" ? 0 : limit }, present);
}

interface PageAt {
  readonly rv: bigint;
  readonly limit: number;
  readonly after: { readonly namespace: string; readonly name: string } | undefined;
  readonly expired: () => StatusError;
}

async function listAt(deps: ReadDeps, request: ListRequest, at: PageAt): Promise<ListResult> {
  const { kind, selection } = request;
  await deps.cache.caughtUp();
  await deps.cache.reach(at.rv);
  const resource = deps.cache.resource(kind);
  const startAfter = at.after === undefined ? "" : storageKey(kind, at.after.namespace, at.after.name);
  if (at.rv >= resource.floor) {
    // The cache remembers longer than storage: a version is gone for all servers once storage has forgotten it.
    if (resource.lastRv > at.rv) await requireKept(deps.storage, kind, at);
    const all = resource.listAt(at.rv, selection.namespace);
    const from = startAfter === "" ? 0 : all.findIndex((item) => keyOf(kind, item) > startAfter);
    return await page(request, at, from < 0 ? [] : from === 0 ? all : all.slice(from));
  }
  const prefix = selection.namespace === undefined ? resourcePrefix(kind) : namespacePrefix(kind, selection.namespace);
  try {
    const read = await deps.storage.list({ prefix, startAfter: startAfter === "" ? undefined : startAfter, rv: at.rv });
    const items = read.items.map(({ key, rv, value }) => {
      const { namespace, name } = parseStorageKey(key)!;
      const own = kind.custom?.convert === undefined ? kind : opaqueKind(kind, identityOf(value));
      return CachedObject.fromStored(own, namespace, name, rv, value);
    });
    return await page(request, at, items);
  } catch (error) {
    if (error instanceof CompactedError) throw at.expired();
    throw error;
  }
}

/** Rejects as the reader says where storage no longer has the version. */
async function requireKept(storage: Storage, kind: KindDefinition, at: PageAt): Promise<void> {
  try {
    await storage.list({ prefix: resourcePrefix(kind), limit: 1, rv: at.rv });
  } catch (error) {
    if (error instanceof CompactedError) throw at.expired();
    throw error;
  }
}

function keyOf(kind: KindDefinition, item: CachedObject): string {
  return storageKey(kind, item.namespace, item.name);
}

/** Cuts a page from the candidates that follow its start. */
async function page(
  request: ListRequest,
  at: { readonly rv: bigint; readonly limit: number },
  present: readonly CachedObject[],
): Promise<ListResult> {
  const { kind, selection, countable, asker } = request;
  const foreign = kind.custom?.convert !== undefined;
  // What is chosen by its content must be seen as the kind has it.
  const candidates =
    foreign && selection.matches !== undefined ? await CachedObject.formsIn(kind, present, asker) : present;
  const items: CachedObject[] = [];
  let next = 0;
  for (; next < candidates.length; next++) {
    const item = candidates[next]!;
    if (!selects(selection, item)) continue;
    if (at.limit > 0 && items.length === at.limit) break;
    items.push(foreign ? item : item.as(kind));
  }
  const last = items.at(-1);
  const more = next < candidates.length && last !== undefined;
  return {
    type: "list",
    kind,
    items: foreign ? await CachedObject.formsIn(kind, items, asker) : items,
    resourceVersion: at.rv.toString(),
    continue: more ? encodeContinue({ rv: at.rv, after: { namespace: last.namespace, name: last.name } }) : "",
    remainingItemCount: more && countable ? candidates.length - next : undefined,
  };
}

function parseInteger(text: string | undefined): number {
  if (text === undefined || text === "") return 0;
  if (!/^-?\d{1,18}$/.test(text))
    throw newBadRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

function validateListOptions(options: RequestOptions): void {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch ?? "";
  const field = "resourceVersionMatch";
  if (match !== "") {
    if ((options.resourceVersion ?? "") === "") {
      errors.push(fieldForbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if ((options.continue ?? "") !== "") {
      errors.push(fieldForbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if (match !== "Exact" && match !== "NotOlderThan") {
      errors.push(fieldNotSupported(field, match, ["Exact", "NotOlderThan", ""]));
    }
    if (match === "Exact" && options.resourceVersion === "0") {
      errors.push(fieldForbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
    }
  }
  if (options.sendInitialEvents !== undefined) {
    errors.push(fieldForbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  }
  if (errors.length > 0) throw newInvalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}
