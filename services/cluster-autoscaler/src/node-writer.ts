// Writes to Nodes: the autoscaler's marks, and the end of one whose machine has gone. A change in between is read again.
import { isReason } from "@coxswain/apimachinery";
import { NODES, type Node, type Taint } from "@coxswain/api";
import type { ResourceClient } from "@coxswain/client";
import { mark, nameOf, type DELETION_CANDIDATE, type TO_BE_DELETED } from "./node-facts.ts";

const ATTEMPTS = 5;

/** Sets the mark where it is missing. Rejects with NotFound where the node is gone. */
export function markNode(
  client: ResourceClient,
  node: string,
  key: typeof TO_BE_DELETED | typeof DELETION_CANDIDATE,
  nowMs: number,
): Promise<Node> {
  return changeTaints(client, node, (taints) =>
    taints.some((taint) => taint.key === key) ? undefined : [...taints, mark(key, nowMs)],
  );
}

/** Takes the marks off that are there. A node that is gone has none. */
export async function unmarkNode(client: ResourceClient, node: string, keys: readonly string[]): Promise<void> {
  try {
    await changeTaints(client, node, (taints) =>
      taints.some(({ key }) => keys.includes(key)) ? taints.filter(({ key }) => !keys.includes(key)) : undefined,
    );
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
}

async function changeTaints(
  client: ResourceClient,
  name: string,
  change: (taints: readonly Taint[]) => readonly Taint[] | undefined,
): Promise<Node> {
  for (let attempt = 1; ; attempt++) {
    const node = await client.get<Node>(NODES, { name });
    const taints = change(node.spec?.taints ?? []);
    if (taints === undefined) return node;
    const { resourceVersion } = node.metadata ?? {};
    const patch = { metadata: { resourceVersion }, spec: { taints } };
    try {
      return await client.patch<Node>(NODES, { name }, "application/merge-patch+json", patch);
    } catch (error) {
      if (!isReason(error, "Conflict") || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Deletes the very Node, not one that took its name. */
export async function deleteNode(client: ResourceClient, node: Node): Promise<void> {
  const uid = node.metadata?.uid;
  try {
    await client.delete(NODES, { name: nameOf(node) }, uid === undefined ? {} : { preconditions: { uid } });
  } catch (error) {
    if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
  }
}
