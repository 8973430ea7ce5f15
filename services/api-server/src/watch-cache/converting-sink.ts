// A watch of objects that a webhook has to convert. Guarantees: events leave in the order in which they came; what is chosen
// by content is chosen by the converted one; where an object cannot be converted, the watch ends with the reason.
import type { KindDefinition } from "@coxswain/api";
import { newInternalError, StatusError, type Status } from "@coxswain/apimachinery";
import type { Asker, PipelineWatchEvent, WatchSink } from "../pipeline/contract.ts";
import { CachedObject } from "./cached-object.ts";
import { CacheEvent } from "./resource-cache.ts";
import { project, selects, type ObjectSelection } from "./watcher.ts";

/** Events that may wait for the webhook; a reader with more is dropped. */
const MAX_WAITING = 10_000;

export function convertingSink(
  kind: KindDefinition,
  selection: ObjectSelection,
  sink: WatchSink,
  asker: Asker,
): WatchSink {
  let waiting = 0;
  let open = true;
  let last = Promise.resolve();
  const finish = (error: Status | undefined): void => {
    if (!open) return;
    open = false;
    sink.end(error);
  };
  const inTurn = async (before: Promise<void>, act: () => void | Promise<void>): Promise<void> => {
    await before;
    await act();
  };
  const hand = async (events: readonly PipelineWatchEvent[]): Promise<void> => {
    if (!open) return;
    try {
      const converted = await convertedEvents(kind, selection, events, asker);
      if (open && converted.length > 0 && !sink.send(converted)) finish(undefined);
    } catch (error) {
      finish((error instanceof StatusError ? error : newInternalError(error)).toStatus());
    } finally {
      waiting -= events.length;
    }
  };
  return {
    send(events) {
      waiting += events.length;
      last = inTurn(last, () => hand(events));
      return open && waiting <= MAX_WAITING;
    },
    end(error) {
      last = inTurn(last, () => finish(error));
    },
  };
}

async function convertedEvents(
  kind: KindDefinition,
  selection: ObjectSelection,
  events: readonly PipelineWatchEvent[],
  asker: Asker,
): Promise<PipelineWatchEvent[]> {
  const objects = new Set<CachedObject>();
  for (const event of events) {
    if (event.type === "BOOKMARK") continue;
    if (event.object instanceof CachedObject) objects.add(event.object);
    // What was there before matters only to who chooses by content.
    if (selection.matches !== undefined && event instanceof CacheEvent && event.old !== undefined)
      objects.add(event.old);
  }
  const before = [...objects];
  const after = await CachedObject.formsIn(kind, before, asker);
  const forms = new Map(before.map((object, at) => [object, after[at]!]));
  return events.flatMap((event): PipelineWatchEvent[] => {
    if (event.type === "BOOKMARK" || !(event.object instanceof CachedObject)) return [event];
    const object = forms.get(event.object)!;
    if (!(event instanceof CacheEvent)) return selects(selection, object) ? [{ type: event.type, object }] : [];
    const old = event.old === undefined ? undefined : forms.get(event.old);
    const seen = project(selection, new CacheEvent(event.type, event.key, object, old));
    return seen === undefined ? [] : [seen];
  });
}
