// Real packets through the rules: pods, the node itself and an outsider reach Services as upstream lets them.
import { createRealEnv } from "@coxswain/env";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createNftablesBackend } from "../src/backend/nftables/backend.ts";
import type { ProxyBackend } from "../src/backend/contract.ts";
import type { ProxyEndpoint, ProxyRule } from "../src/planner/rule.ts";
import { endpoint, rule } from "../src/testing/backend-suite.ts";
import { provideNodePrograms } from "../src/testing/network-namespace.ts";
import {
  type Agent,
  createPacketNetwork,
  DEAD_POD_IP,
  NEIGHBOUR_IP,
  NODE_IP,
  type PacketNetwork,
  POD_IPS,
  REMOTE_POD_IP,
} from "../src/testing/packet-network.ts";

const env = createRealEnv();
const VIP = "10.96.0.10";
const near: ProxyEndpoint = endpoint(POD_IPS[1]);
const own: ProxyEndpoint = endpoint(POD_IPS[0]);
const far: ProxyEndpoint = endpoint(REMOTE_POD_IP, { node: "b" });
let network: PacketNetwork;
let backend: ProxyBackend;

const createBackend = (): ProxyBackend =>
  createNftablesBackend({ env, nodeName: "a", run: network.node.run, clusterCidrs: ["10.244.0.0/16"] });

beforeAll(async () => {
  await provideNodePrograms();
  network = await createPacketNetwork();
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await network.node.sh("nft flush ruleset");
  backend = createBackend();
  await backend.setNodeAddresses([NODE_IP]);
});

/** Who answered, and whom it saw. */
async function tcp(from: Agent, host: string, port: number): Promise<{ server: string; client: string }> {
  const [server = "", client = ""] = (await from.ask("tcp", host, port)).split(" ");
  return { server, client };
}

async function serversOf(from: Agent, host: string, port: number, times = 40): Promise<Map<string, number>> {
  const seen = new Map<string, number>();
  for (let at = 0; at < times; at++) {
    const { server } = await tcp(from, host, port);
    seen.set(server, (seen.get(server) ?? 0) + 1);
  }
  return seen;
}

describe("cluster addresses", () => {
  test("a pod's connections are spread over the endpoints, and keep the pod's address", async () => {
    await backend.sync([rule({ endpoints: [own, near, far] })]);
    const [pod] = network.agents.pods;
    const seen = await serversOf(pod, VIP, 80, 90);
    expect([...seen.keys()].toSorted()).toEqual([...POD_IPS, REMOTE_POD_IP]);
    for (const count of seen.values()) expect(count).toBeGreaterThan(10);
    await backend.sync([rule({ endpoints: [far] })]);
    expect(await tcp(pod, VIP, 80)).toEqual({ server: REMOTE_POD_IP, client: POD_IPS[0] });
    await backend.sync([rule({ endpoints: [near] })]);
    expect(await tcp(pod, VIP, 80)).toEqual({ server: POD_IPS[1], client: POD_IPS[0] });
  });

  test("a pod reaches itself, seen from another address", async () => {
    await backend.sync([rule({ endpoints: [own] })]);
    const { server, client } = await tcp(network.agents.pods[0], VIP, 80);
    expect(server).toBe(POD_IPS[0]);
    expect(client).not.toBe(POD_IPS[0]);
  });

  test("the node itself and outsiders are masqueraded", async () => {
    await backend.sync([rule({ endpoints: [near] })]);
    expect((await tcp(network.agents.node, VIP, 80)).server).toBe(POD_IPS[1]);
    const seen = await tcp(network.agents.neighbour, VIP, 80);
    expect(seen.server).toBe(POD_IPS[1]);
    expect(seen.client).not.toBe(NEIGHBOUR_IP);
    await backend.sync([rule({ endpoints: [far] })]);
    expect((await tcp(network.agents.node, VIP, 80)).client).toBe(NODE_IP);
  });

  test("without endpoints TCP and UDP are refused at once, for pods, the node and outsiders", async () => {
    const none = { endpoints: [] };
    const nodePort = { ...none, type: "NodePort", ip: "", port: 30080 } as const;
    await backend.sync([
      rule(none),
      rule({ ...none, protocol: "UDP" }),
      rule(nodePort),
      rule({ ...nodePort, protocol: "UDP" }),
    ]);
    const { pods, node, neighbour } = network.agents;
    for (const [name, from] of Object.entries({ pod: pods[0], node, neighbour })) {
      for (const act of ["tcp", "udp"] as const) {
        await expect(from.ask(act, VIP, 80), `${name} ${act}`).rejects.toThrow("ECONNREFUSED");
        await expect(from.ask(act, NODE_IP, 30080), `${name} ${act}`).rejects.toThrow("ECONNREFUSED");
      }
    }
    await backend.apply({ upserts: [rule({ endpoints: [near] })], removals: [] });
    expect((await tcp(pods[0], VIP, 80)).server).toBe(POD_IPS[1]);
  });

  test("a change moves new connections and leaves open ones alone, also when another process writes everything", async () => {
    const { pods } = network.agents;
    await backend.sync([rule({ endpoints: [far] })]);
    expect(await pods[0].ask("open", VIP, 80)).toBe(`${REMOTE_POD_IP} ${POD_IPS[0]}`);
    await backend.apply({ upserts: [rule({ endpoints: [near] })], removals: [] });
    expect((await tcp(pods[0], VIP, 80)).server).toBe(POD_IPS[1]);
    expect(await pods[0].ask("talk", "", 0)).toBe(`${REMOTE_POD_IP} ${POD_IPS[0]}`);
    const restarted = createBackend();
    await restarted.setNodeAddresses([NODE_IP]);
    await restarted.sync([rule({ endpoints: [near] })]);
    expect(await pods[0].ask("talk", "", 0)).toBe(`${REMOTE_POD_IP} ${POD_IPS[0]}`);
    expect((await tcp(pods[0], VIP, 80)).server).toBe(POD_IPS[1]);
  });

  test("a connection that met the tables just as they changed is made at its next try", async () => {
    const { pods } = network.agents;
    await backend.sync([rule({ endpoints: [near] })]);
    const element = `${VIP} . tcp . 80`;
    const verdict = /tcp \. 80 : (goto \S+)/.exec(
      await network.node.run("nft", ["list map ip kube-proxy services"]),
    )?.[1];
    await network.node.run("nft", [
      "add table ip seen; add chain ip seen first { type filter hook prerouting priority -300; }; " +
        `add rule ip seen first ip daddr ${VIP} counter`,
    ]);
    await network.node.run("nft", [`delete element ip kube-proxy services { ${element} }`]);
    const answer = tcp(pods[0], VIP, 80);
    await expect
      .poll(() => network.node.run("nft", ["list table ip seen"]), { timeout: 4_000 })
      .not.toContain("packets 0 ");
    await network.node.run("nft", [`add element ip kube-proxy services { ${element} : ${verdict} }`]);
    expect((await answer).server).toBe(near.ip);
  });

  test("a connection that waits for an endpoint that is dead goes to another one when that leaves", async () => {
    const [pod] = network.agents.pods;
    const dead = endpoint(DEAD_POD_IP, { node: "b" });
    await backend.sync([rule({ endpoints: [dead] })]);
    const answer = tcp(pod, VIP, 80);
    const waiting = (): Promise<string> => network.node.run("conntrack", ["-L", "-p", "tcp", "--state", "SYN_SENT"]);
    await expect.poll(waiting, { timeout: 4_000 }).toContain(`src=${DEAD_POD_IP}`);
    await backend.apply({ upserts: [rule({ endpoints: [near] })], removals: [] });
    expect(await waiting()).not.toContain(DEAD_POD_IP);
    expect((await answer).server).toBe(near.ip);
  });

  test("no connection fails while everything is written again and again", async () => {
    await backend.sync([rule({ endpoints: [near, far] })]);
    const stop = new AbortController();
    const count = { written: 0 };
    const writes = (async () => {
      for (; !stop.signal.aborted; count.written++) {
        await backend.sync([rule({ endpoints: count.written % 2 === 0 ? [near] : [near, far] })]);
      }
    })();
    const seen = new Set<string>();
    try {
      for (let made = 0; made < 400 || count.written < 10; made++) {
        seen.add((await tcp(network.agents.pods[0], VIP, 80)).server);
      }
    } finally {
      stop.abort();
      await writes;
    }
    expect([...seen].toSorted()).toEqual([near.ip, far.ip]);
  });
});

describe("affinity", () => {
  test("a client stays with its endpoint while others come and go, and leaves with it", async () => {
    const { pods } = network.agents;
    const sticky = (endpoints: ProxyEndpoint[]): ProxyRule => rule({ affinitySeconds: 600, endpoints });
    await backend.sync([sticky([own, near, far])]);
    const [first] = (await serversOf(pods[1], VIP, 80, 20)).keys();
    expect((await serversOf(pods[1], VIP, 80, 20)).size).toBe(1);
    const chosen = [own, near, far].find((one) => one.ip === first)!;
    const others = [own, near, far].filter((one) => one !== chosen);
    await backend.apply({ upserts: [sticky([chosen, others[0]!])], removals: [] });
    expect([...(await serversOf(pods[1], VIP, 80, 20)).keys()]).toEqual([first]);
    const restarted = createBackend();
    await restarted.sync([sticky([others[1]!, chosen])]);
    expect([...(await serversOf(pods[1], VIP, 80, 20)).keys()]).toEqual([first]);
    await restarted.apply({ upserts: [sticky(others)], removals: [] });
    const after = await serversOf(pods[1], VIP, 80, 20);
    expect(after.size).toBe(1);
    expect(others.map((one) => one.ip)).toContain([...after.keys()][0]);
  });

  test("it ends with the Service's own time-out, and each protocol has its own", async () => {
    const [pod] = network.agents.pods;
    const many = [own, near, far];
    const both = (["TCP", "UDP"] as const).map((protocol) =>
      rule({ protocol, affinitySeconds: protocol === "TCP" ? 1 : 600, endpoints: many }),
    );
    await backend.sync(both);
    await pod.ask("tcp", VIP, 80);
    await pod.ask("udp", VIP, 80);
    const remembered = async (): Promise<string> => network.node.run("nft", ["list map ip kube-proxy affinity"]);
    expect(await remembered()).toMatch(/tcp \. 80 timeout 1s/);
    expect(await remembered()).toMatch(/udp \. 80 timeout 10m/);
    await expect.poll(remembered, { timeout: 5_000 }).not.toMatch(/tcp \. 80/);
    expect(await remembered()).toMatch(/udp \. 80/);
  });
});

describe("addresses of the node and of load balancers", () => {
  const external = { type: "NodePort", ip: "", port: 30080 } as const;

  test("a NodePort is there for all but loopback; the policy says whether the client's address stays", async () => {
    const { pods, node, neighbour } = network.agents;
    await backend.sync([rule({ ...external, endpoints: [near, far], masquerade: true })]);
    expect([...(await serversOf(neighbour, NODE_IP, 30080)).keys()].toSorted()).toEqual([near.ip, far.ip]);
    expect((await tcp(neighbour, NODE_IP, 30080)).client).not.toBe(NEIGHBOUR_IP);
    expect([near.ip, far.ip]).toContain((await tcp(pods[0], NODE_IP, 30080)).server);
    expect([near.ip, far.ip]).toContain((await tcp(node, NODE_IP, 30080)).server);
    await expect(node.ask("tcp", "127.0.0.1", 30080)).rejects.toThrow("ECONNREFUSED");
    await backend.apply({
      upserts: [rule({ ...external, endpoints: [near], clusterEndpoints: [near, far] })],
      removals: [],
    });
    expect(await tcp(neighbour, NODE_IP, 30080)).toEqual({ server: near.ip, client: NEIGHBOUR_IP });
    expect([...(await serversOf(pods[0], NODE_IP, 30080)).keys()].toSorted()).toEqual([near.ip, far.ip]);
    expect([...(await serversOf(node, NODE_IP, 30080)).keys()].toSorted()).toEqual([near.ip, far.ip]);
  });

  test("with the endpoints elsewhere a Local policy drops outsiders and serves pods", async () => {
    const { pods, neighbour } = network.agents;
    await backend.sync([rule({ ...external, endpoints: [], clusterEndpoints: [far], otherwise: "DROP" })]);
    await expect(neighbour.ask("tcp", NODE_IP, 30080, { timeoutMs: 300 })).rejects.toThrow("timeout");
    expect((await tcp(pods[0], NODE_IP, 30080)).server).toBe(far.ip);
  });

  test("a load balancer's address serves its source ranges and drops others", async () => {
    const { neighbour, pods } = network.agents;
    const balanced = (sourceRanges: string[]): ProxyRule =>
      rule({ type: "LoadBalancer", ip: "203.0.113.1", endpoints: [near], masquerade: true, sourceRanges });
    await backend.sync([balanced([`${NEIGHBOUR_IP}/32`])]);
    expect((await tcp(neighbour, "203.0.113.1", 80)).server).toBe(near.ip);
    await expect(pods[0].ask("tcp", "203.0.113.1", 80, { timeoutMs: 300 })).rejects.toThrow("timeout");
    await backend.apply({ upserts: [balanced(["10.244.0.0/16"])], removals: [] });
    expect((await tcp(pods[0], "203.0.113.1", 80)).server).toBe(near.ip);
    await expect(neighbour.ask("tcp", "203.0.113.1", 80, { timeoutMs: 300 })).rejects.toThrow("timeout");
  });
});

describe("UDP", () => {
  test("a flow goes on to another endpoint when its own leaves, and to the first one that comes", async () => {
    const [pod] = network.agents.pods;
    const dns = (endpoints: ProxyEndpoint[]): ProxyRule => rule({ protocol: "UDP", port: 53, endpoints });
    const asked = async (): Promise<string> =>
      (await pod.ask("udp", VIP, 53, { sourcePort: 40_053, timeoutMs: 500 })).split(" ")[0]!;
    await backend.sync([]);
    await expect(asked()).rejects.toThrow(/timeout|EHOSTUNREACH|ECONNREFUSED/);
    await backend.apply({ upserts: [dns([far])], removals: [] });
    expect(await asked()).toBe(far.ip);
    await backend.apply({ upserts: [dns([near])], removals: [] });
    expect(await asked()).toBe(near.ip);
    const restarted = createBackend();
    await restarted.sync([dns([far])]);
    expect(await asked()).toBe(far.ip);
    await restarted.apply({ upserts: [], removals: [dns([far]).key] });
    await expect(asked()).rejects.toThrow(/timeout|EHOSTUNREACH|ECONNREFUSED/);
  });
});
