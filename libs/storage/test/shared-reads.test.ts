// Reads shared by those who ask at once: nobody gets an answer to a read that was sent before it asked.
import { expect, test } from "vitest";
import type { TimerHandle } from "@coxswain/env";
import { SharedReads } from "../src/etcd/shared-reads.ts";

interface Store {
  readonly reads: SharedReads<number>;
  /** Turns of the loop and the timers' clock. */
  readonly wait: (ms: number) => Promise<void>;
  /** Reads under way, oldest first. */
  readonly sent: PromiseWithResolvers<number>[];
  /** Ends the turn of the loop. */
  readonly turn: () => Promise<void>;
}

function store(): Store {
  const sent: PromiseWithResolvers<number>[] = [];
  let deferred: (() => void)[] = [];
  const defer = (run: () => void): void => void deferred.push(run);
  let nowMs = 1_000;
  let timers: { readonly dueMs: number; readonly run: () => void }[] = [];
  const setTimeout = (run: () => void, ms: number): TimerHandle => {
    timers.push({ dueMs: nowMs + ms, run });
    return { timer: run };
  };
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const reads = new SharedReads({ clock, timers: { defer, setTimeout } }, () => {
    const read = Promise.withResolvers<number>();
    sent.push(read);
    return read.promise;
  });
  const turn = async (): Promise<void> => {
    const due = deferred;
    deferred = [];
    for (const run of due) run();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  };
  const wait = async (ms: number): Promise<void> => {
    nowMs += ms;
    const due = timers.filter(({ dueMs }) => dueMs <= nowMs);
    timers = timers.filter(({ dueMs }) => dueMs > nowMs);
    for (const { run } of due) run();
    await turn();
  };
  return { reads, sent, turn, wait };
}

test("all who ask in one turn share a read that is sent when the turn is over", async () => {
  const { reads, sent, turn } = store();
  const asked = [reads.ask(), reads.ask(), reads.ask()];
  expect(sent).toHaveLength(0);
  await turn();
  expect(sent).toHaveLength(1);
  sent[0]!.resolve(7);
  expect(await Promise.all(asked)).toEqual([7, 7, 7]);
});

test("who asks while a read is under way gets another, and who asks while two are waits for the first to end", async () => {
  const { reads, sent, turn } = store();
  const first = reads.ask();
  await turn();
  const second = reads.ask();
  await turn();
  expect(sent).toHaveLength(2);
  const third = reads.ask();
  await turn();
  expect(sent).toHaveLength(2);
  sent[1]!.resolve(2);
  expect(await second).toBe(2);
  const fourth = reads.ask();
  await turn();
  expect(sent).toHaveLength(3);
  sent[2]!.resolve(3);
  expect(await Promise.all([third, fourth])).toEqual([3, 3]);
  sent[0]!.resolve(1);
  expect(await first).toBe(1);
});

test("a crowd waits a moment for others, who are few do not", async () => {
  const { reads, sent, turn, wait } = store();
  const alone = reads.ask();
  await turn();
  const crowd = [reads.ask(), reads.ask(), reads.ask(), reads.ask()];
  await turn();
  expect(sent).toHaveLength(2);
  sent[0]!.resolve(1);
  sent[1]!.resolve(2);
  expect(await Promise.all([alone, ...crowd])).toEqual([1, 2, 2, 2, 2]);
  const later = [reads.ask()];
  await wait(1);
  later.push(reads.ask());
  expect(sent).toHaveLength(2);
  await wait(1);
  expect(sent).toHaveLength(3);
  sent[2]!.resolve(3);
  expect(await Promise.all(later)).toEqual([3, 3]);
  const last = reads.ask();
  await turn();
  expect(sent).toHaveLength(4);
  sent[3]!.resolve(4);
  expect(await last).toBe(4);
});

test("a read that fails is the failure of those who share it, and of nobody else", async () => {
  const { reads, sent, turn } = store();
  const failing = [reads.ask(), reads.ask()];
  await turn();
  const later = reads.ask();
  await turn();
  sent[0]!.reject(new Error("away"));
  expect((await Promise.allSettled(failing)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  sent[1]!.resolve(1);
  expect(await later).toBe(1);
});
