// What an Event must be that is written through events.k8s.io, besides what every Event must be: new-style throughout, and
// with nothing but its series to change. Upstream tells errors by the names that the core form has, but for the reporter.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired } from "@coxswain/apimachinery";
import { validateEvent } from "../../core-v1/event/event.ts";
import { sameValue } from "../../same-value.ts";
import type { Event } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

const UNSET = "needs to be unset";
/** Each with the name that its errors have, where that is another. */
const IMMUTABLE: readonly (readonly [keyof Event, string?])[] = [
  ["involvedObject"],
  ["reason"],
  ["message"],
  ["source"],
  ["firstTimestamp"],
  ["lastTimestamp"],
  ["count"],
  ["type"],
  ["eventTime"],
  ["action"],
  ["related"],
  ["reportingComponent", "reportingController"],
  ["reportingInstance"],
];

function validateSeries({ series }: Event): FieldError[] {
  if (series === undefined) return [];
  const errors: FieldError[] = [];
  if ((series.count ?? 0) < 2) errors.push(fieldInvalid("series.count", "", "should be at least 2"));
  if (!series.lastObservedTime) errors.push(fieldRequired("series.lastObservedTime", ""));
  return errors;
}

export function validateStrictEvent(event: Event): FieldError[] {
  const errors = [...validateEvent(event, "reportingController"), ...validateSeries(event)];
  if (!event.eventTime) errors.push(fieldRequired("eventTime", ""));
  if (event.type !== "Normal" && event.type !== "Warning") {
    errors.push(fieldInvalid("type", "", `has invalid value: ${event.type ?? ""}`));
  }
  if (event.firstTimestamp) errors.push(fieldInvalid("firstTimestamp", "", UNSET));
  if (event.lastTimestamp) errors.push(fieldInvalid("lastTimestamp", "", UNSET));
  if (event.count) errors.push(fieldInvalid("count", "", UNSET));
  if (event.source?.component || event.source?.host) errors.push(fieldInvalid("source", "", UNSET));
  return errors;
}

export function validateStrictEventUpdate(event: Event, old: Event): FieldError[] {
  return [
    ...validateEvent(event, "reportingController"),
    ...(sameValue(event.series, old.series) ? [] : validateSeries(event)),
    ...IMMUTABLE.flatMap(([name, shown = name]) => validateImmutableField(event[name], old[name], shown)),
  ];
}
