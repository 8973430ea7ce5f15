// A reader that is far behind gets its history in pieces that etcd cuts where they are full, but sees whole revisions.
import { expect, test } from "vitest";
import { endOfRevision, revisionOf } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage, type StorageEventBatch } from "@coxswain/storage";
import { startEtcd } from "../src/testing/etcd-server.ts";

const COMMITS = 8;
const KEYS = 100;
/** Two commits are more than etcd puts in one response. */
const VALUE = Buffer.alloc(10_000, "x");

test("large history comes in several batches of whole revisions", async () => {
  const etcd = await startEtcd();
  const storage = createEtcdStorage({
    env: createRealEnv(),
    logger: silentLogger,
    endpoints: [etcd.endpoint],
    prefix: "/coxswain",
  });
  try {
    const start = await storage.currentRv();
    for (let commit = 0; commit < COMMITS; commit++) {
      const mutations = Array.from({ length: KEYS }, (_, n) => ({
        op: "put" as const,
        key: `/registry/core/things/default/${commit}-${String(n).padStart(3, "0")}`,
        value: VALUE,
      }));
      await storage.commit({ conditions: [], mutations });
    }
    const end = await storage.currentRv();
    const batches: StorageEventBatch[] = [];
    const stop = new AbortController();
    const onBatch = (batch: StorageEventBatch): void => {
      batches.push(batch);
      if (batch.throughRv >= end) stop.abort();
    };
    await storage.watch(start, { onBatch }, stop.signal);
    expect(batches.length).toBeGreaterThan(1);
    for (const { events, throughRv } of batches) {
      const revisions = new Set(events.map(({ rv }) => revisionOf(rv)));
      for (const revision of revisions) {
        expect(events.filter(({ rv }) => revisionOf(rv) === revision)).toHaveLength(KEYS);
      }
      expect(throughRv).toBe(endOfRevision(revisionOf(events.at(-1)!.rv)));
    }
    const all = batches.flatMap(({ events }) => events);
    expect(all).toHaveLength(COMMITS * KEYS);
    expect(all.every(({ rv }, at) => at === 0 || rv > all[at - 1]!.rv)).toBe(true);
  } finally {
    await storage.close();
    await etcd.stop();
  }
});
