// What Service traffic costs in the kernel, in namespaces of the benchmark's own: the first write of 10,000 Services with
// three endpoints each, beside nft loading the same text from a file; the change of one endpoint in the middle of them; and
// connecting through a cluster address, beside connecting directly. Needs root.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import type { ProxyBackend } from "@coxswain/kube-proxy/backend/contract";
import { createNftablesBackend } from "@coxswain/kube-proxy/backend/nftables/backend";
import { planFull } from "@coxswain/kube-proxy/backend/nftables/plan";
import { DEFAULT_MASQUERADE_BIT } from "@coxswain/kube-proxy/backend/nftables/table";
import { type ProxyEndpoint, type ProxyRule, ruleKey } from "@coxswain/kube-proxy/planner/rule";
import {
  createNetworkNamespace,
  type NetworkNamespace,
  provideNodePrograms,
} from "@coxswain/kube-proxy/testing/network-namespace";
import { type Agent, createPacketNetwork, POD_IPS } from "@coxswain/kube-proxy/testing/packet-network";
import { report, type Figure } from "./figures.ts";

const SERVICES = 10_000;
const ENDPOINTS = 3;
const CHANGES = 40;
const CONNECTIONS = 400;
const CLUSTER_CIDRS = ["10.244.0.0/16"];
const NODE = "node-1";
const env = createRealEnv();

function endpoint(ip: string, node: string): ProxyEndpoint {
  return { ip, port: 8080, node, ready: true, serving: true, terminating: false };
}

/** The rule of one Service; its endpoints live on a hundred nodes, one of them the benchmark's. */
function service(at: number, endpoints?: readonly ProxyEndpoint[]): ProxyRule {
  const ip = `10.96.${at >> 8}.${at & 255}`;
  const made = Array.from({ length: ENDPOINTS }, (_, which) => {
    const pod = at * ENDPOINTS + which;
    return endpoint(`10.244.${pod >> 8}.${pod & 255}`, `node-${pod % 100}`);
  });
  return {
    key: ruleKey("IPv4", ip, "TCP", 80),
    type: "ClusterIP",
    namespace: "default",
    service: `service-${at}`,
    portName: "",
    protocol: "TCP",
    family: "IPv4",
    ip,
    port: 80,
    affinitySeconds: 0,
    endpoints: endpoints ?? made,
    otherwise: "REJECT",
    masquerade: false,
    sourceRanges: [],
  };
}

const everything = (): ProxyRule[] => Array.from({ length: SERVICES }, (_, at) => service(at));

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = env.clock.monotonic();
  await work();
  return env.clock.monotonic() - start;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function backendIn(namespace: NetworkNamespace): ProxyBackend {
  return createNftablesBackend({ env, nodeName: NODE, run: namespace.run, clusterCidrs: CLUSTER_CIDRS });
}

/** Each first write happens in a namespace that has seen no rule yet. */
async function measureSync(folder: string): Promise<{ ours: number; raw: number }> {
  const [ours, raw]: [number[], number[]] = [[], []];
  const file = path.join(folder, "rules.nft");
  const settings = { nodeName: NODE, clusterCidrs: CLUSTER_CIDRS, masqueradeBit: DEFAULT_MASQUERADE_BIT };
  writeFileSync(file, planFull(everything(), [], settings).text);
  for (let turn = 0; turn < 3; turn++) {
    await using first = await createNetworkNamespace();
    raw.push(await timed(() => first.run("nft", ["-f", file])));
    await using second = await createNetworkNamespace();
    const rules = everything();
    ours.push(await timed(() => backendIn(second).sync(rules)));
  }
  return { ours: median(ours), raw: median(raw) };
}

/** Replaces one endpoint of one Service, of ever another one, and the same by hand with a command that is ready. */
async function measureChange(): Promise<{ ours: number; raw: number }> {
  await using namespace = await createNetworkNamespace();
  const backend = backendIn(namespace);
  await backend.sync(everything());
  const [ours, raw]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < CHANGES; turn++) {
    const at = (turn * 241) % SERVICES;
    const before = service(at);
    const after = service(at, [endpoint("10.244.250.1", "node-7"), ...before.endpoints.slice(1)]);
    ours.push(await timed(() => backend.apply({ upserts: [after], removals: [] })));
    const key = `${after.ip} . tcp . 80 . 1`;
    const set = "ip kube-proxy endpoints";
    const byHand = `delete element ${set} { ${key} }; add element ${set} { ${key} : 10.244.250.2 . 8080 }`;
    raw.push(await timed(() => namespace.run("nft", [byHand])));
  }
  return { ours: median(ours), raw: median(raw) };
}

async function connectMs(from: Agent, host: string, port: number): Promise<number[]> {
  return JSON.parse(await from.ask("latency", host, port, { count: CONNECTIONS })) as number[];
}

/** From one pod to another one of the node, with all Services in place, in turns. */
async function measureConnect(): Promise<{ through: number; direct: number; without: number }> {
  await using network = await createPacketNetwork();
  const [pod] = network.agents.pods;
  const [through, direct, without]: [number[], number[], number[]] = [[], [], []];
  await connectMs(pod, POD_IPS[1], 8080);
  without.push(...(await connectMs(pod, POD_IPS[1], 8080)));
  const backend = backendIn(network.node);
  await backend.sync([...everything().slice(1), service(0, [endpoint(POD_IPS[1], NODE)])]);
  for (let turn = 0; turn < 5; turn++) {
    direct.push(...(await connectMs(pod, POD_IPS[1], 8080)));
    through.push(...(await connectMs(pod, "10.96.0.0", 80)));
  }
  return { through: median(through), direct: median(direct), without: median(without) };
}

export async function run(): Promise<Figure[]> {
  await provideNodePrograms();
  const folder = mkdtempSync(path.join(tmpdir(), "cox-"));
  try {
    const sync = await measureSync(folder);
    const change = await measureChange();
    const connect = await measureConnect();
    const ratio = connect.through / connect.direct;
    const us = (ms: number): number => Math.round(ms * 1000);
    return [
      figure(`first write of ${SERVICES} Services x ${ENDPOINTS}`, Math.round(sync.ours), "ms", 600, sync.raw),
      figure("one endpoint replaced, p50", Number(change.ours.toFixed(1)), "ms", 25, change.raw),
      figure("connect through a cluster address over direct, p50", Number(ratio.toFixed(2)), "x", 1.1, null),
      figure("connect through a cluster address, p50", us(connect.through), "us", null, us(connect.direct)),
      figure("connect directly without any rule, p50", us(connect.without), "us", null, null),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function figure(name: string, value: number, unit: string, aim: number | null, against: number | null): Figure {
  const peer = against === null ? null : Number(against.toFixed(1));
  return { name, value, unit, aim, against: peer, met: aim === null || value <= aim };
}

if (import.meta.main) report("service-proxy", await run());
