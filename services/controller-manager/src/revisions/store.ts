// Writes what was planned of revisions. Guarantee: a name that another template has taken counts as a collision, and is told.
import { CONTROLLER_REVISIONS, type ControllerRevision } from "@coxswain/api";
import { deepEqual, isReason } from "@coxswain/apimachinery";
import { settleAll } from "@coxswain/controller-runtime";
import type { ResourceClient } from "@coxswain/client";
import type { RevisionPlan } from "./history.ts";

/** Undefined where the name belongs to another template: the owner's collision count has to grow. */
export async function storeRevision(
  client: ResourceClient,
  { current, action }: RevisionPlan,
): Promise<ControllerRevision | undefined> {
  if (action === "keep") return current;
  if (action === "renumber") return await client.update<ControllerRevision>(CONTROLLER_REVISIONS, current);
  try {
    return await client.create<ControllerRevision>(CONTROLLER_REVISIONS, current);
  } catch (error) {
    if (!isReason(error, "AlreadyExists")) throw error;
  }
  const { namespace, name = "" } = current.metadata ?? {};
  const present = await client.get<ControllerRevision>(CONTROLLER_REVISIONS, { namespace, name });
  return deepEqual(present.data, current.data) ? present : undefined;
}

export async function removeRevisions(client: ResourceClient, revisions: readonly ControllerRevision[]): Promise<void> {
  const remove = async ({ metadata }: ControllerRevision): Promise<undefined> => {
    const { namespace, name = "", uid } = metadata ?? {};
    try {
      await client.delete(CONTROLLER_REVISIONS, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  };
  await settleAll(revisions.map(remove));
}
