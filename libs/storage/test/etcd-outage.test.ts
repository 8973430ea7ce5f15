// etcd dies, freezes and comes back: calls end in a bounded time and say what is known, watches and elections resume.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isReason } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage, type Storage } from "@coxswain/storage";
import { startEtcd, type TestEtcd } from "../src/testing/etcd-server.ts";
import { eventually, follow, mustCommit } from "../src/testing/storage-suite.ts";

const env = createRealEnv();
const put = (key: string) => ({ mutations: [{ op: "put" as const, key, value: Buffer.from(key) }] });

describe.each(["endpoint", "socket"] as const)("etcd outages, etcd met by its %s", (way) => {
  let etcd: TestEtcd;
  let storage: Storage;
  beforeAll(async () => {
    etcd = await startEtcd();
    const options = { env, logger: silentLogger, endpoints: [etcd[way]], prefix: "/x" };
    storage = createEtcdStorage({ ...options, deadlineMs: 1_000 });
    await mustCommit(storage, put("/first"));
  });
  afterAll(async () => {
    await storage.close();
    await etcd.stop();
  });

  test("killed: calls reject with ServiceUnavailable in time, then all resumes, and the watch misses nothing", async () => {
    const states: boolean[] = [];
    const abort = new AbortController();
    const keys: string[] = [];
    const watching = storage.watch(
      await storage.currentRv(),
      {
        onBatch: ({ events }) => void keys.push(...events.map(({ key }) => key)),
        onConnection: (up) => void states.push(up),
      },
      abort.signal,
    );
    for (let round = 0; round < 3; round++) {
      await mustCommit(storage, put(`/before-${round}`));
      await etcd.kill();
      // Before the loss is noticed a commit may be sent into a dead connection: that one's outcome is unknown.
      await eventually(() => states.length === 2 * round + 1, "the loss to be noticed");
      const start = env.clock.monotonic();
      const calls = [storage.get("/first"), storage.commit({ conditions: [], ...put("/no") }), storage.currentRv()];
      for (const result of await Promise.allSettled(calls)) {
        expect(result.status === "rejected" && isReason(result.reason, "ServiceUnavailable")).toBe(true);
      }
      expect(env.clock.monotonic() - start).toBeLessThan(3_000);
      await etcd.restart();
      await eventually(() => states.length === 2 * (round + 1), "the watch to be back");
      await mustCommit(storage, put(`/after-${round}`));
    }
    await eventually(() => keys.length >= 6, "six puts");
    expect(keys).toEqual([0, 1, 2].flatMap((round) => [`/before-${round}`, `/after-${round}`]));
    expect(states).toEqual([false, true, false, true, false, true]);
    abort.abort();
    await watching;
  });

  test("frozen: a commit that was sent ends as Timeout, and may have landed", async () => {
    await mustCommit(storage, put("/warm"));
    const since = await storage.currentRv();
    etcd.freeze();
    const commits = await Promise.allSettled(
      ["/u1", "/u2"].map((key) => storage.commit({ conditions: [], ...put(key) })),
    );
    expect(commits.every((it) => it.status === "rejected" && isReason(it.reason, "Timeout"))).toBe(true);
    await expect(storage.get("/first")).rejects.toSatisfy((error) => isReason(error, "ServiceUnavailable"));
    etcd.thaw();
    await storage.ping();
    const watching = follow(storage, since);
    await mustCommit(storage, put("/end"));
    await eventually(() => watching.events.at(-1)?.key === "/end", "the last event");
    await watching.stop();
  });

  test("a leader whose lease cannot be kept is told in time, and a next one follows", async () => {
    const leader = await storage.candidate("outage", "a", 2_000).campaign(new AbortController().signal);
    const start = env.clock.monotonic();
    etcd.freeze();
    await eventually(() => leader.lost.aborted, "lost");
    expect(env.clock.monotonic() - start).toBeLessThan(2_100);
    etcd.thaw();
    const next = await storage.candidate("outage", "b", 2_000).campaign(new AbortController().signal);
    expect(next.term).toBeGreaterThan(leader.term);
    await env.timers.sleep(2_500);
    expect(next.lost.aborted).toBe(false);
    await next.resign();
  });
});
