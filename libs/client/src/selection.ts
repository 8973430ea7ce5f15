// Selections (namespace, label selector, field selector) tested against an object. A field selector may name any dotted path:
// which fields a server really serves is the server's business.
import { parseFieldSelector, parseLabelSelector, type KubeObject } from "@coxswain/apimachinery";
import type { Selection } from "./resource-client.ts";

function fieldOf(object: KubeObject, path: string): string {
  let at: unknown = object;
  for (const step of path.split(".")) at = (at as Record<string, unknown> | null | undefined)?.[step];
  if (at === undefined || at === null) return "";
  return typeof at === "string" ? at : JSON.stringify(at);
}

/** A test of namespace, labels and fields; throws BadRequest for a selector that cannot be parsed. */
export function selectionTest(selection: Selection): (object: KubeObject) => boolean {
  const { namespace = "" } = selection;
  const labels = parseLabelSelector(selection.labelSelector ?? "");
  const fields = parseFieldSelector(selection.fieldSelector ?? "");
  return (object) =>
    (namespace === "" || object.metadata?.namespace === namespace) &&
    (labels.isEmpty || labels.matches(object.metadata?.labels)) &&
    fields.requirements.every(({ field, op, value }) => (fieldOf(object, field) === value) === (op === "="));
}
