// The two forms of an Event: that of events.k8s.io/v1 has other names for the same fields. Nothing is lost either way.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
import type { KubeObject } from "@coxswain/apimachinery";
import { eventKind } from "../../core-v1/event/event.ts";
import type { ServedForm } from "../../kind.ts";
import type { Event, EventsEvent } from "../../types.gen.ts";

/** From the form of events.k8s.io to the core one. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ["regarding", "involvedObject"],
  ["note", "message"],
  ["reportingController", "reportingComponent"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
]);
const CORE_NAMES: ReadonlyMap<string, string> = new Map([...NAMES].map(([events, core]) => [core, events]));

function renamed(object: KubeObject, names: ReadonlyMap<string, string>): KubeObject {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [names.get(name) ?? name, value]));
}

export const toCoreEvent = (event: EventsEvent): Event => renamed(event, NAMES) as Event;

export const eventForm: ServedForm<EventsEvent> = {
  of: eventKind,
  toStored: toCoreEvent,
  fromStored: (event) => renamed(event, CORE_NAMES) as EventsEvent,
};
