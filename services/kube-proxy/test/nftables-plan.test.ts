// The planner of nftables transactions: changes add up to what a full write makes, cost what changes, and nothing that is in
// the kernel is added twice or deleted when it is not there.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { losesEndpoint, parseFlows, staleFlows } from "../src/backend/nftables/conntrack.ts";
import { mergeRanges, slotsOf } from "../src/backend/nftables/elements.ts";
import { expectedElements, planAddresses, planChange, planFull } from "../src/backend/nftables/plan.ts";
import { parseTable } from "../src/backend/nftables/read-back.ts";
import { parseShape, shapeName } from "../src/backend/nftables/shape.ts";
import type { ProxyRule } from "../src/planner/rule.ts";
import { endpoint, rule } from "../src/testing/backend-suite.ts";

const settings = { nodeName: "a", clusterCidrs: ["10.244.0.0/16"], masqueradeBit: 0x1000 };
const COMMAND = /^(add|delete) element ip kube-proxy (\S+) \{ (.*) \}$/;

/** The kernel's side: sets by name, chains that exist. Throws where the kernel would refuse. */
class FakeKernel {
  readonly sets = new Map<string, Map<string, string>>();
  readonly chains = new Set<string>();

  run(text: string): void {
    for (const line of text.split("\n")) {
      if (line.startsWith("delete table")) this.#clear();
      if (line.startsWith("add chain")) this.#addChain(line.split(" ").at(-1)!);
      const found = COMMAND.exec(line);
      if (found !== null) for (const one of found[3]!.split(", ")) this.#element(found[1]!, found[2]!, one);
    }
  }

  #clear(): void {
    this.sets.clear();
    this.chains.clear();
  }

  #addChain(name: string): void {
    if (this.chains.has(name)) throw new Error(`chain ${name} would get its rules twice`);
    this.chains.add(name);
  }

  #element(verb: string, set: string, text: string): void {
    const [key = "", value = ""] = text.split(" : ");
    const elements = this.sets.get(set) ?? new Map<string, string>();
    this.sets.set(set, elements);
    if (verb === "delete") {
      if (!elements.delete(key)) throw new Error(`${set}: ${key} is not there`);
      return;
    }
    if (elements.has(key)) throw new Error(`${set}: ${key} is there already`);
    const chain = /^goto (to-.*)$/.exec(value)?.[1];
    if (chain !== undefined && !this.chains.has(chain)) throw new Error(`no chain ${chain}`);
    elements.set(key, value);
  }
}

const contents = (sets: ReadonlyMap<string, ReadonlyMap<string, string>>): unknown =>
  [...sets].filter(([, elements]) => elements.size > 0).toSorted(([a], [b]) => (a < b ? -1 : 1));

const endpoints = fc.subarray([
  endpoint("10.244.0.1"),
  endpoint("10.244.0.2"),
  endpoint("10.244.7.1", { node: "b" }),
  endpoint("10.244.7.2", { node: "" }),
]);
const anyRule: fc.Arbitrary<ProxyRule> = fc
  .record({
    ip: fc.constantFrom("", "10.96.0.1", "10.96.0.2", "198.18.0.5"),
    port: fc.constantFrom(80, 30080),
    protocol: fc.constantFrom("TCP" as const, "UDP" as const),
    endpoints,
    clusterEndpoints: fc.option(endpoints, { nil: undefined }),
    affinitySeconds: fc.constantFrom(0, 60, 10_800),
    masquerade: fc.boolean(),
    otherwise: fc.constantFrom("REJECT" as const, "DROP" as const),
    sourceRanges: fc.subarray(["192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0", "fd00::/8"]),
  })
  .map(({ clusterEndpoints, ...rest }) => {
    const type = rest.ip === "" ? "NodePort" : rest.ip.startsWith("10.96") ? "ClusterIP" : "LoadBalancer";
    return rule({ type, ...rest, ...(clusterEndpoints === undefined ? {} : { clusterEndpoints }) });
  });
const step = fc.oneof(
  fc.record({ upserts: fc.array(anyRule, { maxLength: 3 }), removals: fc.array(anyRule, { maxLength: 2 }) }),
  fc.subarray(["198.18.0.5", "198.18.0.6"]),
);

test("property: changes and moved addresses add up to a full write", () => {
  fc.assert(
    fc.property(fc.array(anyRule, { maxLength: 4 }), fc.array(step, { maxLength: 12 }), (first, steps) => {
      const kernel = new FakeKernel();
      const { text, installed } = planFull(first, ["198.18.0.5"], settings);
      kernel.run(text);
      for (const one of steps) {
        const next = Array.isArray(one)
          ? planAddresses(installed, one, settings)
          : planChange(installed, { upserts: one.upserts, removals: one.removals.map(({ key }) => key) }, settings);
        kernel.run(next.text);
        next.commit();
        const fresh = new FakeKernel();
        fresh.run(planFull([...installed.rules.values()], installed.addresses, settings).text);
        expect(new Map(contents(kernel.sets) as [])).toEqual(new Map(contents(fresh.sets) as []));
        expect(new Map(contents(expectedElements(installed, settings)) as [])).toEqual(
          new Map(contents(fresh.sets) as []),
        );
      }
    }),
  );
});

test("a change names nothing but what changes, and nothing is taken as written before it is", () => {
  const many = Array.from({ length: 500 }, (_, at) => rule({ ip: `10.96.1.${at % 250}`, port: 80 + at }));
  const { installed } = planFull(many, [], settings);
  const moved = { ...many[7]!, endpoints: [endpoint("10.244.0.9"), endpoint("10.244.0.2")] };
  const change = { upserts: [moved], removals: [] };
  const transaction = planChange(installed, change, settings);
  const { text } = transaction;
  expect(text.split("\n").filter((line) => line.includes("endpoints"))).toEqual([
    "delete element ip kube-proxy endpoints { 10.96.1.7 . tcp . 87 . 0 }",
    "add element ip kube-proxy endpoints { 10.96.1.7 . tcp . 87 . 0 : 10.244.0.9 . 8080 }",
  ]);
  expect(text).not.toContain("services");
  expect(planChange(installed, change, settings).text).toBe(text);
  transaction.commit();
  expect(planChange(installed, change, settings).text).toBe("");
});

describe("pieces", () => {
  test("a shape's name says it all", () => {
    for (const masquerade of ["never", "outsiders", "always"] as const) {
      for (const inside of [undefined, 4]) {
        for (const affinitySeconds of [0, 60]) {
          const shape = { endpoints: 3, masquerade, affinitySeconds, ...(inside === undefined ? {} : { inside }) };
          expect(parseShape(shapeName(shape))).toEqual(shape);
        }
      }
    }
    expect(parseShape("nat-output")).toBeUndefined();
  });

  test("property: an endpoint's slot does not depend on the others, and all are different", () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const ports = fc.uniqueArray(port, { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(ports, (given) => {
        const slots = slotsOf(given.map((one) => endpoint("10.244.0.1", { port: one })));
        expect(new Set(slots).size).toBe(slots.length);
        expect(slotsOf([endpoint("10.244.0.1", { port: given.at(-1)! })])).toEqual([slots.at(-1)]);
        for (const slot of slots) expect(slot > 0 && slot < 0x7fffffff).toBe(true);
      }),
    );
  });

  test("ranges are made disjoint, in the kernel's spelling", () => {
    expect(mergeRanges(["10.1.2.3/8", "10.2.0.0/16", "192.0.2.1/32", " 192.0.2.1/32", "fd00::/8"])).toEqual([
      "10.0.0.0/8",
      "192.0.2.1",
    ]);
  });

  test("nft's JSON is read in the spelling of our commands", () => {
    const [vip, slot] = [{ concat: ["10.96.0.1", "tcp", 80] }, "ab:1"];
    const client = { elem: { val: { concat: ["10.244.0.1", "10.96.0.1", "tcp", 80] }, timeout: 60, expires: 9 } };
    const range = { concat: ["203.0.113.1", "tcp", 80, { prefix: { addr: "192.0.2.0", len: 24 } }] };
    const table = parseTable(
      JSON.stringify({
        nftables: [
          { metainfo: {} },
          { map: { name: "services", elem: [[vip, { goto: { target: "to-1-never" } }]] } },
          { map: { name: "affinity", elem: [[client, slot]] } },
          { set: { name: "firewall-allowed", elem: [range] } },
          { chain: { name: "refuse" } },
          { rule: { chain: "refuse" } },
        ],
      }),
    );
    expect(table.sets.get("services")?.get("10.96.0.1 . tcp . 80")).toBe("goto to-1-never");
    expect([...table.sets.get("firewall-allowed")!.keys()]).toEqual(["203.0.113.1 . tcp . 80 . 192.0.2.0/24"]);
    expect(table.affinity).toEqual(["10.244.0.1 . 10.96.0.1 . tcp . 80 timeout 60s expires 9s : 0xab0001"]);
    expect(table.chains.get("refuse")).toBe(1);
  });
});

test("UDP flows are stale when their endpoint left, or when they began before there was one", () => {
  const flow = (dst: string, dport: number, answers: string, from: number): string =>
    `udp      17 29 src=10.244.1.2 dst=${dst} sport=4000 dport=${dport} src=${answers} dst=10.244.1.2 sport=${from} dport=4000 mark=0 use=1`;
  const flows = parseFlows(
    "UDP",
    [
      flow("10.96.0.10", 53, "10.244.0.1", 8080),
      flow("10.96.0.10", 53, "10.244.0.9", 8080),
      flow("10.96.0.10", 53, "10.96.0.10", 53),
      flow("198.18.0.5", 30053, "10.244.0.9", 8080),
      flow("10.96.0.77", 53, "10.244.0.9", 8080),
      "conntrack v1.4.7 (conntrack-tools): 5 flow entries have been shown.",
    ].join("\n"),
  );
  expect(flows).toHaveLength(5);
  const dns = rule({ protocol: "UDP", port: 53 });
  const nodePort = rule({ type: "NodePort", ip: "", protocol: "UDP", port: 30053 });
  const rules = new Map([dns, nodePort].map((one) => [one.key, one]));
  const stale = (touched: string[], find = rules): string[] =>
    staleFlows(flows, new Set(touched), ["198.18.0.5"], (key) => find.get(key)).map(
      ({ destination, replySource }) => `${destination} ${replySource}`,
    );
  expect(stale([dns.key])).toEqual(["10.96.0.10 10.244.0.9", "10.96.0.10 10.96.0.10"]);
  expect(stale([nodePort.key])).toEqual(["198.18.0.5 10.244.0.9"]);
  expect(stale([dns.key], new Map())).toEqual(["10.96.0.10 10.244.0.1", "10.96.0.10 10.244.0.9"]);
});

test("TCP flows that nobody answered are stale when their endpoint left", () => {
  const [flow, ...others] = parseFlows(
    "TCP",
    "tcp      6 118 SYN_SENT src=10.244.1.2 dst=10.96.0.10 sport=4000 dport=80 [UNREPLIED] src=10.244.0.9 dst=10.244.1.2 sport=8080 dport=4000 mark=0 use=1\n",
  );
  expect(others).toEqual([]);
  const before = rule({ endpoints: [endpoint("10.244.0.9"), endpoint("10.244.0.1")] });
  const after = rule({ endpoints: [endpoint("10.244.0.1")] });
  const stale = (now: ProxyRule): number => staleFlows([flow!], new Set([now.key]), [], () => now).length;
  expect([stale(before), stale(after)]).toEqual([0, 1]);
  expect([losesEndpoint(before, after), losesEndpoint(after, before), losesEndpoint(after, undefined)]).toEqual([
    true,
    false,
    true,
  ]);
});
