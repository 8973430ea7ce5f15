// The kernel's tables keep what the contract promises, in a network namespace of their own.
import { createRealEnv } from "@coxswain/env";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createNftablesBackend } from "../src/backend/nftables/backend.ts";
import { backendSuite, endpoint, rule } from "../src/testing/backend-suite.ts";
import {
  createNetworkNamespace,
  type NetworkNamespace,
  provideNodePrograms,
} from "../src/testing/network-namespace.ts";

const env = createRealEnv();
let node: NetworkNamespace;

beforeAll(async () => {
  await provideNodePrograms();
  node = await createNetworkNamespace();
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await node.sh("nft flush ruleset");
});

const create = () =>
  createNftablesBackend({ env, nodeName: "a", run: node.run, clusterCidrs: ["10.244.0.0/16", "fd00::/64"] });

backendSuite("nftables", () => ({ backend: create(), advance: (ms) => env.timers.sleep(ms) }), {
  packets: 300,
  affinitySeconds: 2,
  returns: 3,
  expiries: 4,
});

describe("nftables", () => {
  test("finds what others did to the table, and a full write makes it good", async () => {
    const backend = create();
    await backend.setNodeAddresses(["198.18.0.5"]);
    const rules = [
      rule({ affinitySeconds: 9 }),
      rule({ type: "NodePort", ip: "", port: 30080, clusterEndpoints: [endpoint("10.244.0.3")] }),
      rule({ port: 82, endpoints: [] }),
      rule({ type: "LoadBalancer", ip: "203.0.113.1", sourceRanges: ["192.0.2.0/24"] }),
    ];
    const byKey = rules.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    for (const [act, found] of [
      ["delete table ip kube-proxy", "the table is missing"],
      ["flush chain ip kube-proxy to-2-outsiders-9s", "chain to-2-outsiders-9s has 0 rules, not 7"],
      ["flush chain ip kube-proxy nat-prerouting", "chain nat-prerouting has 0 rules, not 1"],
      [
        "delete element ip kube-proxy endpoints { 10.96.0.10 . tcp . 80 . 1 }",
        "set endpoints: 10.96.0.10 . tcp . 80 . 1 is missing",
      ],
      [
        "add element ip kube-proxy services { 10.96.0.99 . tcp . 80 : goto turn-away }",
        "set services has 5 elements, not 4",
      ],
    ] as const) {
      await backend.sync(rules);
      expect(await backend.damage?.()).toBeUndefined();
      expect(await backend.rules()).toEqual(byKey);
      await node.run("nft", [act]);
      if (found.includes("not 4")) expect((await backend.rules()).map((one) => one.ip)).toContain("10.96.0.99");
      expect(await backend.damage?.()).toBe(found.replace("5 elements, not 4", "4 elements, not 3"));
    }
    await backend.sync(rules);
    expect(await backend.damage?.()).toBeUndefined();
  });

  test("a change that the kernel refuses leaves everything as it was", async () => {
    const backend = create();
    await backend.sync([rule()]);
    await node.run("nft", ["delete element ip kube-proxy endpoints { 10.96.0.10 . tcp . 80 . 1 }"]);
    const change = { upserts: [rule({ port: 81 })], removals: [rule().key] };
    await expect(backend.apply(change)).rejects.toThrow(/nft: .*No such file or directory/);
    expect((await backend.rules()).map((one) => one.port)).toEqual([80]);
    await backend.sync([rule({ port: 81 })]);
    expect((await backend.rules()).map((one) => one.port)).toEqual([81]);
  });

  test("another process finds the rules in place, and clients keep their endpoints when it writes its own", async () => {
    const first = create();
    const many = Array.from({ length: 30 }, (_, at) => endpoint(`10.244.1.${at}`));
    const sticky = rule({ affinitySeconds: 600, endpoints: many });
    await first.sync([sticky]);
    const packet = { sourceIp: "10.244.9.9", destinationIp: "10.96.0.10", protocol: "TCP", port: 80 } as const;
    const chosen = (await first.resolve(packet)).endpoint;
    const second = create();
    expect((await second.rules())[0]).toMatchObject({ key: sticky.key, affinitySeconds: 600, service: "" });
    await second.sync([sticky]);
    expect((await second.resolve(packet)).endpoint).toEqual(chosen);
  });

  test("IPv6 is refused by name", async () => {
    const six = rule({ family: "IPv6", ip: "fd01::10", endpoints: [endpoint("fd00::1")] });
    await expect(create().sync([six])).rejects.toThrow("IPv6 is not supported");
  });
});
