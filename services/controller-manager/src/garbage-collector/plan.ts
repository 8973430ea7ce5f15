// What becomes of one object, given what is known of its owners. Pure. Guarantee: an object of which one owner is solid,
// or of which an owner could not be judged, is never deleted.
import type { OwnerReference } from "@coxswain/apimachinery";
import { FOREGROUND, ORPHAN, waitsForDependents, type GraphNode } from "./graph.ts";

/** solid: exists. waiting: exists, and is being deleted after its dependents. absent: surely gone. unknown: cannot be judged. */
export type OwnerState = "solid" | "waiting" | "absent" | "unknown";

export type GarbagePlan =
  | { readonly do: "nothing" }
  /** Its owners are gone, but others keep it: only the references to those that are gone go. */
  | { readonly do: "drop owners"; readonly uids: readonly string[] }
  /** `unblock`: its owners shall not wait for it. They and it form a circle, of which no part would ever go. */
  | {
      readonly do: "delete";
      readonly propagationPolicy: "Background" | "Foreground" | "Orphan";
      readonly unblock?: boolean;
    };

export function planGarbage(
  live: GraphNode,
  owners: readonly { readonly reference: OwnerReference; readonly state: OwnerState }[],
  dependents: readonly GraphNode[],
): GarbagePlan {
  if (live.deleting || owners.length === 0) return { do: "nothing" };
  const uidsOf = (...states: OwnerState[]): string[] =>
    owners.filter(({ state }) => states.includes(state)).map(({ reference }) => reference.uid);
  if (uidsOf("unknown").length > 0) return { do: "nothing" };
  const gone = uidsOf("absent", "waiting");
  if (uidsOf("solid").length > 0) return gone.length === 0 ? { do: "nothing" } : { do: "drop owners", uids: gone };
  if (uidsOf("waiting").length > 0 && dependents.length > 0)
    return { do: "delete", propagationPolicy: "Foreground", unblock: dependents.some(waitsForDependents) };
  if (live.finalizers.includes(ORPHAN)) return { do: "delete", propagationPolicy: "Orphan" };
  if (live.finalizers.includes(FOREGROUND)) return { do: "delete", propagationPolicy: "Foreground" };
  return { do: "delete", propagationPolicy: "Background" };
}

/** The dependents that keep an object that waits for them. */
export function blockingDependents(owner: GraphNode, dependents: readonly GraphNode[]): GraphNode[] {
  return dependents.filter((dependent) =>
    dependent.owners.some((reference) => reference.uid === owner.uid && reference.blockOwnerDeletion === true),
  );
}
