// Deletes whose answers get lost are asked for again, until it is known what became of them.
import { newNotFound, StatusError } from "@coxswain/apimachinery";
import { PODS, type Pod } from "@coxswain/api";
import type { BatchOperation, BatchOutcome, ResourceClient } from "@coxswain/client";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { deleteForSure } from "../src/writes/delete-for-sure.ts";

const lost = new StatusError("Timeout", 504, "no answer in time");
const gone = newNotFound(PODS, "a");
const pod = (name: string): Pod => ({ metadata: { name, namespace: "default", uid: `uid-${name}` } });

/** Answers the n-th batch with `answers[n]`. */
function scripted(answers: readonly (readonly (Error | undefined)[])[]) {
  const asked: string[][] = [];
  const batch = (operations: readonly BatchOperation[]): Promise<BatchOutcome<never>[]> => {
    const errors = answers[asked.length] ?? [];
    asked.push(
      operations.map((one) => (one.op === "delete" ? `${one.target.name}/${one.options?.preconditions?.uid}` : "")),
    );
    return Promise.resolve(
      operations.map((_, at): BatchOutcome<never> => {
        const error = errors[at];
        return error === undefined ? { ok: true, object: {} as never } : { ok: false, error };
      }),
    );
  };
  return { asked, client: { batch } as unknown as ResourceClient };
}

describe("deleteForSure", () => {
  test("asks again for what got no answer, and for nothing else", async () => {
    const env = new VirtualEnv({ seed: 1 });
    const { asked, client } = scripted([[lost, undefined], [lost], [gone]]);
    const work = deleteForSure({ env, client }, PODS, [pod("a"), pod("b")], new AbortController().signal);
    await env.advance(10_000);
    expect(await work).toEqual([
      { ok: false, error: gone },
      { ok: true, object: {} },
    ]);
    expect(asked).toEqual([["a/uid-a", "b/uid-b"], ["a/uid-a"], ["a/uid-a"]]);
  });

  test("leaves it open when the signal aborts", async () => {
    const env = new VirtualEnv({ seed: 1 });
    const { asked, client } = scripted([[lost], [lost], [lost], [lost]]);
    const stop = new AbortController();
    const work = deleteForSure({ env, client }, PODS, [pod("a")], stop.signal);
    await env.advance(400);
    stop.abort();
    expect(await work).toEqual([{ ok: false, error: lost }]);
    expect(asked.length).toBeLessThan(4);
  });
});
