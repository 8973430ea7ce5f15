// Invariants of ownership: what has no owner, or one that is there, is never collected, unless its namespace goes. They watch
// ConfigMaps: no other controller takes away any.
import type { Namespace } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

export function orphansAreKept(): Invariant {
  /** UIDs of ConfigMaps that are there and not on their way out. */
  const solid = new Set<string>();
  const uidOf = (object: KubeObject | undefined): string => object?.metadata?.uid ?? "";
  return {
    name: "orphans-are-kept",
    check({ key, ref, object, old, actor }, state) {
      if (ref.resource !== "configmaps") return OK;
      const leaving = object === undefined || object.metadata?.deletionTimestamp !== undefined;
      const began = leaving && old !== undefined && old.metadata?.deletionTimestamp === undefined;
      if (leaving) solid.delete(uidOf(old));
      else solid.add(uidOf(object));
      if (!began || actor === undefined || !actor.process.startsWith("controller-manager")) return OK;
      const goes = ({ metadata, status }: Namespace): boolean =>
        metadata?.name === old.metadata?.namespace && status?.phase === "Terminating";
      if (state.list<Namespace>("namespaces").some(goes)) return OK;
      const owners = old.metadata?.ownerReferences ?? [];
      if (owners.length === 0) return [`${key} was collected, and has no owner`];
      const kept = owners.find(({ uid }) => solid.has(uid));
      return kept === undefined ? OK : [`${key} was collected, and its owner ${kept.name} is there`];
    },
  };
}
