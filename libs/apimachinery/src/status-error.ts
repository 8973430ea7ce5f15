// The one error that crosses processes: a Kubernetes Status. REST sends it as the body, gRPC in a trailer.
// Callers branch on the reason, never on the text.

export type StatusReason =
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "AlreadyExists"
  | "Conflict"
  | "Gone"
  | "Expired"
  | "Invalid"
  | "ServerTimeout"
  | "Timeout"
  | "TooManyRequests"
  | "BadRequest"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "RequestEntityTooLarge"
  | "UnsupportedMediaType"
  | "InternalError"
  | "ServiceUnavailable"
  | "NotImplemented"
  | "Unknown";

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** The Status object of the Kubernetes API (meta/v1). */
export interface Status {
  kind: "Status";
  apiVersion: "v1";
  /** `continue` goes on with a list whose version is gone, at the present one. */
  metadata: { continue?: string };
  status: "Success" | "Failure";
  message?: string;
  reason?: StatusReason;
  details?: StatusDetails;
  /** Absent in what tells that an object is gone. */
  code?: number;
}

export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly reason: StatusReason;
  readonly code: number;
  readonly details: StatusDetails;

  constructor(
    reason: StatusReason,
    code: number,
    message: string,
    details: StatusDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.reason = reason;
    this.code = code;
    this.details = details;
  }

  toStatus(): Status {
    const status: Status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      details: this.details,
      code: this.code,
    };
    if (Object.keys(this.details).length === 0) delete status.details;
    // On the wire, an unknown reason is none.
    if (this.reason === "Unknown") delete status.reason;
    return status;
  }

  static fromStatus(status: Partial<Status>): StatusError {
    return new StatusError(
      status.reason ?? "Unknown",
      status.code ?? 500,
      status.message ?? "unknown error",
      status.details ?? {},
    );
  }
}

export function isReason(error: unknown, ...reasons: StatusReason[]): error is StatusError {
  return error instanceof StatusError && reasons.includes(error.reason);
}

/**
 * True where a failed write may still have landed: a time-out, a lost connection, a server that died.
 * Everything that is not a StatusError with a definite reason counts as unknown.
 */
export function mayHaveLanded(error: unknown): boolean {
  return (
    !(error instanceof StatusError) ||
    ["Timeout", "ServerTimeout", "ServiceUnavailable", "InternalError", "Unknown"].includes(error.reason)
  );
}
