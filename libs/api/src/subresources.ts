// All subresources of a kind: those that it names, and those that follow from what it has. Pure.
import { subresource } from "./define-kind.ts";
import { SCALE } from "./groups.ts";
import type { KindDefinition, SubresourceDefinition } from "./kind.ts";

const VERBS = ["get", "patch", "update"] as const;

/** By their names; those of a custom kind with the status first. */
export function subresourcesOf(kind: KindDefinition): SubresourceDefinition[] {
  const found = [...kind.subresources];
  const add = (name: string, body: readonly [string, string, string]): void => {
    if (!found.some((one) => one.name === name)) found.push(subresource(name, VERBS, body));
  };
  if (kind.hasStatus) add("status", [kind.group, kind.version, kind.kind]);
  if (kind.scale !== undefined) add("scale", SCALE);
  return kind.custom !== undefined ? found : found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
