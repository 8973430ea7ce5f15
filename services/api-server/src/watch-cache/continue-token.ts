// The continue token of a paged list: where the next page starts, and at which version all pages are read.
import { isJsonObject, newBadRequest, parseResourceVersion, StatusError, type Status } from "@coxswain/apimachinery";

export interface ContinueToken {
  /** Undefined goes on at the present version: pages before and after may then not fit together. */
  readonly rv: bigint | undefined;
  /** namespace/name of the last object of the page before; "" is the namespace of cluster-scoped objects. */
  readonly after: { readonly namespace: string; readonly name: string };
}

const INCONSISTENT = -1;

const EXPIRED =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/** The 410 for a token whose version is gone; it carries one that goes on at the present version. */
export class ExpiredContinueError extends StatusError {
  readonly #continue: string;

  constructor(after: ContinueToken["after"]) {
    super("Expired", 410, EXPIRED);
    this.#continue = encodeContinue({ rv: undefined, after });
  }

  override toStatus(): Status {
    return { ...super.toStatus(), metadata: { continue: this.#continue } };
  }
}

export function encodeContinue(token: ContinueToken): string {
  const { namespace, name } = token.after;
  const text = JSON.stringify({
    v: "meta.k8s.io/v1",
    rv: (token.rv ?? INCONSISTENT).toString(),
    start: `${namespace}/${name}`,
  });
  return Buffer.from(text).toString("base64url");
}

/** @throws StatusError BadRequest where the token is not one of ours */
export function decodeContinue(text: string): ContinueToken {
  const { v, rv, start } = decodedFields(text);
  if (v !== "meta.k8s.io/v1") throw invalid(`: server does not recognize this encoded version ${said(v)}`);
  const version = typeof rv === "string" ? parseResourceVersion(rv) : undefined;
  if (version === undefined && rv !== String(INCONSISTENT)) {
    throw invalid(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (said(start) === "") throw invalid(": encoded start key empty (version meta.k8s.io/v1)");
  const [namespace, name, ...more] = said(start).split("/");
  const whole = name !== undefined && name !== "" && more.length === 0;
  if (!whole || [namespace, name].some((part) => part === "." || part === "..")) throw invalid(`: ${said(start)}`);
  return { rv: version, after: { namespace: namespace!, name } };
}

function decodedFields(text: string): Readonly<Record<string, unknown>> {
  const bytes = /^[\w-]*$/.test(text) ? Buffer.from(text, "base64url").toString() : undefined;
  try {
    const value = JSON.parse(bytes ?? "") as unknown;
    if (isJsonObject(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw invalid("");
}

const said = (value: unknown): string => (typeof value === "string" ? value : "");

function invalid(why: string): StatusError {
  return newBadRequest(`invalid continue token: continue key is not valid${why}`);
}
