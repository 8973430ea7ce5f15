// The whole service over real sockets on loopback, with the in-memory cluster for the API.
import type { EndpointSlice, Service } from "@coxswain/api";
import { ENDPOINT_SLICES, NAMESPACES, SERVICES } from "@coxswain/api";
import { createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { waitFor } from "@coxswain/testkit";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import { decode, encode, type DecodedPacket, type OptAnswer, type Packet } from "dns-packet";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClusterDns, type ClusterDnsOptions } from "../src/app.ts";
import { createForwarder, frame, parseUpstream } from "../src/forwarder.ts";
import { listenDns } from "../src/dns-server.ts";
import { endpointSlice, services } from "./fixture-objects.ts";

const env = createRealEnv();

const options: ClusterDnsOptions = {
  domain: "cluster.local",
  dnsAddress: "127.0.0.1",
  dnsPort: 0,
  advertiseAddress: "198.18.0.20",
  clusterIp: "10.96.0.10",
  instance: "0",
};

function start(more: Partial<ClusterDnsOptions> = {}) {
  const cluster = createMemoryCluster({ env });
  const client = cluster.client();
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const stop = new AbortController();
  const app = createClusterDns({
    env,
    logger: silentLogger,
    metrics: noMetrics,
    client,
    informers,
    options: { ...options, ...more },
  });
  cluster.seed(NAMESPACES, { metadata: { name: "default" } });
  cluster.seed(NAMESPACES, { metadata: { name: "kube-system" } });
  for (const service of services) cluster.seed(SERVICES, service);
  const running = app.run(stop.signal);
  const ready = (): boolean => Object.values(app.checks).every((check) => check() === undefined);
  return { cluster, client, app, ready, end: () => (stop.abort(), running) };
}

let dns: ReturnType<typeof start>;
beforeEach(async () => {
  dns = start();
  await waitFor(env, "the DNS to be ready", () => dns.ready());
});
afterEach(() => dns.end());

async function overUdp(query: Buffer, port = dns.app.dnsPort()): Promise<Buffer> {
  const socket = createSocket("udp4");
  socket.send(query, port, "127.0.0.1");
  const [bytes] = (await once(socket, "message")) as [Buffer];
  socket.close();
  return bytes;
}

/** The responses of one connection to queries sent in one write. */
async function overTcp(...queries: Buffer[]): Promise<DecodedPacket[]> {
  const socket = connect(dns.app.dnsPort(), "127.0.0.1");
  socket.write(Buffer.concat(queries.map(frame)));
  const responses: DecodedPacket[] = [];
  let received = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk]);
    while (received.length > 2 && received.length >= received.readUInt16BE(0) + 2) {
      const end = received.readUInt16BE(0) + 2;
      responses.push(decode(received.subarray(2, end)));
      received = received.subarray(end);
    }
    if (responses.length === queries.length) break;
  }
  return responses;
}

function query(name: string, type: "A" | "AAAA" = "A", more: Packet = {}): Buffer {
  return encode({ type: "query", id: 7, flags: 0x0100, questions: [{ name, type }], ...more });
}

function code(packet: DecodedPacket): number {
  return (packet.flags ?? 0) & 15;
}

test("a common resolver gets its answers", async () => {
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${dns.app.dnsPort()}`]);
  expect(await resolver.resolve4("web.default.svc.cluster.local", { ttl: true })).toEqual([
    { address: "10.96.1.1", ttl: 5 },
  ]);
  expect(await resolver.resolveSrv("_http._tcp.web.default.svc.cluster.local")).toMatchObject([{ port: 80 }]);
  expect(await resolver.reverse("10.96.1.1")).toEqual(["web.default.svc.cluster.local"]);
  await expect(resolver.resolve4("nothing.default.svc.cluster.local")).rejects.toMatchObject({ code: "ENOTFOUND" });
  await expect(resolver.resolve6("web.default.svc.cluster.local")).rejects.toMatchObject({ code: "ENODATA" });
  await expect(resolver.resolve4("example.com")).rejects.toMatchObject({ code: "EREFUSED" });
});

test("it registers itself, and again where somebody deletes or changes what it made", async () => {
  const service = await dns.client.get<Service>(SERVICES, { namespace: "kube-system", name: "kube-dns" });
  expect(service).toMatchObject({
    metadata: { labels: { "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS" } },
    spec: {
      clusterIP: "10.96.0.10",
      ports: [
        { name: "dns", port: 53, protocol: "UDP" },
        { name: "dns-tcp", protocol: "TCP" },
      ],
    },
  });
  expect(service.spec?.selector).toBeUndefined();
  const target = { namespace: "kube-system", name: "kube-dns-0" };
  const slice = await dns.client.get<EndpointSlice>(ENDPOINT_SLICES, target);
  expect(slice).toMatchObject({
    endpoints: [{ addresses: ["198.18.0.20"], conditions: { ready: true } }],
    ports: [{ port: dns.app.dnsPort(), protocol: "UDP" }, { protocol: "TCP" }],
  });
  await dns.client.update(ENDPOINT_SLICES, { ...slice, endpoints: [] });
  await waitFor(
    env,
    "the change to be seen",
    async () => (await dns.client.get<EndpointSlice>(ENDPOINT_SLICES, target)).endpoints.length === 1,
  );
  await dns.client.delete(SERVICES, { namespace: "kube-system", name: "kube-dns" });
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${dns.app.dnsPort()}`]);
  await waitFor(env, "the change to be seen", async () => {
    const { items } = await dns.client.list<Service>(SERVICES, { namespace: "kube-system" });
    return items.some((one) => one.metadata?.uid !== service.metadata?.uid);
  });
  await waitFor(env, "the change to be seen", async () =>
    (await resolver.resolve4("kube-dns.kube-system.svc.cluster.local").catch((): string[] => [])).includes(
      "10.96.0.10",
    ),
  );
});

test("a long answer is cut over UDP, whole with EDNS or over TCP", async () => {
  const ips = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ ip: `10.244.${1 + (at >> 7)}.${at & 127}` }));
  dns.cluster.seed(ENDPOINT_SLICES, endpointSlice("db", "a", ips(60)));
  const name = "db.default.svc.cluster.local";
  await waitFor(env, "the change to be seen", async () => (await overTcp(query(name)))[0]!.answers!.length === 60);
  const cut = await overUdp(query(name));
  expect(cut.length).toBeLessThanOrEqual(512);
  expect(decode(cut).flag_tc).toBe(true);
  expect(decode(cut).answers!.length).toBeGreaterThan(20);
  const opt: OptAnswer = {
    type: "OPT",
    name: ".",
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  const whole = decode(await overUdp(query(name, "A", { additionals: [opt] })));
  expect(whole.flag_tc).toBe(false);
  expect(whole.answers!.length).toBe(60);
  expect(new Set(whole.answers!.map((one) => one.name))).toEqual(new Set([name]));
  expect(whole.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 1232, ednsVersion: 0 }]);
  const bad = decode(await overUdp(query(name, "A", { additionals: [{ ...opt, ednsVersion: 1 }] })));
  expect(bad.additionals).toMatchObject([{ type: "OPT", extendedRcode: 1 }]);
});

test("one connection carries many queries, answered in order", async () => {
  const responses = await overTcp(
    query("web.default.svc.cluster.local"),
    query("x.default.svc.cluster.local"),
    query("a.b"),
  );
  expect(responses.map(code)).toEqual([0, 3, 5]);
  expect(responses.map((one) => one.flag_aa)).toEqual([true, true, false]);
});

test("bytes that are no query get no answer and do no harm", async () => {
  const socket = createSocket("udp4");
  const heard: Buffer[] = [];
  socket.on("message", (bytes: Buffer) => heard.push(bytes));
  const send = (bytes: Buffer) => new Promise((resolve) => socket.send(bytes, dns.app.dnsPort(), "127.0.0.1", resolve));
  const good = query("web.default.svc.cluster.local");
  for (let length = 0; length < good.length; length++) await send(good.subarray(0, length));
  await send(encode({ type: "response", id: 99, questions: [{ name: "web.default.svc.cluster.local", type: "A" }] }));
  expect(decode(await overUdp(good)).answers).toMatchObject([{ data: "10.96.1.1" }]);
  expect(heard).toEqual([]);
  socket.close();
});

test("with an upstream, names outside go there, and aliases that lead out are followed", async () => {
  const upstream = await listenDns(
    "127.0.0.1",
    0,
    async (bytes) => {
      const { id, questions } = decode(bytes);
      const answers = questions!.map(({ name }) => ({ type: "A", name, ttl: 60, data: "192.0.2.7" }) as const);
      return encode({ type: "response", id: id!, flags: 0x8180, questions: questions!, answers });
    },
    silentLogger,
  );
  const other = start({ upstream: { host: "127.0.0.1", port: upstream.port } });
  await waitFor(env, "the DNS to be ready", () => other.ready());
  const at = other.app.dnsPort();
  expect(decode(await overUdp(query("example.com"), at)).answers).toMatchObject([{ data: "192.0.2.7" }]);
  const alias = decode(await overUdp(query("out.default.svc.cluster.local"), at));
  expect(alias.answers).toMatchObject([
    { type: "CNAME", data: "example.com" },
    { type: "A", data: "192.0.2.7" },
  ]);
  await upstream.close();
  const dead = createForwarder({ host: "127.0.0.1", port: upstream.port }, env.timers, 200);
  expect(await dead(query("example.com"), "udp")).toBeUndefined();
  expect(await dead(query("example.com"), "tcp")).toBeUndefined();
  await other.end();
});

test("an upstream is an address with a port", () => {
  expect(parseUpstream("10.0.0.2")).toEqual({ host: "10.0.0.2", port: 53 });
  expect(parseUpstream("[::1]:5353")).toEqual({ host: "::1", port: 5353 });
  for (const text of ["dns.example", "10.0.0.2:0", "10.0.0.2:70000", ""])
    expect(() => parseUpstream(text)).toThrow(/IP address/);
});
