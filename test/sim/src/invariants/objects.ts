// Invariants of objects of every kind: versions grow, uids are for once, leaders write only while they lead.
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

/** Each commit's version is above every one before; a deleted key does not come back at an older version. */
export function versionsGrow(): Invariant {
  let last = 0n;
  return {
    name: "versions-grow",
    check({ key, rv }) {
      const before = last;
      if (rv > last) last = rv;
      return rv > before ? OK : [`${key} was written at version ${rv}, after ${before}`];
    },
  };
}

/** A uid belongs to one object: it is never given again, and an object keeps its own. */
export function uidsAreUnique(): Invariant {
  const owners = new Map<string, string>();
  const gone = new Set<string>();
  return {
    name: "uids-are-unique",
    check({ key, object, old }) {
      const before = old?.metadata?.uid;
      if (object === undefined) {
        if (before !== undefined) gone.add(before);
        return OK;
      }
      const uid = object.metadata?.uid;
      if (uid === undefined) return [`${key} has no uid`];
      if (before !== undefined && before !== uid) return [`${key} changed its uid from ${before} to ${uid}`];
      const owner = owners.get(uid);
      owners.set(uid, key);
      if (gone.has(uid)) return [`${key} was given ${uid}, which ${owner} had before`];
      return owner === undefined || owner === key ? OK : [`${key} was given ${uid}, which is ${owner}'s`];
    },
  };
}

/** What a leader writes besides Leases and Events is written while the Lease names it as the holder. */
export function leadersAreFenced(): Invariant {
  return {
    name: "leaders-are-fenced",
    check({ key, ref, actor }, state) {
      if (actor === undefined || actor.lease === "" || ref.resource === "leases" || ref.resource === "events")
        return OK;
      const spec = state.lease(actor.lease)?.spec;
      const who = `${actor.process} (${actor.identity})`;
      if (spec?.holderIdentity !== actor.identity) {
        return [`${who} wrote ${key} while ${actor.lease} was held by ${spec?.holderIdentity || "nobody"}`];
      }
      const transitions = actor.fence?.transitions;
      if (transitions === (spec.leaseTransitions ?? 0)) return OK;
      return [`${who} wrote ${key} as of transition ${transitions}, at transition ${spec.leaseTransitions}`];
    },
  };
}
