// What each name answers, and what holds for every name.
import type { EndpointSlice, Namespace, Service } from "@coxswain/api";
import { ENDPOINT_SLICES, NAMESPACES, SERVICES } from "@coxswain/api";
import { createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import type { Answer } from "dns-packet";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { beforeAll, describe, expect, test } from "vitest";
import { createDnsIndex, dashedAddress, type DnsIndex, plainAddress } from "../src/dns-index.ts";
import { parseName } from "../src/parse-name.ts";
import { planAnswer, type Planned } from "../src/plan-answer.ts";
import { endpointSlice, services } from "./fixture-objects.ts";

const zone = { domain: "cluster.local", dnsAddress: "10.96.0.10" };
let index: DnsIndex;

beforeAll(async () => {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env });
  const informers = createInformerFactory({ env, client: cluster.client(), logger: silentLogger });
  const [one, two, three] = [
    informers.informer<Service>(SERVICES),
    informers.informer<EndpointSlice>(ENDPOINT_SLICES),
    informers.informer<Namespace>(NAMESPACES),
  ];
  index = createDnsIndex(one, two, three);
  cluster.seed(NAMESPACES, { metadata: { name: "default" } });
  cluster.seed(NAMESPACES, { metadata: { name: "empty" } });
  for (const service of services) cluster.seed(SERVICES, service);
  cluster.seed(
    ENDPOINT_SLICES,
    endpointSlice("db", "a", [
      { ip: "10.244.1.1", hostname: "db-0" },
      { ip: "10.244.2.1", ready: false },
    ]),
  );
  cluster.seed(
    ENDPOINT_SLICES,
    endpointSlice("db", "b", [{ ip: "10.244.1.1", hostname: "db-0" }, { ip: "10.244.1.2" }]),
  );
  cluster.seed(ENDPOINT_SLICES, endpointSlice("early", "a", [{ ip: "10.244.3.1", ready: false }]));
  cluster.seed(ENDPOINT_SLICES, endpointSlice("web", "a", [{ ip: "10.244.1.9" }]));
  const stop = new AbortController();
  informers.start(stop.signal);
  await env.advance(1000);
  stop.abort();
});

function ask(name: string, type = "A"): Planned {
  return planAnswer({ name, type }, index, zone);
}

function data(name: string, type = "A"): unknown[] | string {
  const planned = ask(name, type);
  if (planned.kind === "outside") return "outside";
  if (planned.code !== "NOERROR") return planned.code;
  return planned.answers.map((one: Answer) => ("data" in one ? one.data : undefined));
}

describe("names of services", () => {
  test("a ClusterIP service has its address, in any case, with and without the last dot", () => {
    expect(data("web.default.svc.cluster.local")).toEqual(["10.96.1.1"]);
    expect(data("WEB.Default.svc.CLUSTER.local.")).toEqual(["10.96.1.1"]);
    const planned = ask("Web.default.svc.cluster.local");
    expect(planned).toMatchObject({ answers: [{ name: "Web.default.svc.cluster.local", ttl: 5 }] });
  });

  test("a headless service has each ready endpoint once", () => {
    expect(data("db.default.svc.cluster.local")).toEqual(["10.244.1.1", "10.244.1.2"]);
    expect(data("early.default.svc.cluster.local")).toEqual(["10.244.3.1"]);
    expect(data("lonely.default.svc.cluster.local")).toBe("NXDOMAIN");
  });

  test("endpoints have names: their hostname, or their address with dashes", () => {
    expect(data("db-0.db.default.svc.cluster.local")).toEqual(["10.244.1.1"]);
    expect(data("10-244-1-2.db.default.svc.cluster.local")).toEqual(["10.244.1.2"]);
    expect(data("10-244-2-1.db.default.svc.cluster.local")).toBe("NXDOMAIN");
    expect(data("10-244-1-9.web.default.svc.cluster.local")).toEqual(["10.244.1.9"]);
  });

  test("named ports have SRV records, with the targets' addresses beside them", () => {
    expect(ask("_http._tcp.web.default.svc.cluster.local", "SRV")).toMatchObject({
      answers: [{ type: "SRV", data: { port: 80, target: "web.default.svc.cluster.local", weight: 100 } }],
      additionals: [{ type: "A", name: "web.default.svc.cluster.local", data: "10.96.1.1" }],
    });
    const headless = ask("_main._tcp.db.default.svc.cluster.local", "SRV");
    expect(headless).toMatchObject({
      answers: [{ data: { target: "db-0.db.default.svc.cluster.local" } }, { data: { weight: 50 } }],
    });
    expect(data("_http._udp.web.default.svc.cluster.local", "SRV")).toBe("NXDOMAIN");
    expect(data("_tcp.web.default.svc.cluster.local")).toEqual([]);
    expect(data("_udp.web.default.svc.cluster.local")).toBe("NXDOMAIN");
  });

  test("an external name is an alias, followed while it stays in the domain", () => {
    expect(ask("out.default.svc.cluster.local")).toMatchObject({
      code: "NOERROR",
      answers: [{ type: "CNAME", data: "example.com" }],
      continueAt: "example.com",
    });
    expect(data("alias.default.svc.cluster.local")).toEqual(["web.default.svc.cluster.local", "10.96.1.1"]);
    expect(ask("loop.default.svc.cluster.local")).toMatchObject({ code: "NOERROR" });
    expect(data("alias.default.svc.cluster.local", "CNAME")).toEqual(["web.default.svc.cluster.local"]);
  });
});

describe("other names", () => {
  test("what exists without such a record is empty, what does not exist is NXDOMAIN, both with the SOA", () => {
    for (const name of ["svc.cluster.local", "default.svc.cluster.local", "empty.pod.cluster.local", "cluster.local"])
      expect(ask(name)).toMatchObject({
        code: "NOERROR",
        answers: [],
        authorities: [{ type: "SOA", name: "cluster.local" }],
      });
    expect(ask("web.default.svc.cluster.local", "AAAA")).toMatchObject({
      code: "NOERROR",
      answers: [],
      authorities: [{}],
    });
    for (const name of [
      "none.svc.cluster.local",
      "web.empty.svc.cluster.local",
      "a.b.c.web.default.svc.cluster.local",
      "web.cluster.local",
    ])
      expect(ask(name)).toMatchObject({ code: "NXDOMAIN", answers: [], authorities: [{ type: "SOA" }] });
  });

  test("pods have names by their addresses", () => {
    expect(data("10-244-1-7.default.pod.cluster.local")).toEqual(["10.244.1.7"]);
    expect(data("fd00--7.default.pod.cluster.local", "AAAA")).toEqual(["fd00::7"]);
    expect(data("10-244-1.default.pod.cluster.local")).toBe("NXDOMAIN");
    expect(data("10-244-1-7.nowhere.pod.cluster.local")).toBe("NXDOMAIN");
  });

  test("addresses have names", () => {
    expect(data("1.1.96.10.in-addr.arpa", "PTR")).toEqual(["web.default.svc.cluster.local"]);
    expect(data("1.1.244.10.in-addr.arpa", "PTR")).toEqual(["db-0.db.default.svc.cluster.local"]);
    expect(data("9.9.9.9.in-addr.arpa", "PTR")).toBe("outside");
  });

  test("the zone says what it is", () => {
    expect(data("dns-version.cluster.local", "TXT")).toEqual(["1.1.0"]);
    expect(data("ns.dns.cluster.local")).toEqual(["10.96.0.10"]);
    expect(data("cluster.local", "NS")).toEqual(["ns.dns.cluster.local"]);
    expect(ask("cluster.local", "SOA")).toMatchObject({ answers: [{ type: "SOA" }] });
  });

  test("the rest of the world is not ours", () => {
    for (const name of ["example.com", "notcluster.local", "", ".", "cluster.local.example.com"])
      expect(data(name)).toBe("outside");
  });
});

test("whatever is asked: answers carry the asked name, and NXDOMAIN means nothing below exists", () => {
  const label = fc.constantFrom(
    "web",
    "db",
    "db-0",
    "default",
    "svc",
    "pod",
    "_tcp",
    "_http",
    "10-244-1-1",
    "x",
    "out",
  );
  const name = fc.array(label, { maxLength: 5 }).map((labels) => [...labels, "cluster.local"].join("."));
  const type = fc.constantFrom("A", "AAAA", "SRV", "PTR", "TXT", "CNAME", "SOA");
  fc.assert(
    fc.property(name, label, type, (name, below, type) => {
      const planned = ask(name, type);
      if (planned.kind !== "answer") throw new Error("inside the domain everything is ours");
      for (const answer of planned.answers.slice(0, 1)) expect(answer.name).toBe(name);
      expect(planned.authorities.length).toBe(planned.answers.length === 0 ? 1 : 0);
      for (const answer of planned.answers) expect([type, "CNAME"]).toContain(answer.type);
      if (planned.code === "NXDOMAIN") expect(ask(`${below}.${name}`, type)).toMatchObject({ code: "NXDOMAIN" });
    }),
    { numRuns: 1000 },
  );
});

/** The name under which an address is looked up in reverse. */
function reverseName(address: string): string {
  const plain = plainAddress(address);
  const parsed = ipaddr.parse(plain);
  if (parsed.kind() === "ipv4") return `${plain.split(".").toReversed().join(".")}.in-addr.arpa`;
  const digits = parsed.toByteArray().map((byte) => byte.toString(16).padStart(2, "0"));
  return `${digits.join("").split("").toReversed().join(".")}.ip6.arpa`;
}

test("reverse names and dashed names read back as the address they came from", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
      const reversed = parseName(reverseName(address), "cluster.local");
      const dashed = parseName(`${dashedAddress(address)}.a.pod.cluster.local`, "cluster.local");
      expect(reversed.kind).toBe("reverse");
      expect(dashed).toMatchObject({ kind: "pod", address: (reversed as { address: string }).address });
    }),
    { examples: [["::0.0.0.0"], ["::1.2.3.4"], ["::ffff:1.2.3.4"]] },
  );
});
