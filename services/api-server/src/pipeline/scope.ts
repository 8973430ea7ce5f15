// Whether a request names a namespace exactly where its kind lives in one. Pure. Guarantee: rights that somebody has in one
// namespace never reach what lies in none, as whoever authorizes asks for the namespace that a request names.
import type { KindDefinition } from "@coxswain/api";
import type { StatusError } from "@coxswain/apimachinery";
import type { ApiRequest } from "./contract.ts";
import { methodNotAllowed, resourceNotFound } from "./not-served.ts";

/** What may be asked about the objects of all namespaces at once. */
const ACROSS_NAMESPACES: ReadonlySet<string> = new Set(["list", "watch"]);
/** What is refused there as a method that the path, which is served, does not have. */
const OF_COLLECTIONS: ReadonlySet<string> = new Set(["create", "deletecollection"]);

/** What is wrong with the place that a request names; undefined where nothing is. */
export function misplaced(
  kind: KindDefinition,
  { verb, namespace, name }: Pick<ApiRequest, "verb" | "namespace" | "name">,
): StatusError | undefined {
  // Of what is answered and not stored there is none to be named.
  if (!kind.stored && name !== "") return resourceNotFound();
  if (!kind.namespaced) return namespace === "" ? undefined : resourceNotFound();
  if (namespace !== "" || (name === "" && ACROSS_NAMESPACES.has(verb))) return undefined;
  return kind.custom === undefined && name === "" && OF_COLLECTIONS.has(verb) ? methodNotAllowed() : resourceNotFound();
}

/** "" is the resource itself. */
export function hasSubresource(kind: KindDefinition, subresource: string): boolean {
  if (subresource === "") return true;
  if (subresource === "status" && kind.hasStatus) return true;
  if (subresource === "scale" && kind.scale !== undefined) return true;
  return kind.subresources.some((each) => each.name === subresource);
}
