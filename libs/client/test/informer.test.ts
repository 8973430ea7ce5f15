// Informers end up equal to the store, whatever the feed and the watch do to them.
import { expect, test } from "vitest";
import { CONFIG_MAPS, PODS, SECRETS } from "@coxswain/api";
import {
  compareResourceVersions,
  groupResource,
  objectKey,
  type KubeObject,
  type ResourceRef,
} from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import {
  BOOKMARK_INTERVAL_MS,
  type Change,
  type ChangeHeader,
  changeSubject,
  encodeChanges,
  type EventBus,
  mayShare,
} from "@coxswain/event-bus";
import { MemoryBusHub } from "@coxswain/event-bus/memory/memory-bus";
import type { InformerOptions, SharedInformer } from "../src/informer-contract.ts";
import { createInformerFactory } from "../src/informer-factory.ts";
import { createMemoryCluster, type MemoryCluster } from "../src/memory/memory-cluster.ts";

interface Pod extends KubeObject {
  spec?: { nodeName?: string };
  data?: Record<string, string>;
}

const rv = (object: KubeObject): string => object.metadata?.resourceVersion ?? "0";

/** Publishes the store's changes as the api-server's elected publisher does. */
function publish(env: VirtualEnv, cluster: MemoryCluster, bus: EventBus) {
  const state = {
    epoch: 0,
    chains: new Map<string, string>(),
    published: 0,
    bookmarks: true,
    paused: false,
    /** How long a change waits for others that may share its message. */
    waitsMs: 0,
    largest: 0,
  };
  let open: { subject: string; changes: Change[] } | undefined;
  const flush = (): void => {
    if (open === undefined) return;
    const { headers, data } = encodeChanges(open.changes);
    bus.publish(open.subject, headers, data);
    state.largest = Math.max(state.largest, open.changes.length);
    open = undefined;
  };
  const send = (subject: string, header: ChangeHeader, body: Buffer): void => {
    const change = { header, body: [body] };
    if (open?.subject === subject && mayShare(open.changes.at(-1)!.header, header)) open.changes.push(change);
    else {
      flush();
      open = { subject, changes: [change] };
    }
    if (state.waitsMs === 0) flush();
    else env.timers.setTimeout(flush, state.waitsMs);
  };
  const previous = (chain: string): string => state.chains.get(chain) ?? "0";
  cluster.onChange(({ ref, type, object, rv: version }) => {
    if (state.paused) return;
    const { namespace = "" } = object.metadata ?? {};
    const node = ref.resource === "pods" ? (object as Pod).spec?.nodeName : undefined;
    const chain = groupResource(ref);
    const nodeChain = `${chain}/${node}`;
    const bodyless = ref.resource === "secrets";
    const header = {
      type,
      epoch: `e${state.epoch}`,
      rv: version.toString(),
      prevRv: previous(chain),
      prevNodeRv: node === undefined ? undefined : previous(nodeChain),
      ref: bodyless ? objectKey(object) : undefined,
    };
    state.chains.set(chain, version.toString());
    if (node !== undefined) state.chains.set(nodeChain, version.toString());
    const body = Buffer.from(bodyless ? "" : JSON.stringify(object));
    send(changeSubject(ref.group, ref.resource, namespace, node), header, body);
    state.published++;
  });
  const bookmark = (): void => {
    if (!state.bookmarks || state.paused) return;
    const epoch = `e${state.epoch}`;
    const covered = cluster.resourceVersion;
    for (const ref of [PODS, CONFIG_MAPS, SECRETS]) {
      const header = { type: "BOOKMARK" as const, epoch, rv: covered, prevRv: previous(groupResource(ref)) };
      send(changeSubject(ref.group, ref.resource, ""), header, Buffer.alloc(0));
    }
    for (const node of ["n0", "n1"]) {
      const before = previous(`pods/${node}`);
      const header = { type: "BOOKMARK" as const, epoch, rv: covered, prevRv: before, prevNodeRv: before };
      send(changeSubject("", "pods", "", node), header, Buffer.alloc(0));
    }
    flush();
  };
  env.timers.setInterval(bookmark, BOOKMARK_INTERVAL_MS);
  return {
    state,
    // A new publisher knows the objects that are there, not the deletions before its time.
    newEpoch: () => {
      state.epoch++;
      state.chains.clear();
      for (const object of cluster.objects<Pod>(PODS)) {
        state.chains.set("pods", rv(object));
        if (object.spec?.nodeName !== undefined) state.chains.set(`pods/${object.spec.nodeName}`, rv(object));
      }
    },
  };
}

function setup(seed: number, options: InformerOptions = {}, ref: ResourceRef = PODS, withBus = true) {
  const env = new VirtualEnv({ seed });
  const cluster = createMemoryCluster({ env });
  const hub = new MemoryBusHub({ env });
  const publisher = publish(env, cluster, hub.client("publisher"));
  const bus = hub.client("reader");
  const client = cluster.client("informer");
  const factory = createInformerFactory({ env, logger: silentLogger, client, ...(withBus ? { bus } : {}) });
  const informer = factory.informer<Pod>(ref, options);
  const seen = recordVersions(informer);
  const abort = new AbortController();
  const start = async (): Promise<void> => {
    factory.start(abort.signal);
    const synced = factory.waitForSync(abort.signal);
    await env.advance(1);
    await synced;
  };
  return { env, cluster, hub, publisher, bus, informer, factory, seen, abort, start, writer: cluster.client("writer") };
}

/** Fails where a handler sees an object's versions fall, or an event that does not fit the one before. */
function recordVersions(informer: SharedInformer<Pod>) {
  const present = new Map<string, string>();
  const log: string[] = [];
  informer.addHandler({
    add: (object) => {
      expect(present.has(objectKey(object)), `${objectKey(object)} added twice`).toBe(false);
      present.set(objectKey(object), rv(object));
      log.push(`add ${object.metadata?.name}`);
    },
    update: (object, old) => {
      expect(present.get(objectKey(object))).toBe(rv(old));
      expect(compareResourceVersions(rv(object), rv(old))).toBeGreaterThan(0);
      present.set(objectKey(object), rv(object));
      log.push(`update ${object.metadata?.name}`);
    },
    delete: (object) => {
      expect(present.delete(objectKey(object)), `${objectKey(object)} deleted while absent`).toBe(true);
      log.push(`delete ${object.metadata?.name}`);
    },
  });
  return { present, log };
}

const pod = (name: string, nodeName?: string): Pod => ({
  metadata: { name, namespace: "ns" },
  spec: nodeName === undefined ? {} : { nodeName },
});
const label = (value: string) => ({ metadata: { labels: { v: value } } });
const MERGE = "application/merge-patch+json";

test("an object is found by what an index says of its newest version, and by nothing else", async () => {
  const { env, informer, start, writer } = setup(1, {}, PODS, false);
  informer.addIndex("label", (object) => Object.values(object.metadata?.labels ?? {}));
  await start();
  await writer.create(PODS, pod("a", "n1"));
  const found = (value: string) => informer.lister.byIndex("label", value).map((one) => one.metadata?.labels);
  const patch = async (labels: Record<string, string | null>) => {
    await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, { metadata: { labels } });
    await env.advance(1);
  };
  await patch({ v: "1", w: "2" });
  expect([found("1"), found("2")]).toEqual([[{ v: "1", w: "2" }], [{ v: "1", w: "2" }]]);
  await patch({ v: "3" });
  expect([found("1"), found("2"), found("3")]).toEqual([[], [{ v: "3", w: "2" }], [{ v: "3", w: "2" }]]);
  await patch({ v: null });
  expect([found("2"), found("3")]).toEqual([[{ w: "2" }], []]);
  await patch({ w: null });
  expect(found("2")).toEqual([]);
});

test("without a bus: list, watch, and an index by node", async () => {
  const { env, informer, seen, start, writer, factory } = setup(1, {}, PODS, false);
  informer.addIndex("node", (object) => [object.spec?.nodeName ?? ""]);
  await writer.create(PODS, pod("a", "n1"));
  await start();
  await writer.create(PODS, pod("b", "n1"));
  await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, label("1"));
  await writer.delete(PODS, { namespace: "ns", name: "b" }, { gracePeriodSeconds: 0 });
  await env.advance(1);
  expect(seen.log).toEqual(["add a", "add b", "update a", "delete b"]);
  expect(informer.lister.byIndex("node", "n1").map((o) => o.metadata?.name)).toEqual(["a"]);
  expect(factory.informer(PODS)).toBe(informer);
});

test("a broken watch resumes; an expired one lists again and reports what is gone", async () => {
  const { env, cluster, seen, start, writer, informer } = setup(1, {}, PODS, false);
  await start();
  await writer.create(PODS, pod("a"));
  await writer.create(PODS, pod("b"));
  await env.advance(1);
  cluster.breakWatches();
  await writer.delete(PODS, { namespace: "ns", name: "a" });
  await writer.create(PODS, pod("c"));
  cluster.compact();
  await env.advance(5_000);
  expect(seen.log).toEqual(["add a", "add b", "delete a", "add c"]);
  expect(informer.lister.list("ns").map((o) => o.metadata?.name)).toEqual(["b", "c"]);
});

test("an object made anew under its name is deleted, then added", async () => {
  const { env, cluster, seen, start, writer } = setup(1, {}, PODS, false);
  await start();
  await writer.create(PODS, pod("a"));
  await env.advance(1);
  cluster.breakWatches();
  await writer.delete(PODS, { namespace: "ns", name: "a" });
  await writer.create(PODS, pod("a"));
  cluster.compact();
  await env.advance(5_000);
  expect(seen.log).toEqual(["add a", "delete a", "add a"]);
});

test("with a bus the watch ends once the feed has been joined, and changes come by the feed", async () => {
  const { env, cluster, seen, start, writer, informer } = setup(1);
  await start();
  expect(cluster.openWatches).toBe(1);
  await writer.create(PODS, pod("a"));
  await env.advance(1);
  await writer.create(PODS, pod("b"));
  await env.advance(1);
  expect(cluster.openWatches).toBe(0);
  await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, label("1"));
  await writer.delete(PODS, { namespace: "ns", name: "b" });
  await env.advance(1);
  expect(seen.log).toEqual(["add a", "add b", "update a", "delete b"]);
  expect(cluster.calls.filter((call) => call.user === "informer").map((call) => call.verb)).toEqual(["list", "watch"]);
  expect(compareResourceVersions(informer.lastSyncResourceVersion(), "0")).toBeGreaterThan(0);
});

/** Brings the informer to follow the feed. */
async function joined(context: ReturnType<typeof setup>): Promise<void> {
  await context.start();
  await context.writer.create(PODS, pod("first", "n0"));
  await context.env.advance(2 * BOOKMARK_INTERVAL_MS);
  expect(context.cluster.openWatches).toBe(0);
}

test("a lost message is found by the chain, and the feed rejoined", async () => {
  const context = setup(2);
  const { env, cluster, hub, writer, informer } = context;
  await joined(context);
  hub.loseNext(1, "kube.core.pods.>", "reader");
  await writer.create(PODS, pod("lost"));
  await env.advance(1);
  expect(informer.lister.get("ns/lost")).toBeUndefined();
  await writer.create(PODS, pod("next"));
  await env.advance(1);
  expect(informer.lister.get("ns/lost")).toBeDefined();
  await env.advance(BOOKMARK_INTERVAL_MS);
  expect(cluster.openWatches).toBe(0);
});

test("changes that share a message come one after the other, and are lost together", async () => {
  const context = setup(2);
  const { env, cluster, hub, publisher, seen, writer, informer } = context;
  await joined(context);
  publisher.state.waitsMs = 5;
  for (const name of ["a", "b"]) await writer.create(PODS, pod(name));
  await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, label("1"));
  await writer.delete(PODS, { namespace: "ns", name: "b" }, { gracePeriodSeconds: 0 });
  expect(seen.log.slice(1)).toEqual([]);
  await env.advance(10);
  expect(publisher.state.largest).toBe(4);
  expect(cluster.openWatches).toBe(0);
  expect(seen.log.slice(1)).toEqual(["add a", "add b", "update a", "delete b"]);
  hub.loseNext(1, "kube.core.pods.>", "reader");
  for (const name of ["c", "d"]) await writer.create(PODS, pod(name));
  await env.advance(10);
  expect(informer.lister.get("ns/c")).toBeUndefined();
  await writer.create(PODS, pod("e"));
  await env.advance(10);
  expect(["c", "d", "e"].map((name) => informer.lister.get(`ns/${name}`)?.metadata?.name)).toEqual(["c", "d", "e"]);
});

test("a lost last message is found by the next bookmark", async () => {
  const context = setup(2);
  const { env, hub, writer, informer } = context;
  await joined(context);
  hub.loseNext(1, "kube.core.pods.>", "reader");
  await writer.create(PODS, pod("lost"));
  await env.advance(BOOKMARK_INTERVAL_MS + 1_500);
  expect(informer.lister.get("ns/lost")).toBeDefined();
});

test("a new epoch leads to catching up; nothing of the time between is missed", async () => {
  const context = setup(3);
  const { env, cluster, publisher, writer, informer } = context;
  await joined(context);
  publisher.state.paused = true;
  await writer.create(PODS, pod("unpublished"));
  publisher.state.paused = false;
  publisher.newEpoch();
  await writer.create(PODS, pod("next"));
  await env.advance(2_000);
  expect(informer.lister.get("ns/unpublished")).toBeDefined();
  expect(informer.lister.get("ns/next")).toBeDefined();
  await env.advance(BOOKMARK_INTERVAL_MS);
  expect(cluster.openWatches).toBe(0);
});

test("a deletion before a new publisher's time is not missed, though its chain does not know of it", async () => {
  const context = setup(3, { node: "n0" });
  const { env, publisher, writer, informer } = context;
  await joined(context);
  await writer.create(PODS, pod("second", "n0"));
  await env.advance(1);
  publisher.state.paused = true;
  await writer.delete(PODS, { namespace: "ns", name: "second" }, { gracePeriodSeconds: 0 });
  publisher.state.paused = false;
  publisher.newEpoch();
  await writer.create(PODS, pod("third", "n0"));
  await env.advance(2_000);
  expect(informer.lister.list().map((o) => o.metadata?.name)).toEqual(["first", "third"]);
});

test("a lost connection and a silent feed lead to a watch", async () => {
  const context = setup(4);
  const { env, cluster, bus, publisher, writer, informer } = context;
  await joined(context);
  bus.disconnect();
  await env.advance(1);
  expect(cluster.openWatches).toBe(1);
  await writer.create(PODS, pod("a"));
  await env.advance(1);
  expect(informer.lister.get("ns/a")).toBeDefined();
  bus.reconnect();
  await env.advance(BOOKMARK_INTERVAL_MS);
  expect(cluster.openWatches).toBe(0);
  publisher.state.bookmarks = false;
  publisher.state.paused = true;
  await env.advance(2 * BOOKMARK_INTERVAL_MS);
  expect(cluster.openWatches).toBe(1);
});

test("a node's informer hears its own pods only, from binding on", async () => {
  const { env, seen, start, writer, informer, cluster } = setup(5, { node: "n1" });
  await start();
  for (const name of ["a", "b"]) await writer.create(PODS, pod(name));
  const bind = (name: string, node: string): Promise<KubeObject> =>
    writer.create(PODS, { metadata: { name, namespace: "ns" }, target: { name: node } } as KubeObject, {
      namespace: "ns",
      name,
      subresource: "binding",
    });
  await bind("a", "n1");
  await bind("b", "n0");
  await env.advance(1);
  await writer.delete(PODS, { namespace: "ns", name: "a" }, { gracePeriodSeconds: 0 });
  await env.advance(1);
  expect(seen.log).toEqual(["add a", "delete a"]);
  expect(informer.lister.size).toBe(0);
  expect(cluster.openWatches).toBe(0);
});

test("a message without a body is fetched, in order", async () => {
  const { env, cluster, seen, start, writer, informer } = setup(6, {}, SECRETS);
  await start();
  await writer.create(SECRETS, { metadata: { name: "s", namespace: "ns" } });
  await env.advance(1);
  await writer.update(SECRETS, { metadata: { name: "s", namespace: "ns" }, data: { k: "v" } } as KubeObject);
  await env.advance(1);
  expect(informer.lister.get("ns/s")?.data).toEqual({ k: "v" });
  await writer.delete(SECRETS, { namespace: "ns", name: "s" });
  await env.advance(1);
  expect(seen.log).toEqual(["add s", "update s", "delete s"]);
  expect(cluster.calls.some((call) => call.verb === "get" && call.user === "informer")).toBe(true);
});

test("a label selector holds on the feed too", async () => {
  const context = setup(7, { labelSelector: "v=1" });
  const { env, seen, start, writer } = context;
  await start();
  const relabel = async (value: string): Promise<void> => {
    await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, label(value));
    await env.advance(1);
  };
  await writer.create(PODS, pod("a"));
  await env.advance(1);
  for (const value of ["1", "2", "1"]) await relabel(value);
  await writer.delete(PODS, { namespace: "ns", name: "a" });
  await env.advance(1);
  expect(seen.log).toEqual(["add a", "delete a", "add a", "delete a"]);
});

test("who may see no more than a selection hears of changes from the api-server alone", async () => {
  const { env, cluster, seen, start, writer, publisher } = setup(8, { labelSelector: "v=1", direct: true });
  await start();
  for (const name of ["a", "b"]) await writer.create(PODS, pod(name));
  // The feed is there, and is not listened to.
  await env.advance(BOOKMARK_INTERVAL_MS * 2);
  expect(cluster.openWatches).toBe(1);
  await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, label("1"));
  await env.advance(1);
  publisher.newEpoch();
  cluster.breakWatches();
  await writer.patch(PODS, { namespace: "ns", name: "a" }, MERGE, label("2"));
  await env.advance(10_000);
  expect(seen.log).toEqual(["add a", "delete a"]);
});

async function chaos(seed: number, options: InformerOptions): Promise<void> {
  const context = setup(seed, options);
  const { env, cluster, hub, publisher, bus, informer, seen, start, writer, abort } = context;
  const { random } = env;
  publisher.state.waitsMs = random.int(3);
  cluster.inject({ verb: "list", when: () => random.float() < 0.1 });
  cluster.inject({ verb: "watch", when: () => random.float() < 0.2 });
  const faults: (() => void)[] = [
    () => hub.loseNext(1 + random.int(3), "kube.core.pods.>", "reader"),
    () => publisher.newEpoch(),
    () => bus.disconnect(),
    () => bus.reconnect(),
    () => cluster.breakWatches(),
    () => cluster.endWatches(),
    () => cluster.compact(),
    () => cluster.bookmark(),
    () => (publisher.state.paused = true),
    // Who publishes again after a pause is another publisher: the old one would have published what came between.
    () => {
      publisher.state.paused = false;
      publisher.newEpoch();
    },
  ];
  const write = async (): Promise<void> => {
    const name = `p${random.int(6)}`;
    const target = { namespace: "ns", name };
    const exists = cluster.objects(PODS).some((object) => object.metadata?.name === name);
    if (!exists) await writer.create(PODS, pod(name, random.int(2) === 0 ? undefined : `n${random.int(2)}`));
    else if (random.int(3) === 0) await writer.delete(PODS, target, { gracePeriodSeconds: 0 });
    else await writer.patch(PODS, target, MERGE, label(`${random.int(3)}`));
  };
  await env.advance(0);
  const starting = start().catch(() => {});
  for (let round = 0; round < 150; round++) {
    await write();
    if (random.int(4) === 0) faults[random.int(faults.length)]?.();
    await env.advance(random.int(8) === 0 ? random.int(8_000) : random.int(3));
  }
  // Faults end; the cache must become what the store holds.
  if (publisher.state.paused) publisher.newEpoch();
  publisher.state.paused = false;
  bus.reconnect();
  await write();
  await env.advance(40_000);
  await starting;
  const expected = cluster
    .objects<Pod>(PODS)
    .filter((object) => options.node === undefined || object.spec?.nodeName === options.node)
    .map((object) => `${objectKey(object)}@${rv(object)}`);
  const cached = informer.lister.list().map((object) => `${objectKey(object)}@${rv(object)}`);
  expect(cached.toSorted(), `seed ${seed}`).toEqual(expected.toSorted());
  expect(seen.present.size).toBe(informer.lister.size);
  abort.abort();
  await env.advance(1);
  expect(cluster.openWatches).toBe(0);
}

test("under random drops, epochs, disconnects, broken watches and compaction the cache ends equal to the store", async () => {
  for (let seed = 1; seed <= 30; seed++) await chaos(seed, {});
});

test("the same for the pods of one node", async () => {
  for (let seed = 101; seed <= 120; seed++) await chaos(seed, { node: "n1" });
});
