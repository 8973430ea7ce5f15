// Makes the StatusErrors of the API with upstream's reasons, codes, details and wording.
import { type FieldError, fieldErrorsText } from "./field-error.ts";
import { quote } from "./quote.ts";
import { StatusError, type StatusDetails, type StatusCause } from "./status-error.ts";

/** A resource by group ("" is core) and plural name; what errors speak of. */
export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

export interface GroupKind {
  readonly group: string;
  readonly kind: string;
}

export const MODIFIED_MESSAGE =
  "the object has been modified; please apply your changes to the latest version and try again";

export function newNotFound(resource: GroupResource, name: string): StatusError {
  return new StatusError(
    "NotFound",
    404,
    `${resourceText(resource)} ${quote(name)} not found`,
    detailsOf(resource, name),
  );
}

export function newAlreadyExists(resource: GroupResource, name: string): StatusError {
  const message = `${resourceText(resource)} ${quote(name)} already exists`;
  return new StatusError("AlreadyExists", 409, message, detailsOf(resource, name));
}

/** No free name was found for generateName. */
export function newGenerateNameConflict(resource: GroupResource, name: string, retryAfterSeconds: number): StatusError {
  const message = `${resourceText(resource)} ${quote(name)} already exists, the server was not able to generate a unique name for the object`;
  return new StatusError("AlreadyExists", 409, message, { ...detailsOf(resource, name), ...retry(retryAfterSeconds) });
}

export function newConflict(resource: GroupResource, name: string, message = MODIFIED_MESSAGE): StatusError {
  const text = `Operation cannot be fulfilled on ${resourceText(resource)} ${quote(name)}: ${message}`;
  return new StatusError("Conflict", 409, text, detailsOf(resource, name));
}

/** Server-side apply found fields that others own. */
export function newApplyConflict(causes: StatusCause[], message: string): StatusError {
  return new StatusError("Conflict", 409, message, { causes });
}

export function newInvalid(kind: GroupKind, name: string, errors: readonly FieldError[]): StatusError {
  const what = `${kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`} ${quote(name)} is invalid`;
  const causes = errors.map((error) => ({ reason: error.type, message: error.detail, field: error.field }));
  const details: StatusDetails = { kind: kind.kind };
  if (name !== "") details.name = name;
  if (kind.group !== "") details.group = kind.group;
  if (causes.length > 0) details.causes = causes;
  return new StatusError("Invalid", 422, errors.length === 0 ? what : `${what}: ${fieldErrorsText(errors)}`, details);
}

/** `name` may be "" (a collection); a resource "" in group "" makes the bare form `forbidden: …`. */
export function newForbidden(resource: GroupResource, name: string, message: string): StatusError {
  const what = resourceText(resource);
  const bare = resource.group === "" && resource.resource === "";
  const text = bare
    ? `forbidden: ${message}`
    : name === ""
      ? `${what} is forbidden: ${message}`
      : `${what} ${quote(name)} is forbidden: ${message}`;
  return new StatusError("Forbidden", 403, text, detailsOf(resource, name));
}

export function newBadRequest(message: string): StatusError {
  return new StatusError("BadRequest", 400, message);
}

export function newUnauthorized(message = "Unauthorized"): StatusError {
  return new StatusError("Unauthorized", 401, message === "" ? "not authorized" : message);
}

/** A resourceVersion or continue token is too old. */
export function newExpired(message: string): StatusError {
  return new StatusError("Expired", 410, message);
}

export function newRequestEntityTooLarge(message: string): StatusError {
  return new StatusError("RequestEntityTooLarge", 413, `Request entity too large: ${message}`);
}

export function newMethodNotSupported(resource: GroupResource, action: string): StatusError {
  const message = `${action} is not supported on resources of kind ${quote(resourceText(resource))}`;
  return new StatusError("MethodNotAllowed", 405, message, detailsOf(resource, ""));
}

/** `supported` are the media types that the server takes. */
export function newUnsupportedMediaType(supported: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${supported.join(", ")}`;
  return new StatusError("UnsupportedMediaType", 415, message);
}

/** `supported` are the media types that the server can send. */
export function newNotAcceptable(supported: readonly string[]): StatusError {
  const message = `only the following media types are accepted: ${supported.join(", ")}`;
  return new StatusError("NotAcceptable", 406, message);
}

/** The request ran out of time; it may still take effect. */
export function newTimeout(message: string, retryAfterSeconds = 0): StatusError {
  return new StatusError("Timeout", 504, `Timeout: ${message}`, retry(retryAfterSeconds));
}

export function newServerTimeout(resource: GroupResource, operation: string, retryAfterSeconds = 0): StatusError {
  const message = `The ${operation} operation against ${resourceText(resource)} could not be completed at this time, please try again.`;
  return new StatusError("ServerTimeout", 500, message, {
    ...detailsOf(resource, operation),
    ...retry(retryAfterSeconds),
  });
}

export function newServiceUnavailable(message: string): StatusError {
  return new StatusError("ServiceUnavailable", 503, message);
}

export function newTooManyRequests(message: string, retryAfterSeconds = 0): StatusError {
  return new StatusError("TooManyRequests", 429, message, retry(retryAfterSeconds));
}

/**
 * What a client sent is refused, and no reason is named: upstream answers the same words with 500. Here a fault of the
 * client's is never a 5xx, by which an outage of the server is known.
 */
export function newUnnamedRefusal(message: string): StatusError {
  return new StatusError("Unknown", 400, message);
}

export function newInternalError(error: unknown): StatusError {
  const text = error instanceof Error ? error.message : String(error);
  return new StatusError(
    "InternalError",
    500,
    `Internal error occurred: ${text}`,
    { causes: [{ message: text }] },
    { cause: error },
  );
}

function resourceText(resource: GroupResource): string {
  return resource.group === "" ? resource.resource : `${resource.resource}.${resource.group}`;
}

function detailsOf(resource: GroupResource, name: string): StatusDetails {
  const details: StatusDetails = {};
  if (name !== "") details.name = name;
  if (resource.group !== "") details.group = resource.group;
  if (resource.resource !== "") details.kind = resource.resource;
  return details;
}

function retry(seconds: number): StatusDetails {
  return seconds > 0 ? { retryAfterSeconds: seconds } : {};
}
