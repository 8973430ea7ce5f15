// Puts a changed state in the place of the object that a request is about, which others hold too. Guarantee: what comes in
// is of the kind, with defaults, and stays in the version of the request.
import { kindForGvk } from "@coxswain/api/scheme";
import type { KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes } from "../pipeline/extension.ts";
import { acceptObject } from "../registry/codec.ts";

/** `next` is of the request's own version, and becomes the object. @throws StatusError BadRequest */
export function replaceObject(attributes: AdmissionAttributes, next: KubeObject): void {
  const { object, objectKind } = attributes;
  if (object === undefined) return;
  const kind = objectKind === undefined ? attributes.kind : kindForGvk(objectKind);
  // Options of a connection are no resource: nothing is known of them but what the query said.
  const accepted =
    kind === undefined ? next : acceptObject({ kind, fieldValidation: "Ignore", warnings: [] }, next, []);
  const { apiVersion } = object;
  for (const key of Object.keys(object)) delete (object as Record<string, unknown>)[key];
  Object.assign(object, accepted, apiVersion === undefined ? {} : { apiVersion });
  kind?.defaults(object);
}
