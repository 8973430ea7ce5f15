// Deletes objects and does not rest until it knows what became of each. Guarantee: as long as `signal` does not abort, no
// outcome stays unknown. Asking again is safe: a delete carries the uid, so it hits the object that was meant, or nothing.
// An expectation that nobody lowers would stop its controller for minutes.
import { mayHaveLanded, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import { batchOutcomes, type BatchOperation, type BatchOutcome, type ResourceClient } from "@coxswain/client";
import type { Env } from "@coxswain/env";

const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5_000;

/** One outcome an object, in order. */
export async function deleteForSure(
  deps: { readonly env: Pick<Env, "timers" | "random">; readonly client: ResourceClient },
  ref: ResourceRef,
  objects: readonly KubeObject[],
  signal: AbortSignal,
): Promise<BatchOutcome<KubeObject>[]> {
  const operations = objects.map((object) => deletion(ref, object));
  const outcomes = await batchOutcomes<KubeObject>(deps.client, operations);
  for (let delayMs = FIRST_RETRY_MS; !signal.aborted; delayMs = Math.min(LAST_RETRY_MS, delayMs * 2)) {
    const open = [...outcomes.keys()].filter((at) => isUnknown(outcomes[at]!));
    if (open.length === 0) break;
    await deps.env.timers.sleep(delayMs * (0.5 + deps.env.random.float()), signal).catch(() => undefined);
    if (signal.aborted) break;
    const again = open.map((at) => operations[at]!);
    const answers = await batchOutcomes<KubeObject>(deps.client, again);
    for (const [place, at] of open.entries()) outcomes[at] = answers[place]!;
  }
  return outcomes;
}

const isUnknown = (outcome: BatchOutcome<KubeObject>): boolean => !outcome.ok && mayHaveLanded(outcome.error);

function deletion(ref: ResourceRef, { metadata }: KubeObject): BatchOperation {
  const target = { namespace: metadata?.namespace, name: metadata?.name ?? "" };
  return { op: "delete", ref, target, options: { preconditions: { uid: metadata?.uid } } };
}
