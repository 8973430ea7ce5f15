// A watch that is cut at any point of a commit and resumed on another api-server sees every event once and in order, while
// api-servers and etcd are killed and come back. The reference is etcd's own history; what writers were told must be in it.
import { request } from "node:https";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CONFIG_MAPS, type ConfigMap } from "@coxswain/api";
import { isReason, revisionOf, StatusError, type KubeObject, type Status } from "@coxswain/apimachinery";
import type { BatchOperation, ResourceClient, WatchEvent } from "@coxswain/client";
import { createRealEnv, createSeededRandom, type Random } from "@coxswain/env";
import { startControlPlane, type ControlPlane } from "./control-plane-fixture.ts";
import { etcdHistory, historyLine } from "./etcd-history.ts";

type Event = WatchEvent<KubeObject>;

/** Opens a watch after `resourceVersion` on api-server `server`. Ends or throws when the connection does. */
type OpenWatch = (
  server: number,
  resourceVersion: string,
  timeoutSeconds: number,
  signal: AbortSignal,
) => AsyncIterable<Event>;

interface Watched {
  /** "uid type resourceVersion", in the order of arrival. */
  readonly seen: readonly string[];
  readonly connections: number;
}

const SEED = Number(process.env["COXSWAIN_SEED"] ?? 20_261_123);
const NAMESPACE = "default";
const END = "the-end";
const NAMES = 40;
/** At least; writing goes on until the last killed process is back. */
const ROUNDS = 100;
const AT_ONCE = 48;
const SERVERS = 2;
const env = createRealEnv();

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane({ apiServers: SERVERS });
});
afterAll(async () => {
  await plane[Symbol.asyncDispose]();
});

/** A watch over REST: node:https, one JSON document a line; what follows the last line break was cut off. */
async function* restWatch(
  server: number,
  resourceVersion: string,
  timeoutSeconds: number,
  signal: AbortSignal,
): AsyncGenerator<Event> {
  const { port, host, options } = restTarget(server);
  const query = `watch=1&allowWatchBookmarks=true&resourceVersion=${resourceVersion}&timeoutSeconds=${timeoutSeconds}`;
  const call = request({
    ...options,
    host,
    port,
    signal,
    agent: false,
    path: `/api/v1/namespaces/${NAMESPACE}/configmaps?${query}`,
  });
  const response = await new Promise<AsyncIterable<Buffer>>((resolve, reject) => {
    call.once("response", (answer) => {
      if (answer.statusCode === 200) resolve(answer);
      else reject(new StatusError("ServiceUnavailable", answer.statusCode ?? 0, `answered ${answer.statusCode}`));
    });
    call.on("error", reject);
    call.end();
  });
  let rest = "";
  for await (const chunk of response) {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) {
      const event = JSON.parse(text) as { type: string; object: KubeObject };
      if (event.type === "ERROR") throw StatusError.fromStatus(event.object as Partial<Status>);
      yield event as Event;
    }
  }
}

function restTarget(server: number) {
  const { ca, cert, key } = plane.tls("admin");
  const { main } = plane.process(`api-server/${server}`).spec.ports;
  return { host: "127.0.0.1", port: main, options: { ca, cert, key, servername: "localhost" } };
}

/** A watch over gRPC, with one client for each api-server. */
function grpcWatch(clients: readonly ResourceClient[]): OpenWatch {
  return (server, resourceVersion, timeoutSeconds, signal) => {
    const options = { namespace: NAMESPACE, resourceVersion, timeoutSeconds, allowBookmarks: true };
    return clients[server]!.watch<KubeObject>(CONFIG_MAPS, options, signal);
  };
}

/** Takes up to `cutAfter` events, then drops the connection in the middle of whatever it was sending. */
async function takeSome(events: AsyncIterable<Event>, cut: AbortController, cutAfter: number): Promise<Event[]> {
  const taken: Event[] = [];
  try {
    for await (const event of events) {
      taken.push(event);
      if (taken.length >= cutAfter || event.object.metadata?.name === END) break;
    }
  } catch (error) {
    // A version that is too old would be a loss; any other end of a connection is what this test is about.
    if (isReason(error, "Expired")) throw error;
  } finally {
    cut.abort();
  }
  return taken;
}

/** Watches in pieces, each on the next api-server, until END; bookmarks move the point of resumption too. */
async function watchInPieces(open: OpenWatch, from: string, random: Random): Promise<Watched> {
  const seen: string[] = [];
  let since = from;
  for (let connections = 1; ; connections++) {
    const cut = new AbortController();
    const cutAfter = 1 + random.int(random.int(12) === 0 ? 200 : 10);
    const timeoutSeconds = random.int(3) === 0 ? 1 : 30;
    const events = await takeSome(open(connections % SERVERS, since, timeoutSeconds, cut.signal), cut, cutAfter);
    let ended = false;
    for (const { type, object } of events) {
      since = object.metadata!.resourceVersion!;
      if (type !== "BOOKMARK") seen.push(historyLine(type, object.metadata!.uid!, since));
      ended ||= object.metadata!.name === END;
    }
    if (ended) return { seen, connections };
    if (events.length === 0) await env.timers.sleep(20);
  }
}

interface Told {
  /** The versions that successful creates and patches came back with. */
  readonly written: string[];
  failed: number;
}

function operation(random: Random, serial: number): BatchOperation {
  const target = { namespace: NAMESPACE, name: `cm-${random.int(NAMES)}` };
  const ref = CONFIG_MAPS;
  const data = { serial: String(serial), filler: "x".repeat(random.int(2_000)) };
  const dice = random.int(10);
  if (dice < 3) return { op: "delete", ref, target };
  if (dice < 6)
    return { op: "create", ref, object: { apiVersion: "v1", kind: "ConfigMap", metadata: target, data } as ConfigMap };
  return { op: "patch", ref, target, type: "application/merge-patch+json", patch: { data } };
}

/**
 * Rounds of concurrent writes, so that commits hold several, for as long as `goOn` says. A write that fails may have landed
 * all the same.
 */
async function write(client: ResourceClient, random: Random, goOn: (round: number) => boolean): Promise<Told> {
  const told: Told = { written: [], failed: 0 };
  for (let round = 0; goOn(round); round++) {
    const operations = Array.from({ length: AT_ONCE }, (_, at) => operation(random, round * AT_ONCE + at));
    const outcomes = await client.batch<KubeObject>(operations);
    outcomes.forEach((outcome, at) => {
      if (!outcome.ok) told.failed++;
      else if (operations[at]!.op !== "delete") told.written.push(outcome.object.metadata!.resourceVersion!);
    });
    await env.timers.sleep(random.int(20));
  }
  return told;
}

/** Kills one process after the other, some of them twice, and waits each time until it is ready again. */
async function killInTurns(keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await plane.process(key).kill();
    await plane.process(key).start();
  }
}

test("every event once and in order, over REST and gRPC, across cuts and restarts", async () => {
  console.log(`seed ${SEED}`);
  const random = createSeededRandom(SEED);
  const writer = plane.client();
  const clients = Array.from({ length: SERVERS }, (_, at) =>
    plane.client({ addresses: [plane.process(`api-server/${at}`).grpc] }),
  );
  const from = (await writer.list(CONFIG_MAPS, { namespace: NAMESPACE })).metadata.resourceVersion;
  const watchers = Promise.all(
    [restWatch, grpcWatch(clients), restWatch, grpcWatch(clients)].map((open) =>
      watchInPieces(open, from, createSeededRandom(random.int(1 << 30))),
    ),
  );
  let killing = true;
  const kills = killInTurns(["api-server/0", "api-server/1", "etcd/0", "api-server/0"]).finally(() => {
    killing = false;
  });
  const told = await write(writer, random, (round) => killing || round < ROUNDS);
  await kills;
  const last = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: NAMESPACE, name: END } };
  const end = (await writer.create<KubeObject>(CONFIG_MAPS, last)).metadata!.resourceVersion!;
  const watched = await watchers;
  const etcd = {
    endpoint: `127.0.0.1:${plane.process("etcd/0").spec.ports.main}`,
    tls: plane.tls("api-server-client"),
  };
  const reference = await etcdHistory(etcd, `/registry/core/configmaps/${NAMESPACE}/`, from, end);

  for (const { seen } of watched) expect(seen).toEqual(reference);
  const versions = reference.map((entry) => BigInt(entry.split(" ")[2]!));
  expect(versions.every((rv, at) => at === 0 || rv > versions[at - 1]!)).toBe(true);
  const there = new Set(versions);
  expect(told.written.filter((rv) => !there.has(BigInt(rv)))).toEqual([]);
  expect(reference.filter((entry) => entry.startsWith("unknown"))).toEqual([]);
  // The run must have met what it is about: commits with several events, deletes among them, and many cuts.
  const revisions = new Set(versions.map(revisionOf));
  expect(revisions.size).toBeLessThan(versions.length / 2);
  expect(reference.filter((entry) => entry.includes("DELETED")).length).toBeGreaterThan(100);
  for (const { connections } of watched) expect(connections).toBeGreaterThan(50);
  await Promise.all([writer, ...clients].map((client) => client.close()));
});
