// The refusal of a server that has too much to do.
import { StatusError } from "@coxswain/apimachinery";

const RETRY_AFTER_S = 1;

/** 429 with Retry-After; REST tells it as plain text, as upstream does. */
export class TooBusyError extends StatusError {
  constructor() {
    const details = { retryAfterSeconds: RETRY_AFTER_S };
    super("TooManyRequests", 429, "Too many requests, please try again later.", details);
  }
}
