// Event as events.k8s.io has it: the same objects as the core group's, judged more strictly where they are written.
import { defineForm } from "../../define-form.ts";
import type { EventsEvent } from "../../types.gen.ts";
import { eventForm, toCoreEvent } from "./form.ts";
import { validateStrictEvent, validateStrictEventUpdate } from "./validation.ts";

export const eventsEventKind = defineForm<EventsEvent>({
  group: "events.k8s.io",
  version: "v1",
  schemaName: "io.k8s.api.events.v1.Event",
  form: eventForm,
  validateCreate: (event) => validateStrictEvent(toCoreEvent(event)),
  validateUpdate: (event, old) => validateStrictEventUpdate(toCoreEvent(event), toCoreEvent(old)),
  selectableFields: (event) => ({
    "regarding.kind": event.regarding?.kind ?? "",
    "regarding.namespace": event.regarding?.namespace ?? "",
    "regarding.name": event.regarding?.name ?? "",
    "regarding.uid": event.regarding?.uid ?? "",
    "regarding.apiVersion": event.regarding?.apiVersion ?? "",
    "regarding.resourceVersion": event.regarding?.resourceVersion ?? "",
    "regarding.fieldPath": event.regarding?.fieldPath ?? "",
    reason: event.reason ?? "",
    reportingController: event.reportingController ?? "",
    type: event.type ?? "",
  }),
});
