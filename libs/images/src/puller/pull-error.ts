// Why an image could not be pulled, in the words that containerd uses, so that events and statuses read as users know them.

/** The gRPC code that containerd's CRI would have answered with. */
export type PullCode = "NotFound" | "PermissionDenied" | "Unavailable" | "InvalidArgument" | "Unknown";

export class PullError extends Error {
  override readonly name = "PullError";
  readonly code: PullCode;

  constructor(code: PullCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Puts what was being done in front of what went wrong. Errors of other kinds get code Unknown. */
export function wrapPullError(doing: string, error: unknown): PullError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof PullError ? error.code : "Unknown";
  return new PullError(code, `${doing}: ${message}`, { cause: error });
}
