// Creates several objects, each exactly once. The names are chosen here, so that a create without an answer can be sent
// again: it lands, or AlreadyExists says that the first one had. Guarantees:
// - Batches start small and double, and end with the first batch that fails: a quota that refuses one refuses all.
// - An outcome is "failed" only where the object surely was not made; "unknown" where it may have been.
import { isReason, mayHaveLanded, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import { batchOutcomes, type BatchOutcome, type ResourceClient } from "@coxswain/client";
import type { Env } from "@coxswain/env";

export type CreateOutcome =
  | { readonly kind: "created"; readonly object: KubeObject }
  | { readonly kind: "failed"; readonly error: Error }
  | { readonly kind: "unknown"; readonly error: Error }
  /** Not tried, because an earlier batch failed. */
  | { readonly kind: "skipped" };

export interface CreateDeps {
  readonly env: Env;
  readonly client: ResourceClient;
}

/** About a minute and a half: an expectation that nobody lowers would stop its controller for longer. */
const ATTEMPTS = 24;
const RETRY_MS = 250;
const LAST_RETRY_MS = 2_500;

/** Gives the object a name of its own: generateName and five random characters. */
export function named<T extends KubeObject>(env: Pick<Env, "random">, object: T): T {
  const { generateName = "" } = object.metadata ?? {};
  return { ...object, metadata: { ...object.metadata, name: `${generateName}${env.random.nameSuffix(5)}` } };
}

/** One outcome an object, in order. Never rejects; once `signal` aborts nothing is sent again. */
export async function createSlowly(
  deps: CreateDeps,
  ref: ResourceRef,
  objects: readonly KubeObject[],
  options: { readonly initialBatch: number; readonly signal: AbortSignal },
): Promise<CreateOutcome[]> {
  const outcomes: CreateOutcome[] = [];
  let size = options.initialBatch;
  while (outcomes.length < objects.length) {
    const batch = objects.slice(outcomes.length, outcomes.length + size);
    const made = await createBatch(deps, ref, batch, options.signal);
    outcomes.push(...made);
    if (made.some((outcome) => outcome.kind !== "created")) break;
    size *= 2;
  }
  while (outcomes.length < objects.length) outcomes.push({ kind: "skipped" });
  return outcomes;
}

async function createBatch(
  deps: CreateDeps,
  ref: ResourceRef,
  objects: readonly KubeObject[],
  signal: AbortSignal,
): Promise<CreateOutcome[]> {
  const outcomes: CreateOutcome[] = objects.map(() => ({ kind: "skipped" }));
  let open = objects.map((_, at) => at);
  for (let attempt = 1; open.length > 0; attempt++) {
    const operations = open.map(
      (at) => ({ op: "create", ref, namespace: objects[at]!.metadata?.namespace, object: objects[at]! }) as const,
    );
    const answers = await batchOutcomes<KubeObject>(deps.client, operations);
    for (const [place, at] of open.entries()) outcomes[at] = judge(outcomes[at]!, answers[place]!, objects[at]!);
    open = open.filter((at) => outcomes[at]!.kind === "unknown");
    if (open.length === 0 || attempt === ATTEMPTS || signal.aborted) return outcomes;
    const pauseMs = Math.min(LAST_RETRY_MS, RETRY_MS * attempt) * (1 + deps.env.random.float());
    await deps.env.timers.sleep(pauseMs, signal).catch(() => undefined);
  }
  return outcomes;
}

function judge(before: CreateOutcome, answer: BatchOutcome<KubeObject>, object: KubeObject): CreateOutcome {
  // As it was sent: nobody asks for more than its name, and the answer need not be read.
  if (answer.ok) return { kind: "created", object };
  const { error } = answer;
  if (before.kind === "unknown") {
    // The first try may have landed whatever this one says, unless this one says that it has.
    return isReason(error, "AlreadyExists") ? { kind: "created", object } : { kind: "unknown", error };
  }
  return mayHaveLanded(error) ? { kind: "unknown", error } : { kind: "failed", error };
}
