// Expectations: what a controller has asked for and its informer has not shown yet. While some are open, the cache is
// behind the controller's own writes, and counting from it would write twice. Guarantees:
// - Kept by the owner's UID, so that an owner made anew under the same name starts clean.
// - A write that definitely failed lowers them; one that may have landed (a time-out) does not: the informer will tell,
//   or the expectation expires.
import { mayHaveLanded } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";

/** As upstream: an expectation that nobody has met by then is given up. */
export const EXPECTATION_TIMEOUT_MS = 5 * 60_000;

interface Entry {
  creations: number;
  /** The objects whose deletion is still to be seen. */
  readonly deletions: Set<string>;
  sinceMs: number;
}

export interface Expectations {
  /** True where nothing is open for the owner, or what is open has expired: reconcile may count from the cache. */
  satisfied(ownerUid: string): boolean;
  /** Ms until what is open expires; 0 where nothing is. Requeue after this long, in case no event comes. */
  expiresInMs(ownerUid: string): number;
  /** `count` creations are about to be asked for. */
  expectCreations(ownerUid: string, count: number): void;
  /** These objects (by UID) are about to be deleted. */
  expectDeletions(ownerUid: string, uids: readonly string[]): void;
  /** The informer has shown a created object. */
  creationObserved(ownerUid: string): void;
  /** The informer has shown that the object is gone, or is being deleted. */
  deletionObserved(ownerUid: string, uid: string): void;
  /** A creation failed. Lowers the expectation only where the failure is definite. */
  creationFailed(ownerUid: string, error: unknown): void;
  deletionFailed(ownerUid: string, uid: string, error: unknown): void;
  /** The owner is gone. */
  forget(ownerUid: string): void;
}

export function createExpectations(deps: { readonly env: Pick<Env, "clock"> }): Expectations {
  const { clock } = deps.env;
  const entries = new Map<string, Entry>();
  const open = (owner: string): Entry => {
    let entry = entries.get(owner);
    if (entry === undefined) entries.set(owner, (entry = { creations: 0, deletions: new Set(), sinceMs: 0 }));
    entry.sinceMs = clock.monotonic();
    return entry;
  };
  const dropIfMet = (owner: string, entry: Entry): void => {
    if (entry.creations === 0 && entry.deletions.size === 0) entries.delete(owner);
  };
  const lowerCreations = (owner: string): void => {
    const entry = entries.get(owner);
    if (entry === undefined || entry.creations === 0) return;
    entry.creations--;
    dropIfMet(owner, entry);
  };
  const lowerDeletion = (owner: string, uid: string): void => {
    const entry = entries.get(owner);
    if (entry?.deletions.delete(uid) === true) dropIfMet(owner, entry);
  };
  const expiresInMs = (owner: string): number => {
    const entry = entries.get(owner);
    return entry === undefined ? 0 : Math.max(0, entry.sinceMs + EXPECTATION_TIMEOUT_MS - clock.monotonic());
  };
  return {
    satisfied: (owner) => {
      if (expiresInMs(owner) > 0) return false;
      entries.delete(owner);
      return true;
    },
    expiresInMs,
    expectCreations: (owner, count) => {
      if (count > 0) open(owner).creations += count;
    },
    expectDeletions: (owner, uids) => {
      if (uids.length === 0) return;
      const entry = open(owner);
      for (const uid of uids) entry.deletions.add(uid);
    },
    creationObserved: lowerCreations,
    deletionObserved: lowerDeletion,
    creationFailed: (owner, error) => {
      if (!mayHaveLanded(error)) lowerCreations(owner);
    },
    deletionFailed: (owner, uid, error) => {
      if (!mayHaveLanded(error)) lowerDeletion(owner, uid);
    },
    forget: (owner) => void entries.delete(owner),
  };
}
