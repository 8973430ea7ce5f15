// StatusErrors over gRPC: a fitting code, the message, and the Status object as JSON in a binary trailer, so that REST and
// gRPC clients see the same error. Both directions live here.
import { Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { AbortError, isAbort } from "@coxswain/env";
import { isJsonObject, jsonOrNothing, StatusError, type Status, type StatusReason } from "@coxswain/apimachinery";

export const STATUS_TRAILER = "coxswain-status-bin";

/** HTTP/2 peers refuse header blocks beyond 64 KiB: a Status over this size (bytes of JSON) travels without its causes. */
const MAX_STATUS_BYTES = 32 << 10;
const MAX_DETAILS_CHARACTERS = 4096;

const CODES: Record<StatusReason, status> = {
  Unauthorized: status.UNAUTHENTICATED,
  Forbidden: status.PERMISSION_DENIED,
  NotFound: status.NOT_FOUND,
  AlreadyExists: status.ALREADY_EXISTS,
  Conflict: status.ABORTED,
  Gone: status.OUT_OF_RANGE,
  Expired: status.OUT_OF_RANGE,
  Invalid: status.INVALID_ARGUMENT,
  ServerTimeout: status.DEADLINE_EXCEEDED,
  Timeout: status.DEADLINE_EXCEEDED,
  TooManyRequests: status.RESOURCE_EXHAUSTED,
  BadRequest: status.INVALID_ARGUMENT,
  MethodNotAllowed: status.UNIMPLEMENTED,
  NotAcceptable: status.INVALID_ARGUMENT,
  RequestEntityTooLarge: status.RESOURCE_EXHAUSTED,
  UnsupportedMediaType: status.INVALID_ARGUMENT,
  InternalError: status.INTERNAL,
  ServiceUnavailable: status.UNAVAILABLE,
  NotImplemented: status.UNIMPLEMENTED,
  Unknown: status.UNKNOWN,
};

/** What a bare gRPC code means where the peer sent no Status: its reason and HTTP code. */
const REASONS: Partial<Record<status, readonly [StatusReason, number]>> = {
  [status.INVALID_ARGUMENT]: ["BadRequest", 400],
  [status.DEADLINE_EXCEEDED]: ["Timeout", 504],
  [status.NOT_FOUND]: ["NotFound", 404],
  [status.ALREADY_EXISTS]: ["AlreadyExists", 409],
  [status.PERMISSION_DENIED]: ["Forbidden", 403],
  [status.RESOURCE_EXHAUSTED]: ["TooManyRequests", 429],
  [status.ABORTED]: ["Conflict", 409],
  [status.OUT_OF_RANGE]: ["Expired", 410],
  [status.UNIMPLEMENTED]: ["MethodNotAllowed", 405],
  [status.INTERNAL]: ["InternalError", 500],
  [status.UNAVAILABLE]: ["ServiceUnavailable", 503],
  [status.CANCELLED]: ["ServiceUnavailable", 503],
  [status.UNAUTHENTICATED]: ["Unauthorized", 401],
};

/** Anything a handler may throw, as a StatusError. An unexpected error becomes an InternalError in upstream's wording. */
export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new StatusError("InternalError", 500, `Internal error occurred: ${text}`, { causes: [{ message: text }] });
}

function encodeStatus(full: Status): Buffer {
  const bytes = Buffer.from(JSON.stringify(full));
  if (bytes.length <= MAX_STATUS_BYTES) return bytes;
  const { causes: _, ...details } = full.details ?? {};
  const message = full.message?.slice(0, MAX_DETAILS_CHARACTERS);
  return Buffer.from(JSON.stringify({ ...full, details, message }));
}

/** What a server hands to grpc-js for an error: `callback(statusToServiceError(error))` or `call.emit("error", …)`. */
export function statusToServiceError(error: unknown): ServiceError {
  const metadata = new Metadata();
  if (isAbort(error)) {
    const cancelled = { code: status.CANCELLED, details: "the call was cancelled", metadata };
    return Object.assign(new Error("the call was cancelled", { cause: error }), cancelled);
  }
  const statusError = toStatusError(error);
  metadata.set(STATUS_TRAILER, encodeStatus(statusError.toStatus()));
  const details = statusError.message.slice(0, MAX_DETAILS_CHARACTERS);
  return Object.assign(new Error(details, { cause: error }), { code: CODES[statusError.reason], details, metadata });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && typeof error.code === "number";
}

function decodeStatus(bytes: Buffer): StatusError | undefined {
  const told = jsonOrNothing(bytes.toString("utf8"));
  return isJsonObject(told) ? StatusError.fromStatus(told) : undefined;
}

/**
 * The StatusError that a failed call stands for. Without a Status from the server, the gRPC code decides; a lost
 * connection is ServiceUnavailable and a deadline Timeout, both of which may have landed. With `signal` aborted it is the
 * caller's own AbortError.
 */
export function statusFromServiceError(error: unknown, signal?: AbortSignal): Error {
  if (signal?.aborted) return new AbortError("aborted", { cause: error });
  if (!isServiceError(error)) return error instanceof Error ? error : new Error(String(error));
  const [sent] = error.metadata?.get(STATUS_TRAILER) ?? [];
  const decoded = Buffer.isBuffer(sent) ? decodeStatus(sent) : undefined;
  if (decoded !== undefined) return decoded;
  const code: status = error.code;
  if (code === status.RESOURCE_EXHAUSTED && error.details.includes("larger than max")) {
    return new StatusError("RequestEntityTooLarge", 413, error.details, {}, { cause: error });
  }
  const [reason, http] = REASONS[code] ?? ["Unknown", 500];
  return new StatusError(reason, http, error.details, {}, { cause: error });
}
