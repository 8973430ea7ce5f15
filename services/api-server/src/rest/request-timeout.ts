// How long a request may take, as its client asks. Pure.
import { GoDurationError, newBadRequest, parseGoDuration } from "@coxswain/apimachinery";

/** The limit of a request with that `timeout` parameter; none, and one beyond the maximum, mean the maximum. */
export function requestTimeoutMs(text: string | null, maximumMs: number): number {
  if (text === null || text === "") return maximumMs;
  const wanted = askedMs(text);
  return wanted > 0 && wanted < maximumMs ? wanted : maximumMs;
}

function askedMs(text: string): number {
  try {
    return parseGoDuration(text);
  } catch (error) {
    if (!(error instanceof GoDurationError)) throw error;
    throw newBadRequest(`invalid timeout specified in the request URL - ${error.message}`);
  }
}
