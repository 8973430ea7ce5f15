// Writes an object's status from a cached copy, and once more from a live one where the cached copy was stale.
import { deepEqual, isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";

/**
 * `next` makes the wanted object from a given one; nothing is written where it changes nothing. Resolves with the object
 * as stored, or undefined where it is gone or another took its name.
 */
export async function updateStatus<T extends KubeObject>(
  client: ResourceClient,
  ref: ResourceRef,
  cached: T,
  next: (object: T) => T,
): Promise<T | undefined> {
  const wanted = next(cached);
  if (deepEqual(wanted, cached)) return cached;
  try {
    return await client.update<T>(ref, wanted, { subresource: "status" });
  } catch (error) {
    if (isReason(error, "NotFound")) return undefined;
    if (!isReason(error, "Conflict")) throw error;
  }
  const { namespace, name = "", uid } = cached.metadata ?? {};
  try {
    const live = await client.get<T>(ref, { namespace, name });
    if (live.metadata?.uid !== uid) return undefined;
    const again = next(live);
    return deepEqual(again, live) ? live : await client.update<T>(ref, again, { subresource: "status" });
  } catch (error) {
    if (isReason(error, "NotFound")) return undefined;
    throw error;
  }
}
