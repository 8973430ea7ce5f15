// Reads shared by those who ask at once: nobody gets an answer to a read that was sent before it asked.
import { expect, test } from "vitest";
import { SharedReads } from "../src/etcd/shared-reads.ts";

interface Store {
  readonly reads: SharedReads<number>;
  /** Reads under way, oldest first. */
  readonly sent: PromiseWithResolvers<number>[];
  /** Ends the turn of the loop. */
  readonly turn: () => Promise<void>;
}

function store(): Store {
  const sent: PromiseWithResolvers<number>[] = [];
  let deferred: (() => void)[] = [];
  const defer = (run: () => void): void => void deferred.push(run);
  const reads = new SharedReads({ defer }, () => {
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
  return { reads, sent, turn };
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
