// Event: what happened to an object, for people to read. PUT creates it, and nothing waits for it.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired, validateQualifiedName } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { column, NAME, nameOf, since, wide } from "../../printing.ts";
import type { Event } from "../../types.gen.ts";

/** The most characters that a field of a new-style event may have. */
const LIMITS = { reportingInstance: 128, action: 128, reason: 128, message: 1024 } as const;

function validateNewStyle(event: Event, reporter: string): FieldError[] {
  const errors: FieldError[] = [];
  const component = event.reportingComponent ?? "";
  if (component === "") errors.push(fieldRequired(reporter, ""));
  for (const message of validateQualifiedName(component)) {
    errors.push(fieldInvalid(reporter, component, message));
  }
  for (const name of ["reportingInstance", "action", "reason", "message"] as const) {
    const value = event[name] ?? "";
    if (value === "" && name !== "message") errors.push(fieldRequired(name, ""));
    if (value.length > LIMITS[name]) errors.push(fieldInvalid(name, "", `can have at most ${LIMITS[name]} characters`));
  }
  return errors;
}

/** What every Event must be, by whichever group it is written; `reporter` is the group's name for who reports. */
export function validateEvent(event: Event, reporter = "reportingComponent"): FieldError[] {
  const errors: FieldError[] = [];
  const own = event.metadata.namespace ?? "";
  const involved = event.involvedObject?.namespace ?? "";
  // Only new-style events have an eventTime; they may also speak of cluster-scoped objects from kube-system.
  const clusterScopedIn = event.eventTime ? ["default", "kube-system"] : ["", "default"];
  const agrees = involved === "" ? clusterScopedIn.includes(own) : event.eventTime !== undefined || own === involved;
  if (!agrees) errors.push(fieldInvalid("involvedObject.namespace", involved, "does not match event.namespace"));
  if (event.eventTime) errors.push(...validateNewStyle(event, reporter));
  return errors;
}

function source(event: Event): string {
  const component = event.source?.component || event.reportingComponent || "";
  const host = event.source?.host || event.reportingInstance || "";
  return host === "" ? component : `${component}, ${host}`;
}

function row(event: Event, context: PrintContext): unknown[] {
  const first = since(event.firstTimestamp ?? event.eventTime, context);
  const last = event.series
    ? since(event.series.lastObservedTime, context)
    : event.lastTimestamp
      ? since(event.lastTimestamp, context)
      : first;
  const { kind = "", name = "", fieldPath = "" } = event.involvedObject ?? {};
  return [
    last,
    event.type ?? "",
    event.reason ?? "",
    name === "" ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`,
    fieldPath,
    source(event),
    (event.message ?? "").trim(),
    first,
    event.series ? (event.series.count ?? 0) : event.count || 1,
    nameOf(event),
  ];
}

export const eventKind = defineKind<Event>({
  group: "",
  version: "v1",
  kind: "Event",
  resource: "events",
  shortNames: ["ev"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Event",
  validateCreate: (event) => validateEvent(event),
  validateUpdate: (event) => validateEvent(event),
  strategy: plainStrategy({ allowCreateOnUpdate: true }),
  columns: [
    column("Last Seen", "The time since the latest occurrence."),
    column("Type", "Normal or Warning."),
    column("Reason", "The cause, in one word."),
    column("Object", "What the event is about."),
    wide("Subobject", "The part of the object, as a field path."),
    wide("Source", "Who reported it."),
    column("Message", "What happened, in words."),
    wide("First Seen", "The time since the first occurrence."),
    wide("Count", "How often it occurred."),
    { ...NAME, priority: 1 },
  ],
  row,
  selectableFields: (event) => ({
    "involvedObject.kind": event.involvedObject?.kind ?? "",
    "involvedObject.namespace": event.involvedObject?.namespace ?? "",
    "involvedObject.name": event.involvedObject?.name ?? "",
    "involvedObject.uid": event.involvedObject?.uid ?? "",
    "involvedObject.apiVersion": event.involvedObject?.apiVersion ?? "",
    "involvedObject.resourceVersion": event.involvedObject?.resourceVersion ?? "",
    "involvedObject.fieldPath": event.involvedObject?.fieldPath ?? "",
    reason: event.reason ?? "",
    reportingComponent: event.reportingComponent ?? "",
    source: event.source?.component || event.reportingComponent || "",
    type: event.type ?? "",
  }),
});
