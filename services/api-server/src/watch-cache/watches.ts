// WATCH from the watch cache: where it starts, its bookmarks, its end.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
import type { KindDefinition } from "@coxswain/api";
import {
  apiVersionOf,
  fieldForbidden,
  fieldNotSupported,
  newBadRequest,
  newExpired,
  newInvalid,
  type FieldError,
  type Status,
} from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { PipelineWatchEvent, RequestOptions, WatchSink } from "../pipeline/contract.ts";
import { CachedObject } from "./cached-object.ts";
import { awaitVersion, requireVersion } from "./reads.ts";
import { convertingSink } from "./converting-sink.ts";
import { encodeStored, spliceVersion } from "./stored-form.ts";
import type { WatchCache } from "./watch-cache.ts";
import { selects, Watcher, type ObjectSelection } from "./watcher.ts";

/**
 * Informers that follow a chain of the change feed in which nothing happens join it again, after a change of publisher,
 * with the version of a bookmark. A bookmark costs a few microseconds.
 */
const BOOKMARK_EVERY_MS = 10_000;
const NOT_OLDER = "NotOlderThan";

export interface WatchRequest {
  readonly kind: KindDefinition;
  readonly selection: ObjectSelection;
  readonly options: RequestOptions;
  readonly signal: AbortSignal;
}

interface WatchDeps {
  readonly env: Env;
  readonly cache: WatchCache;
}

/** Streams into `sink` until the time-out, the reader's abort or its slowness end it. Rejects before the first event. */
export async function startWatch(deps: WatchDeps, request: WatchRequest, sink: WatchSink): Promise<void> {
  const { cache, env } = deps;
  const { options, kind, selection } = request;
  const initial = validateWatchOptions(options);
  const timeoutMs = watchTimeoutMs(options.timeoutSeconds, env);
  const text = options.resourceVersion ?? "";
  const bookmarks = options.allowWatchBookmarks === true;
  const fromPresent = initial ?? (text === "" || text === "0");
  if (fromPresent || text === "" || text === "0") await awaitVersion(cache, text);
  else await cache.caughtUp();
  const resource = cache.resource(kind);
  const since = fromPresent || text === "" || text === "0" ? cache.throughRv : requireVersion(text);
  if (since < resource.floor) {
    throw newExpired(`too old resource version: ${since} (${resource.floor})`);
  }
  // Nothing may await from here on: the start and the registration see the same state.
  const converts = kind.custom?.convert !== undefined;
  const chosen = converts ? { ...selection, matches: undefined } : selection;
  const formed = converts ? convertingSink(kind, selection, sink, request) : formingSink(kind, sink);
  const watcher = new Watcher(
    chosen,
    since,
    endingSink(kind.custom === undefined && kind.form === undefined ? sink : formed, () => stop()),
    bookmarks,
  );
  const missed = fromPresent ? [] : resource.eventsAfter(since);
  for (const event of missed) watcher.offer(event);
  if (fromPresent) {
    for (const object of resource.list(selection.namespace)) {
      if (selects(chosen, object)) watcher.enqueue({ type: "ADDED", object });
    }
    if (initial === true && bookmarks) watcher.enqueue(bookmark(kind, cache.throughRv, true));
  }
  const remove = cache.addWatcher(kind, watcher);
  const mark = (): void => {
    watcher.enqueue(bookmark(kind, maxVersion(cache.throughRv, since), false));
    if (!watcher.flush()) watcher.end(undefined);
  };
  const timer = env.timers.setTimeout(() => {
    if (bookmarks) mark();
    watcher.flush();
    watcher.end(undefined);
  }, timeoutMs);
  const interval = bookmarks ? env.timers.setInterval(mark, bookmarkEveryMs(env)) : undefined;
  const onAbort = (): void => watcher.end(undefined);
  request.signal.addEventListener("abort", onAbort, { once: true });
  function stop(): void {
    remove();
    env.timers.clear(timer);
    env.timers.clear(interval);
    request.signal.removeEventListener("abort", onAbort);
  }
  if (request.signal.aborted) onAbort();
  else cache.schedule(watcher);
}

function endingSink(sink: WatchSink, stop: () => void): WatchSink {
  return {
    send: (events) => sink.send(events),
    end(error: Status | undefined) {
      stop();
      sink.end(error);
    },
  };
}

/** Events as a version of a custom kind has them, so that all its readers share them. */
const formed = new WeakMap<PipelineWatchEvent, { readonly kind: KindDefinition; readonly event: PipelineWatchEvent }>();

function formedEvent(kind: KindDefinition, event: PipelineWatchEvent): PipelineWatchEvent {
  if (event.type === "BOOKMARK" || !(event.object instanceof CachedObject)) return event;
  const known = formed.get(event);
  if (known?.kind === kind) return known.event;
  const made = { type: event.type, object: event.object.as(kind) };
  formed.set(event, { kind, event: made });
  return made;
}

/** Hands on objects as the kind has them. */
function formingSink(kind: KindDefinition, sink: WatchSink): WatchSink {
  return {
    send: (events) => sink.send(events.map((event) => formedEvent(kind, event))),
    end: (error) => sink.end(error),
  };
}

/** Spread by a tenth, so that watches that began together do not stay together. */
function bookmarkEveryMs(env: Env): number {
  return Math.round(BOOKMARK_EVERY_MS * (0.9 + 0.2 * env.random.float()));
}

function maxVersion(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** An object of the kind with nothing but a version: everything up to it has been sent. */
function bookmark(kind: KindDefinition, rv: bigint, initialEventsEnd: boolean): PipelineWatchEvent {
  const annotations = initialEventsEnd ? { "k8s.io/initial-events-end": "true" } : undefined;
  const object = { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata: { annotations } };
  const json = spliceVersion(kind, encodeStored(kind, object), rv);
  return { type: "BOOKMARK", object: new CachedObject(kind, "", "", rv, json) };
}

function watchTimeoutMs(text: string | undefined, env: Env): number {
  if (text !== undefined && text !== "") {
    if (!/^-?\d{1,18}$/.test(text)) {
      throw newBadRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    }
    // Timers hold 31 bits of milliseconds.
    if (Number(text) > 0) return Math.min(Number(text) * 1000, 2_000_000_000);
  }
  // Spread, so that readers do not all come back at once.
  return Math.floor(1_800_000 * (1 + env.random.float()));
}

/** Says whether the present objects are wanted as initial events: a watch that names no version asks for them so, too. */
function validateWatchOptions(options: RequestOptions): boolean | undefined {
  const errors: FieldError[] = [];
  const send = options.sendInitialEvents;
  const given = options.resourceVersionMatch ?? "";
  const fromPresent = ["", "0"].includes(options.resourceVersion ?? "");
  const implied = send === undefined && given === "" && fromPresent;
  const match = implied ? NOT_OLDER : given;
  const field = "resourceVersionMatch";
  if (send !== undefined && match !== NOT_OLDER) {
    errors.push(fieldForbidden(field, `sendInitialEvents requires setting resourceVersionMatch to ${NOT_OLDER}`));
  }
  if (match !== "") {
    if (send === undefined && !implied) {
      const why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
      errors.push(fieldForbidden(field, why));
    }
    if (match !== NOT_OLDER) errors.push(fieldNotSupported(field, match, [NOT_OLDER]));
    if ((options.continue ?? "") !== "") {
      errors.push(fieldForbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
    }
  }
  if (errors.length > 0) throw newInvalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
  if (implied) return true;
  return send === undefined ? undefined : send !== "0" && send.toLowerCase() !== "false";
}
