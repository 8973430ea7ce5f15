// The loop against a provider that is dead or hangs, and with its own death at every step of a scale-down: afterwards no node is
// lost and none stays marked as going.
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import { formatTime, StatusError } from "@coxswain/apimachinery";
import { createEventRecorder, createInformerFactory, createLeaderElector, type ResourceClient } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { createClusterAutoscaler } from "../src/app.ts";
import type { CloudProvider } from "../src/cloud-provider.ts";
import { DELETION_CANDIDATE, mark, nameOf, TO_BE_DELETED } from "../src/node-facts.ts";
import type { Placement } from "../src/placement.ts";
import { createMemoryProvider } from "../src/testing/memory-provider.ts";

const MINUTE = 60_000;
/** What a provider's caller waits at most. */
const DEADLINE_MS = 10_000;
const LEASE = { namespace: "kube-system", name: "cluster-autoscaler" };

type Call = () => Promise<unknown>;
/** Stands between a process and something that it calls. */
type Gate = (method: string, call: Call) => Promise<unknown>;

function through<T extends object>(target: T, gate: Gate): T {
  return new Proxy(target, {
    get(all, key) {
      const member: unknown = Reflect.get(all, key);
      if (typeof member !== "function") return member;
      return (...args: unknown[]): unknown => {
        const call = (): unknown => Reflect.apply(member, all, args);
        if (key === "fenced") return through(call() as object, gate);
        // Streams are not calls; what they bring changes nothing after death.
        return key === "watch" || key === "close" ? call() : gate(String(key), call as Call);
      };
    },
  });
}

function node(env: VirtualEnv, name: string, over: Partial<Node["spec"]> = {}): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, creationTimestamp: formatTime(env.clock.now()) },
    spec: { providerID: `memory://${name}`, ...over },
    status: {
      allocatable: { cpu: "4", memory: "8Gi", pods: "110" },
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

function pod(name: string, on: string, cpu: string): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      annotations: { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" },
    },
    spec: {
      nodeName: on,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }],
    },
  };
}

interface Gates {
  readonly client?: Gate;
  readonly provider?: Gate;
}

/** Nodes a (in use), b (empty) and c (with a pod that fits elsewhere), in a group of at least `minSize`. */
function setup(minSize: number) {
  const env = new VirtualEnv({ seed: 5 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const names = ["a", "b", "c"];
  for (const name of names) cluster.seed(NODES, node(env, name));
  cluster.seed(PODS, pod("busy", "a", "3"));
  cluster.seed(PODS, pod("small", "c", "100m"));
  const group = { id: "nodes", minSize, maxSize: 5 };
  const provider = createMemoryProvider(group, names, node(env, "template"));
  const placement: Placement = {
    ask: ({ pods }) => Promise.resolve({ places: pods.map(() => ({ node: "a", copy: 0, message: "" })), copies: 0 }),
  };
  let processes = 0;

  function start({ client: atClient = (_, call) => call(), provider: atProvider = (_, call) => call() }: Gates = {}) {
    const identity = `autoscaler-${++processes}`;
    const client: ResourceClient = through(cluster.client(identity), atClient);
    const parts = { env, client, logger: silentLogger };
    const elector = createLeaderElector({ ...LEASE, identity }, parts);
    const cloud: CloudProvider = through(provider, atProvider);
    const app = createClusterAutoscaler({
      ...parts,
      metrics: noMetrics,
      informers: createInformerFactory(parts),
      recorder: createEventRecorder({ ...parts, component: "cluster-autoscaler" }),
      elector,
      identity,
      provider: cloud,
      placement,
      options: { scaleDownUnneededMs: MINUTE, scaleDownDelayAfterFailureMs: MINUTE },
    });
    const stop = new AbortController();
    const running = app.run(stop.signal);
    return { stop, running };
  }

  const nodes = (): Node[] => cluster.objects<Node>(NODES);
  const marked = (key = TO_BE_DELETED): string[] =>
    nodes()
      .filter(({ spec }) => spec?.taints?.some((taint) => taint.key === key))
      .map(nameOf);
  const machines = async (): Promise<string[]> =>
    (await provider.instances("nodes")).map(({ id }) => id.slice("memory://".length)).toSorted();
  const within = (done: () => boolean, ms = 10 * MINUTE): Promise<boolean> => env.runUntil(done, env.elapsedMs + ms);
  const deleted = (): string[] => provider.log.filter((line) => line.startsWith("delete"));
  return { env, cluster, provider, start, nodes, marked, machines, within, deleted };
}

/** Nothing that one does after its death has any effect, and nothing answers it. */
function mortal() {
  let dead = false;
  let left = Infinity;
  let calls = 0;
  const gate: Gate = async (_, call) => {
    if (dead) return new Promise(() => {});
    const result = await call();
    calls++;
    if (--left <= 0) dead = true;
    return dead ? new Promise(() => {}) : result;
  };
  return {
    gates: { client: gate, provider: gate },
    /** After so many more answers. */
    dieAfter: (answers: number) => void (left = answers),
    isDead: () => dead,
    calls: () => calls,
  };
}

describe("a provider", () => {
  test("that is dead costs scans; when it is back, nodes go as they would have", async () => {
    const { env, provider, start, nodes, within, marked, deleted } = setup(1);
    provider.dead = true;
    start();
    await env.advance(10 * MINUTE);
    expect(nodes()).toHaveLength(3);
    expect([marked(), marked(DELETION_CANDIDATE), deleted()]).toEqual([[], [], []]);
    provider.dead = false;
    expect(await within(() => nodes().length === 1)).toBe(true);
    expect(nodes().map(nameOf)).toEqual(["a"]);
  });

  test("that is dead leaves nobody marked whom an earlier leader marked, in a group or in none", async () => {
    const { env, cluster, provider, start, within, marked } = setup(3);
    const taints = [mark(TO_BE_DELETED, 0), mark(DELETION_CANDIDATE, 0)];
    cluster.seed(NODES, node(env, "stranger", { providerID: "other://x", taints }));
    cluster.seed(NODES, node(env, "old", { taints }));
    provider.dead = true;
    start();
    expect(await within(() => marked().length === 0 && marked(DELETION_CANDIDATE).length === 0, MINUTE)).toBe(true);
  });

  test.each([
    ["did what it was asked", true],
    ["did nothing", false],
  ])("that hangs in the middle of a deletion, and %s", async (_, does) => {
    const { env, start, nodes, marked, machines, within } = setup(1);
    let hangs = 2;
    const late = async (method: string, call: Call): Promise<unknown> => {
      if (method !== "deleteNodes" || hangs-- <= 0) return call();
      if (does) await call();
      await env.timers.sleep(DEADLINE_MS);
      throw new StatusError("Timeout", 504, "deadline exceeded");
    };
    start({ provider: late });
    if (does) {
      // The machine is gone, and so its node becomes unready.
      await within(() => hangs <= 0);
      const there = await machines();
      expect(there).not.toEqual(["a", "b", "c"]);
    }
    expect(await within(() => marked().length === 0 && hangs <= 0)).toBe(true);
    if (!does) {
      expect(nodes()).toHaveLength(3);
      expect(await within(() => nodes().length === 1)).toBe(true);
    }
    expect(await machines()).toContain("a");
    expect(nodes().map(nameOf)).toContain("a");
  });

  test("that hangs at every question costs scans, and marks nobody", async () => {
    const { env, start, nodes, marked, within, deleted } = setup(1);
    let hangs = false;
    const late: Gate = async (_, call) => {
      if (!hangs) return call();
      await env.timers.sleep(DEADLINE_MS);
      throw new StatusError("Timeout", 504, "deadline exceeded");
    };
    start({ provider: late });
    expect(await within(() => marked(DELETION_CANDIDATE).length > 0)).toBe(true);
    hangs = true;
    await env.advance(10 * MINUTE);
    expect([nodes().length, marked(), deleted()]).toEqual([3, [], []]);
    hangs = false;
    expect(await within(() => nodes().length === 1)).toBe(true);
  });
});

describe("an api-server", () => {
  test("that refuses to take a mark off leaves the node marked no longer than that", async () => {
    const { start, provider, marked, within, env } = setup(1);
    let refuses = false;
    const client: Gate = (method, call) => {
      if (refuses && method === "patch") throw new StatusError("ServiceUnavailable", 503, "no leader");
      return call();
    };
    const failing: Gate = (method, call) => {
      if (method !== "deleteNodes") return call();
      refuses = true;
      return Promise.reject(new StatusError("InternalError", 500, "no"));
    };
    start({ client, provider: failing });
    expect(await within(() => refuses)).toBe(true);
    await env.advance(MINUTE);
    expect(marked().length).toBeGreaterThan(0);
    expect(provider.log).toEqual([]);
    refuses = false;
    // The provider goes on failing: each attempt ends with the mark taken off.
    expect(await within(() => marked().length === 0, MINUTE)).toBe(true);
  });
});

describe("the autoscaler's own death", () => {
  /** The answers from the first mark to the end of a scale-down to one node. */
  async function answersOfAll(): Promise<readonly number[]> {
    const { start, nodes, within, marked } = setup(1);
    const life = mortal();
    start(life.gates);
    expect(await within(() => marked().length > 0)).toBe(true);
    const first = life.calls();
    expect(await within(() => nodes().length === 1)).toBe(true);
    return Array.from({ length: life.calls() - first + 1 }, (_, at) => first + at);
  }

  /** A second after the leader has died with that answer. */
  async function afterDeathAt(answers: number): Promise<ReturnType<typeof setup>> {
    const made = setup(1);
    const life = mortal();
    life.dieAfter(answers);
    made.start(life.gates);
    expect(await made.within(life.isDead)).toBe(true);
    await made.env.advance(1_000);
    return made;
  }

  test("at any answer of a scale-down: the next leader ends it, and loses nothing", async () => {
    const all = await answersOfAll();
    let marks = 0;
    for (const answers of all) {
      const { cluster, start, nodes, marked, machines, within } = await afterDeathAt(answers);
      marks += marked().length;
      // Who has no machine any more does not answer.
      const there = await machines();
      for (const gone of nodes().filter((one) => !there.includes(nameOf(one)))) {
        const status = { conditions: [{ type: "Ready", status: "Unknown" }] };
        const target = { name: nameOf(gone) };
        void cluster
          .client()
          .patch(NODES, target, "application/merge-patch+json", { status }, { subresource: "status" });
      }
      start();
      const settled = await within(() => nodes().length === 1 && marked().length === 0);
      expect([answers, settled, nodes().map(nameOf), await machines()]).toEqual([answers, true, ["a"], ["a"]]);
      expect(marked(DELETION_CANDIDATE)).toEqual([]);
    }
    // Otherwise the deaths were at other moments than those that this is about.
    expect(marks).toBeGreaterThan(0);
  });

  test("with nodes that are needed again by then: none stays marked, none goes", async () => {
    const all = await answersOfAll();
    let marks = 0;
    for (const answers of all) {
      const { env, cluster, start, nodes, marked, machines } = await afterDeathAt(answers);
      marks += marked().length;
      const there = await machines();
      for (const name of there) cluster.seed(PODS, pod(`needs-${name}`, name, "3"));
      start();
      await env.advance(5 * MINUTE);
      expect([answers, await machines(), marked().filter((name) => there.includes(name))]).toEqual([
        answers,
        there,
        [],
      ]);
      expect(nodes().map(nameOf)).toEqual(expect.arrayContaining(there));
    }
    expect(marks).toBeGreaterThan(0);
  });
});
