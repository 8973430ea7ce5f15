// Three api-servers behind one kubeconfig: whoever answers has everybody's writes, what one of them leaves undone another goes on
// with, and an address or a port is given to one Service, whichever of them were asked for it.
import { readFileSync } from "node:fs";
import path from "node:path";
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from "@kubernetes/client-node";
import { CONFIG_MAPS, type ConfigMap } from "@coxswain/api";
import { createInformerFactory } from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createNatsBus } from "@coxswain/event-bus";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiError, at, createRest, namesOf, type Resource, type Rest } from "../conformance/rest-client.ts";
import { eventually, testCluster, type TestCluster } from "./cluster-fixture.ts";
import { etcdHistory, historyLine } from "./etcd-history.ts";

const SERVERS = 3;
const env = createRealEnv();

let k: TestCluster;
/** One client of each api-server, past the front. */
let each: Rest[];
/** What a kubeconfig leads to. */
let front: Rest;

const pem = (name: string): string => readFileSync(path.join(k.cluster.paths.pki, name), "utf8");
const tlsOf = (name: string) => ({ ca: pem("ca.crt"), cert: pem(`${name}.crt`), key: pem(`${name}.key`) });

beforeAll(async () => {
  k = await testCluster({ apiServers: SERVERS, nodes: 0 });
  const servers = (await k.cluster.status()).records.filter(({ spec }) => spec.component === "api-server");
  each = servers.map(({ spec }) => createRest(`https://127.0.0.1:${spec.ports.main}`, tlsOf("admin")));
  front = createRest(k.cluster.info.apiServer, tlsOf("admin"));
});
afterAll(async () => {
  for (const client of [...(each ?? []), front]) client?.close();
  await k?.[Symbol.asyncDispose]();
});

const server = (n: number): Rest => each[n % SERVERS] as Rest;
const allReady = async (): Promise<void> => {
  await eventually(
    () => k.cluster.status(),
    ({ records }) => records.every(({ state }) => state === "ready"),
    120_000,
  );
};
/** Kills it; resolves when that is known, and with it that it will be started again. */
const kill = async (n: number): Promise<void> => {
  const [before] = await k.cluster.chaos.kill(`api-server/${n}`);
  await eventually(
    () => k.cluster.status(),
    ({ records }) =>
      records.find(({ spec }) => spec.component === "api-server" && spec.instance === String(n))!.restarts >
      before!.restarts,
  );
};
const killed = async (n: number): Promise<void> => {
  await kill(n);
  await allReady();
};
const codeOf = (error: unknown): number => (error instanceof ApiError ? error.code : 0);

describe("the kubeconfig", () => {
  test("names a port of its own, whichever api-server is behind it", async () => {
    const { records, front: port } = await k.cluster.status();
    expect(k.cluster.info.apiServer).toBe(`https://127.0.0.1:${port}`);
    expect(records.map(({ spec }) => spec.ports.main)).not.toContain(port);
    expect(k.cluster.kubeconfig).toContain(k.cluster.info.apiServer);
  });

  test("kubectl works on while one is frozen, and from the moment that one is killed", async () => {
    // Once around: whose turn it is does not matter.
    const asks = async (): Promise<void> => {
      for (let n = 0; n < SERVERS; n++) await k.ok(["get", "--raw", "/api/v1/namespaces/default"]);
    };
    for (let n = 0; n < SERVERS; n++) {
      await k.cluster.chaos.freeze(`api-server/${n}`);
      await asks();
      await k.cluster.chaos.thaw(`api-server/${n}`);
      await allReady();
    }
    for (let n = 0; n < SERVERS; n++) {
      await k.cluster.chaos.kill(`api-server/${n}`);
      await asks();
      await killed(n);
    }
  });

  test("`kubectl get --watch` of one that is frozen ends, so that its caller can go on", async () => {
    const watches = Array.from({ length: SERVERS }, () => k.start(["get", "configmaps", "--watch"]));
    const ended = Promise.race(watches.map((child) => new Promise((resolve) => child.once("exit", resolve))));
    // Each has its list, and with it the connection.
    await Promise.all(watches.map((child) => new Promise((resolve) => child.stdout.once("data", resolve))));
    await k.cluster.chaos.freeze("api-server/0");
    await ended;
    await k.cluster.chaos.thaw("api-server/0");
    for (const child of watches) child.kill();
    await allReady();
  });
});

describe("a write through one", () => {
  const maps = (n: number): Resource => server(n).resource("v1", "configmaps", "default");
  const names = async (n: number, label: string): Promise<string[]> =>
    namesOf((await maps(n).list({ labelSelector: `lane=${label}` })).items);

  test("is there at once for whoever asks another, by name or in a list", async () => {
    const lane = async (label: string, first: number): Promise<void> => {
      for (let round = 0; round < 6; round++) {
        const [a, b, c] = [first + round, first + round + 1, first + round + 2];
        const name = `${label}-${round}`;
        const made = await maps(a).create({ metadata: { name, labels: { lane: label } } });
        expect((await maps(b).get(name)).metadata.uid).toBe(made.metadata.uid);
        expect(await names(c, label)).toEqual([name]);
        const patched = await maps(b).patch(name, { data: { round: String(round) } });
        const { items, metadata } = await maps(a).list({ labelSelector: `lane=${label}` });
        expect(items.map((one) => one.metadata.resourceVersion)).toEqual([patched.metadata.resourceVersion]);
        expect(BigInt(metadata.resourceVersion ?? "0") >= BigInt(patched.metadata.resourceVersion ?? "1")).toBe(true);
        expect((await maps(c).get(name))["data"]).toEqual({ round: String(round) });
        await maps(c).delete(name);
        await expect(maps(a).get(name)).rejects.toMatchObject({ code: 404 });
        expect(await names(b, label)).toEqual([]);
      }
    };
    await Promise.all(["a", "b", "c", "d", "e", "f"].map(lane));
  });

  test("by gRPC is there at once for REST and gRPC of another", async () => {
    const { records } = await k.cluster.status();
    const clients = records
      .filter(({ spec }) => spec.component === "api-server")
      .map(({ spec }) =>
        createGrpcResourceClient({
          env,
          logger: silentLogger,
          addresses: [`127.0.0.1:${spec.ports.grpc}`],
          tls: tlsOf("admin"),
        }),
      );
    for (let n = 0; n < 9; n++) {
      const [one, two] = [clients[n % SERVERS]!, clients[(n + 1) % SERVERS]!];
      const target = { namespace: "default", name: `grpc-${n}` };
      const made = await one.create<ConfigMap>(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: target });
      expect((await two.get<ConfigMap>(CONFIG_MAPS, target)).metadata?.uid).toBe(made.metadata?.uid);
      expect((await maps(n + 2).get(target.name)).metadata.uid).toBe(made.metadata?.uid);
      await maps(n + 2).delete(target.name);
      await expect(one.get(CONFIG_MAPS, target)).rejects.toMatchObject({ reason: "NotFound" });
    }
    await Promise.all(clients.map((client) => client.close()));
  });
});

/** Writes on until it is told to stop; what fails may have landed all the same. Counts what was answered. */
function writing(namespace: string, lanes: number): { answered: () => number; stop: () => Promise<void> } {
  const ending = new AbortController();
  let answered = 0;
  const lane = async (id: number): Promise<void> => {
    const client = createRest(k.cluster.info.apiServer, tlsOf("admin"));
    const maps = client.resource("v1", "configmaps", namespace);
    for (let n = 0; !ending.signal.aborted; n++) {
      const name = `l${id}-${n % 7}`;
      try {
        if (n % 11 === 10) await maps.delete(name);
        else
          await maps.patch(name, { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { n: String(n) } });
        answered++;
      } catch (error) {
        if (codeOf(error) === 404) await maps.create({ metadata: { name } }).catch(() => undefined);
      }
    }
    client.close();
  };
  const all = Promise.all(Array.from({ length: lanes }, (_, id) => lane(id)));
  return {
    answered: () => answered,
    stop: async () => {
      ending.abort();
      await all;
    },
  };
}

interface Followed {
  /** Lines of the history, in the order of arrival; those of deletions without their version. */
  readonly seen: string[];
  /** "name uid version" of what is in the cache. */
  cached(): string[];
  stop(): Promise<void>;
}

const versionOf = (line: string): bigint => BigInt(line.split(" ")[2] ?? "0");
const cacheLine = (metadata: { name?: string; uid?: string; resourceVersion?: string } | undefined): string =>
  `${metadata?.name} ${metadata?.uid} ${metadata?.resourceVersion}`;

/** client-node's informer, by the kubeconfig; when its watch breaks it is started again where it was, as its users do. */
async function followWithClientNode(namespace: string): Promise<Followed> {
  const config = new KubeConfig();
  config.loadFromString(k.cluster.kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const where = `/api/v1/namespaces/${namespace}/configmaps`;
  const informer = makeInformer<V1ConfigMap>(config, where, () => core.listNamespacedConfigMap({ namespace }));
  const seen: string[] = [];
  for (const [verb, type] of [
    ["add", "ADDED"],
    ["update", "MODIFIED"],
    ["delete", "DELETED"],
  ] as const)
    informer.on(verb, ({ metadata }) =>
      seen.push(historyLine(type, metadata?.uid ?? "", metadata?.resourceVersion ?? "")),
    );
  let going = true;
  informer.on("error", () => {
    if (going) setTimeout(() => void informer.start(), 10);
  });
  await informer.start();
  return {
    seen,
    cached: () =>
      informer
        .list(namespace)
        .map(({ metadata }) => cacheLine(metadata))
        .toSorted(),
    stop: async () => {
      going = false;
      await informer.stop();
    },
  };
}

/** Our own, by the change feed and gRPC, as components have it. */
async function followWithOwn(namespace: string): Promise<Followed> {
  const { records } = await k.cluster.status();
  const addresses = records
    .filter(({ spec }) => spec.component === "api-server")
    .map(({ spec }) => `127.0.0.1:${spec.ports.grpc}`);
  const tls = tlsOf("controller-manager");
  const client = createGrpcResourceClient({ env, logger: silentLogger, addresses, tls });
  const servers = [k.cluster.info.nats.replace("tls://", "")];
  const bus = createNatsBus({ env, logger: silentLogger, servers, tls, name: "test" });
  const informers = createInformerFactory({ env, logger: silentLogger, client, bus });
  const informer = informers.informer<ConfigMap>(CONFIG_MAPS);
  const seen: string[] = [];
  const take = (type: string, { metadata }: ConfigMap): void => {
    if (metadata?.namespace === namespace)
      seen.push(historyLine(type, metadata.uid ?? "", metadata.resourceVersion ?? ""));
  };
  informer.addHandler({
    add: (object) => take("ADDED", object),
    update: (object) => take("MODIFIED", object),
    delete: (object) => take("DELETED", object),
  });
  const stop = new AbortController();
  informers.start(stop.signal);
  await informers.waitForSync(stop.signal);
  return {
    seen,
    cached: () =>
      informer.lister
        .list(namespace)
        .map(({ metadata }) => cacheLine(metadata))
        .toSorted(),
    stop: async () => {
      stop.abort();
      await Promise.all([bus.close(), client.close()]);
    },
  };
}

test("informers move from a dead one to a live one, and miss nothing of what is written meanwhile", async () => {
  const namespace = "moving";
  await k.ok(["create", "namespace", namespace]);
  const maps = front.resource("v1", "configmaps", namespace);
  const { metadata } = await maps.list();
  const followers = [await followWithClientNode(namespace), await followWithOwn(namespace)] as const;
  const writers = writing(namespace, 6);
  const moreWrites = (count: number): Promise<unknown> => {
    const until = writers.answered() + count;
    return eventually(
      async () => writers.answered(),
      (now) => now >= until,
    );
  };
  await moreWrites(40);
  for (let n = 0; n < SERVERS; n++) {
    await kill(n);
    await moreWrites(40);
    await allReady();
  }
  for (let n = 0; n < SERVERS; n++) {
    await k.cluster.chaos.freeze(`api-server/${n}`);
    await moreWrites(40);
    await k.cluster.chaos.thaw(`api-server/${n}`);
    await allReady();
  }
  await writers.stop();
  const last = await maps.create({ metadata: { name: "the-end" } });
  const until = last.metadata.resourceVersion ?? "";
  for (const follower of followers) {
    await eventually(
      async () => follower.cached(),
      (lines) => lines.includes(cacheLine(last.metadata)),
    );
  }
  const place = { endpoint: k.cluster.info.etcd.replace("https://", ""), tls: tlsOf("api-server-client") };
  const from = metadata.resourceVersion ?? "";
  const history = await etcdHistory(place, `/registry/core/configmaps/${namespace}/`, from, until);
  expect(history.length).toBeGreaterThan(150);
  const final = (await maps.list()).items.map((one) => cacheLine(one.metadata)).toSorted();
  for (const follower of followers) {
    await follower.stop();
    expect(follower.cached()).toEqual(final);
  }
  // What was there before is of the first list.
  const since = (lines: readonly string[]): string[] => lines.filter((line) => versionOf(line) > BigInt(from));
  // What resumes where it was has every single event.
  expect(since(followers[0].seen)).toEqual(history);
  // Our own may pass over states that others followed, and never makes one up or goes back.
  const states = since(followers[1].seen.filter((line) => !line.includes("DELETED")));
  const stateOf = (line: string): string => line.replace(/ADDED|MODIFIED/, "STATE");
  const known = new Set(history.map(stateOf));
  expect(states.filter((line) => !known.has(stateOf(line)))).toEqual([]);
  const newest = new Map<string, bigint>();
  for (const line of states) {
    const [uid = ""] = line.split(" ");
    expect(versionOf(line) > (newest.get(uid) ?? 0n)).toBe(true);
    newest.set(uid, versionOf(line));
  }
});

describe("Services", () => {
  const services = (n: number): Resource => server(n).resource("v1", "services", "default");
  const spec = (more: object = {}): object => ({ type: "NodePort", ports: [{ port: 80 }], ...more });
  /** Of those that have one: an ExternalName has none. */
  const addressesOf = async (): Promise<string[]> =>
    (await front.resource("v1", "services").list()).items.flatMap((one) => at<string>(one, "spec.clusterIP") ?? []);
  const ipAddresses = async (): Promise<string[]> =>
    namesOf((await front.resource("networking.k8s.io/v1", "ipaddresses").list()).items);

  /** Asks one after the other until one has made it: a death in the middle leaves open whether it has. */
  async function create(name: string, first: number): Promise<void> {
    for (let n = first; ; n++) {
      try {
        await services(n).create({ metadata: { name, labels: { many: "yes" } }, spec: spec() });
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code === 409) return;
        if (code !== 0 && code < 500) throw error;
      }
    }
  }

  test("get an address and a port of their own from all at once, and from one that dies in the middle", async () => {
    const total = 72;
    let made = 0;
    const names = Array.from({ length: total }, (_, n) => `many-${n}`);
    const kills = (async () => {
      for (const [n, after] of [total / 6, total / 3, total / 2].entries()) {
        await eventually(
          async () => made,
          (count) => count >= after,
        );
        await killed(n);
      }
    })();
    const lanes = Array.from({ length: 12 }, async (_, lane) => {
      for (let n = lane; n < total; n += 12) {
        await create(names[n]!, n);
        made++;
      }
    });
    await Promise.all(lanes);
    await kills;
    const { items } = await front.resource("v1", "services", "default").list({ labelSelector: "many=yes" });
    expect(namesOf(items)).toEqual(names.toSorted());
    const [ips, ports] = [
      items.map((one) => at<string>(one, "spec.clusterIP")),
      items.map((one) => at<number>(one, "spec.ports.0.nodePort")),
    ];
    for (const values of [ips, ports]) {
      expect(values.every((value) => value !== undefined)).toBe(true);
      expect(new Set<unknown>(values).size).toBe(total);
    }
    // What a dead one had begun is cleared up: an IPAddress for each Service, and none without.
    const addresses = (await addressesOf()).toSorted();
    await eventually(ipAddresses, (found) => JSON.stringify(found.toSorted()) === JSON.stringify(addresses), 150_000);
  });

  test("the same address, or the same port, asked of all at once goes to one", async () => {
    for (let n = 0; n < 5; n++) {
      // Of the lower bands, which nobody gets who does not ask for them.
      for (const [word, wish] of [
        ["ip", spec({ clusterIP: `10.96.0.${n + 20}` })],
        ["port", spec({ ports: [{ port: 80, nodePort: 30_010 + n }] })],
      ] as const) {
        const asked = Array.from({ length: 2 * SERVERS }, (_, at) =>
          services(at).create({ metadata: { name: `same-${word}-${n}-${at}` }, spec: wish }),
        );
        const outcomes = await Promise.allSettled(asked);
        const refusals = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason as ApiError] : []));
        expect(refusals.length).toBe(2 * SERVERS - 1);
        for (const { code, message } of refusals) {
          expect(code).toBe(422);
          expect(message).toContain(`provided ${word === "ip" ? "IP" : "port"} is already allocated`);
        }
      }
    }
  });

  test("what was given back can be had again, of whichever", async () => {
    const { items } = await front.resource("v1", "services", "default").list();
    const ours = items.filter(({ metadata }) => metadata.name !== "kubernetes");
    const [first] = ours;
    const again = { clusterIP: at(first, "spec.clusterIP"), nodePort: at(first, "spec.ports.0.nodePort") };
    await Promise.all(ours.map(({ metadata }, n) => services(n).delete(metadata.name ?? "")));
    const ports = [{ port: 80, nodePort: again.nodePort }];
    for (let n = 0; n < SERVERS; n++) {
      const made = await services(n).create({ metadata: { name: "again" }, spec: spec({ ...again, ports }) });
      expect(at(made, "spec.clusterIP")).toBe(again.clusterIP);
      await services(n + 1).delete("again");
    }
    const left = (await addressesOf()).toSorted();
    await eventually(ipAddresses, (found) => JSON.stringify(found.toSorted()) === JSON.stringify(left));
  });
});
