// At most one leader at a time, and none that has lost its lease.
import { expect, test } from "vitest";
import { CONFIG_MAPS, LEASES, type Lease } from "@coxswain/api";
import { silentLogger } from "@coxswain/component-base";
import { AbortError, VirtualEnv } from "@coxswain/env";
import { createLeaderElector } from "../src/leader-election.ts";
import type { ResourceClient } from "../src/resource-client.ts";
import { createMemoryCluster, timeoutError, type MemoryCluster } from "../src/memory/memory-cluster.ts";

function candidate(
  env: VirtualEnv,
  cluster: MemoryCluster,
  identity: string,
  through: (client: ResourceClient) => ResourceClient = (client) => client,
) {
  const abort = new AbortController();
  const log: string[] = [];
  const events: string[] = [];
  const recorder = {
    event: (_about: object, type: string, reason: string, message: string) =>
      void events.push(`${type} ${reason} ${message}`),
    flush: () => Promise.resolve(),
  };
  const client = through(cluster.client(identity));
  const options = { namespace: "kube-system", name: "lock", identity };
  const elector = createLeaderElector(options, { env, client, logger: silentLogger, recorder });
  const lead = async (signal: AbortSignal): Promise<void> => {
    log.push(`lead ${env.elapsedMs}`);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    log.push(`lost ${env.elapsedMs}`);
    throw new AbortError();
  };
  return { abort, elector, log, events, client, running: elector.run(lead, abort.signal) };
}

const make = () => {
  const env = new VirtualEnv({ seed: 1 });
  return { env, cluster: createMemoryCluster({ env }) };
};
const lease = (cluster: MemoryCluster): Lease => cluster.objects<Lease>(LEASES)[0]!;

test("one leads, announces it and renews; the other waits", async () => {
  const { env, cluster } = make();
  const a = candidate(env, cluster, "a");
  await env.advance(10);
  const b = candidate(env, cluster, "b");
  await env.advance(60_000);
  expect(a.elector.isLeader()).toBe(true);
  expect(b.elector.isLeader()).toBe(false);
  expect(b.elector.leader()).toBe("a");
  expect(a.events).toEqual(["Normal LeaderElection a became leader"]);
  expect(lease(cluster).spec).toMatchObject({ holderIdentity: "a", leaseDurationSeconds: 15, leaseTransitions: 0 });
  expect(lease(cluster).spec?.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test("a leader that stops releases the lease, and the next takes over within a retry period", async () => {
  const { env, cluster } = make();
  const a = candidate(env, cluster, "a");
  await env.advance(10);
  const b = candidate(env, cluster, "b");
  await env.advance(5_000);
  a.abort.abort();
  await a.running;
  expect(lease(cluster).spec?.holderIdentity).toBe("");
  await env.advance(2_400);
  expect(b.elector.fence()).toEqual({ lease: "kube-system/lock", holder: "b", transitions: 1 });
});

test("a leader that cannot renew gives up at the deadline, before another can lead", async () => {
  const { env, cluster } = make();
  const a = candidate(env, cluster, "a");
  await env.advance(10);
  const b = candidate(env, cluster, "b");
  await env.advance(5_000);
  cluster.inject({ when: (call) => call.user === "a" && call.ref.resource === "leases", error: timeoutError() });
  await env.advance(10_000);
  expect(a.elector.isLeader()).toBe(false);
  expect(a.log).toHaveLength(2);
  expect(b.elector.isLeader()).toBe(false);
  await env.advance(10_000);
  expect(b.elector.isLeader()).toBe(true);
});

test("a leader renews by one write, without reading what it has written itself", async () => {
  const { env, cluster } = make();
  const a = candidate(env, cluster, "a");
  await env.advance(10);
  const verbs: string[] = [];
  cluster.inject({
    when: (call) => {
      verbs.push(call.verb);
      return false;
    },
    error: timeoutError(),
  });
  await env.advance(20_000);
  expect(new Set(verbs)).toEqual(new Set(["update"]));
  expect(a.elector.isLeader()).toBe(true);
});

test("a leader whose Lease was written by somebody else reads it and renews", async () => {
  const { env, cluster } = make();
  const a = candidate(env, cluster, "a");
  await env.advance(10);
  const target = { namespace: "kube-system", name: "lock" };
  const labelled = cluster
    .client("admin")
    .patch(LEASES, target, "application/merge-patch+json", { metadata: { labels: { by: "admin" } } });
  await env.advance(20_000);
  await labelled;
  expect(a.log).toEqual(["lead 0"]);
  expect(lease(cluster).metadata?.labels).toEqual({ by: "admin" });
  expect(env.clock.now() - Date.parse(lease(cluster).spec?.renewTime ?? "")).toBeLessThan(5_000);
});

test("an answer that never comes costs a leader one attempt, not its lease", async () => {
  const { env, cluster } = make();
  let silent = false;
  const a = candidate(env, cluster, "a", (client) => ({
    ...client,
    update: (...args) => {
      if (!silent) return client.update(...args);
      silent = false;
      return new Promise(() => undefined);
    },
  }));
  await env.advance(5_000);
  silent = true;
  await env.advance(60_000);
  expect(silent).toBe(false);
  expect(a.log).toEqual(["lead 0"]);
});

test("who gets the lease too late to lead by it tries again", async () => {
  const { env, cluster } = make();
  let slow = true;
  const a = candidate(env, cluster, "a", (client) => ({
    ...client,
    create: async (ref, object, options) => {
      const stored = await client.create(ref, object, options);
      if (slow) await env.timers.sleep(11_000);
      slow = false;
      return stored;
    },
  }));
  await env.advance(12_000);
  expect(a.elector.isLeader()).toBe(false);
  await env.advance(5_000);
  expect(a.elector.isLeader()).toBe(true);
});

test("a leader that stood still past its deadline does not say that it leads, and its fenced writes are refused", async () => {
  const { env, cluster } = make();
  const a = candidate(env, cluster, "a");
  await env.advance(10);
  const stale = a.elector.fence();
  const frozen = { ...env.clock };
  // The process stands still: its clock jumps, and no timer of it has run.
  const jump = 12_000;
  Object.assign(env.clock, { now: () => frozen.now() + jump, monotonic: () => frozen.monotonic() + jump });
  expect(a.elector.isLeader()).toBe(false);
  expect(a.elector.fence()).toBeUndefined();
  await env.advance(2_000);
  expect(a.log.slice(0, 2)).toEqual(["lead 0", "lost 2000"]);
  const b = candidate(env, cluster, "b");
  a.abort.abort();
  await env.advance(40_000);
  expect(b.elector.isLeader()).toBe(true);
  const late = a.client.fenced(() => stale).create(CONFIG_MAPS, { metadata: { name: "x", namespace: "ns" } });
  await expect(late).rejects.toMatchObject({ reason: "Conflict" });
});

test("over many seeds with failing calls there are never two leaders at once", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const env = new VirtualEnv({ seed });
    const cluster = createMemoryCluster({ env, latencyMs: () => env.random.int(500) });
    cluster.inject({ when: () => env.random.float() < 0.4, error: timeoutError(), lands: seed % 2 === 0 });
    const candidates = ["a", "b", "c"].map((name) => candidate(env, cluster, name));
    let leaders = 0;
    for (let second = 0; second < 200; second++) {
      await env.advance(1_000);
      const now = candidates.filter(({ elector }) => elector.isLeader()).length;
      expect(now, `seed ${seed}`).toBeLessThanOrEqual(1);
      leaders += now;
    }
    expect(leaders, `seed ${seed}`).toBeGreaterThan(0);
    for (const { abort } of candidates) abort.abort();
    await env.advance(20_000);
    await Promise.all(candidates.map(({ running }) => running));
  }
});
