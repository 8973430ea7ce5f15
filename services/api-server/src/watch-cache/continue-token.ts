// The continue token of a paged list: where the next page starts, and at which version all pages are read.
import { newBadRequest, parseResourceVersion } from "@coxswain/apimachinery";

export interface ContinueToken {
  readonly rv: bigint;
  /** namespace/name of the last object of the page before; "" is the namespace of cluster-scoped objects. */
  readonly after: { readonly namespace: string; readonly name: string };
}

export function encodeContinue(token: ContinueToken): string {
  const { namespace, name } = token.after;
  const text = JSON.stringify({ v: "meta.k8s.io/v1", rv: token.rv.toString(), start: `${namespace}/${name}` });
  return Buffer.from(text).toString("base64url");
}

/** @throws StatusError BadRequest where the token is not one of ours */
export function decodeContinue(text: string): ContinueToken {
  try {
    const decoded = JSON.parse(Buffer.from(text, "base64url").toString()) as Record<string, unknown>;
    const { v, rv, start } = decoded;
    const version = typeof rv === "string" ? parseResourceVersion(rv) : undefined;
    if (v === "meta.k8s.io/v1" && version !== undefined && typeof start === "string" && start.includes("/")) {
      const slash = start.indexOf("/");
      return { rv: version, after: { namespace: start.slice(0, slash), name: start.slice(slash + 1) } };
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw newBadRequest("continue key is not valid: it was not issued by this server");
}
