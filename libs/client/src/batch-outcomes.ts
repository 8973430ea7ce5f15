// A batch that never rejects.
import type { KubeObject } from "@coxswain/apimachinery";
import type { BatchOperation, BatchOutcome, ResourceClient } from "./resource-client.ts";

/** One outcome an operation, in order. Where the whole batch goes without an answer, so does each of its parts. */
export async function batchOutcomes<T extends KubeObject>(
  client: Pick<ResourceClient, "batch">,
  operations: readonly BatchOperation[],
): Promise<BatchOutcome<T>[]> {
  try {
    return await client.batch<T>(operations);
  } catch (error) {
    return operations.map(() => ({ ok: false, error: error instanceof Error ? error : new Error(String(error)) }));
  }
}
