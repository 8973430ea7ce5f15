// Whatever bytes arrive: the responder never fails, and what it says can be read and belongs to what was asked.
import { createSeededRandom } from "@coxswain/env";
import { decode, encode } from "dns-packet";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { DnsIndex } from "../src/dns-index.ts";
import { createResponder } from "../src/responder.ts";

const index: DnsIndex = {
  namespaceExists: () => true,
  service: (namespace, name) => ({
    namespace,
    name,
    kind: "cluster-ip",
    addresses: ["10.96.1.1", "fd00::1"],
    externalName: "",
    ports: [{ name: "http", protocol: "tcp", port: 80 }],
  }),
  endpoints: () => [],
  servicesByAddress: () => [],
  endpointsByAddress: () => [],
};

const zone = { domain: "cluster.local", dnsAddress: "10.96.0.10" };
let isReady = true;
const respond = createResponder({ index, zone, random: createSeededRandom(1), ready: () => isReady });

const label = fc.oneof(
  fc.constantFrom("web", "default", "svc", "pod", "_http", "_tcp"),
  fc.uint8Array({ minLength: 1, maxLength: 63 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
);
const rawName = fc.array(label, { maxLength: 5 }).map((labels) => {
  const all = [...labels, "cluster", "local"].map((one) => Buffer.from(one, "latin1"));
  return Buffer.concat([...all.flatMap((one) => [Buffer.from([one.length]), one]), Buffer.from([0])]);
});
const header = encode({ type: "query", id: 7, questions: [] });

test("names of any bytes are answered readably or not at all", async () => {
  await fc.assert(
    fc.asyncProperty(rawName, fc.nat(300), fc.constantFrom("udp", "tcp"), async (name, type, transport) => {
      const head = Buffer.from(header);
      head.writeUInt16BE(1, 4);
      const query = Buffer.concat([head, name, Buffer.from([type >> 8, type & 255, 0, 1])]);
      const response = await respond(query, transport);
      if (response === undefined) return;
      const { id, flag_qr, questions } = decode(response);
      expect({ id, flag_qr }).toEqual({ id: 7, flag_qr: true });
      expect(questions![0]!.name).toBe(decode(query).questions![0]!.name);
      if (transport === "udp") expect(response.length).toBeLessThanOrEqual(512);
    }),
    { numRuns: 500 },
  );
});

test("noise gets no answer, or one that can be read", async () => {
  const good = encode({ type: "query", id: 7, questions: [{ name: "web.default.svc.cluster.local", type: "A" }] });
  const places = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(places, fc.uint8Array({ maxLength: 80 }), async (changes, tail) => {
      const query = Buffer.concat([good, Buffer.from(tail)]);
      for (const [at, byte] of changes) query[at] = byte;
      const response = await respond(query, "udp");
      if (response !== undefined) expect(decode(response).flag_qr).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test("queries of other kinds are refused by code, and all before the caches are filled", async () => {
  const codeOf = async (query: Buffer): Promise<number> => (await respond(query, "udp"))![3]! & 15;
  const question = { name: "web.default.svc.cluster.local", type: "A" } as const;
  expect(await codeOf(encode({ type: "query", questions: [] }))).toBe(1);
  expect(await codeOf(encode({ type: "query", questions: [question, question] }))).toBe(1);
  expect(await codeOf(encode({ type: "query", flags: 2 << 11, questions: [question] }))).toBe(4);
  expect(await codeOf(encode({ type: "query", questions: [{ ...question, class: "CH" }] }))).toBe(5);
  expect(await codeOf(encode({ type: "query", questions: [{ ...question, type: "AXFR" }] }))).toBe(5);
  isReady = false;
  expect(await codeOf(encode({ type: "query", questions: [question] }))).toBe(2);
  isReady = true;
  expect(await codeOf(encode({ type: "query", questions: [question] }))).toBe(0);
});
