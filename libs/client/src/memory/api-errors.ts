// The errors of the API with upstream's wording, as the in-memory double answers them.
import { groupResource, StatusError, type ResourceRef, type StatusCause } from "@coxswain/apimachinery";

type Ref = Pick<ResourceRef, "group" | "resource">;

const details = (ref: Ref, name: string) => ({
  name,
  ...(ref.group === "" ? {} : { group: ref.group }),
  kind: ref.resource,
});

export function notFound(ref: Ref, name: string): StatusError {
  return new StatusError("NotFound", 404, `${groupResource(ref)} "${name}" not found`, details(ref, name));
}

export function alreadyExists(ref: Ref, name: string): StatusError {
  return new StatusError("AlreadyExists", 409, `${groupResource(ref)} "${name}" already exists`, details(ref, name));
}

export function conflict(ref: Ref, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${groupResource(ref)} "${name}": ${why}`;
  return new StatusError("Conflict", 409, message, details(ref, name));
}

export const STALE = "the object has been modified; please apply your changes to the latest version and try again";

export function invalid(kind: string, group: string, name: string, causes: readonly StatusCause[]): StatusError {
  const text = causes.map((cause) => `${cause.field}: ${cause.message}`).join(", ");
  const qualified = group === "" ? kind : `${kind}.${group}`;
  const all = causes.length > 1 ? `[${text}]` : text;
  return new StatusError("Invalid", 422, `${qualified} "${name}" is invalid: ${all}`, {
    name,
    group,
    kind,
    causes: [...causes],
  });
}

export function forbidden(ref: Ref, name: string, why: string, causes?: StatusCause[]): StatusError {
  const message = `${groupResource(ref)} "${name}" is forbidden: ${why}`;
  return new StatusError("Forbidden", 403, message, { ...details(ref, name), ...(causes ? { causes } : {}) });
}

export function badRequest(message: string): StatusError {
  return new StatusError("BadRequest", 400, message);
}

export function noSuchResource(): StatusError {
  return new StatusError("NotFound", 404, "the server could not find the requested resource");
}

export function expired(asked: string, oldest: string): StatusError {
  return new StatusError("Expired", 410, `too old resource version: ${asked} (${oldest})`);
}
