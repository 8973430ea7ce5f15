// The configuration means to a real nats-server what it says: identities by certificate, and no more than each needs.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silentLogger } from "@coxswain/component-base";
import { createCa, issueCertificate } from "@coxswain/component-base/identity/index";
import { createRealEnv } from "@coxswain/env";
import { busPermissions, createNatsBus, natsServerConfig, type EventBus } from "@coxswain/event-bus";
import { connected, eventually } from "../src/testing/bus-suite.ts";
import { startNats, type TestNats } from "../src/testing/nats-server.ts";

const env = createRealEnv();
const folder = mkdtempSync(join(tmpdir(), "coxswain-bus-pki-"));
const path = (name: string): string => join(folder, name);
const CLIENTS = [
  { name: "apiserver", commonName: "system:apiserver" },
  { name: "scheduler", commonName: "system:kube-scheduler" },
  { name: "node1", commonName: "system:node:node-1", organizations: ["system:nodes"] },
  { name: "stranger", commonName: "stranger" },
];
let nats: TestNats;
const buses: EventBus[] = [];
const refusals: string[] = [];
const logger = { ...silentLogger, debug: (fields: object) => void refusals.push(JSON.stringify(fields)) };

async function makeCertificates(): Promise<void> {
  const ca = await createCa(env);
  writeFileSync(path("ca.crt"), ca.certPem);
  const server = { name: "server", commonName: "nats", usages: ["server"] as const };
  for (const wanted of [server, ...CLIENTS.map((client) => ({ ...client, usages: ["client"] as const }))]) {
    const { certPem, keyPem } = await issueCertificate(ca, { ...wanted, ips: ["127.0.0.1"], days: 2 }, env);
    writeFileSync(path(`${wanted.name}.crt`), certPem);
    writeFileSync(path(`${wanted.name}.key`), keyPem);
  }
}

function bus(name: string): EventBus {
  const tls = {
    ca: readFileSync(path("ca.crt")),
    cert: readFileSync(path(`${name}.crt`)),
    key: readFileSync(path(`${name}.key`)),
  };
  const made = createNatsBus({
    env,
    logger,
    servers: [nats.server],
    tls,
    name,
  });
  buses.push(made);
  return made;
}

beforeAll(async () => {
  await makeCertificates();
  const identity = (
    username: string,
    organization = "",
  ): { subject: string; permissions: ReturnType<typeof busPermissions> } => ({
    subject: `CN=${username}${organization === "" ? "" : `,O=${organization}`}`,
    permissions: busPermissions(username),
  });
  nats = await startNats({
    config: (port) =>
      natsServerConfig({
        port,
        tls: { ca: path("ca.crt"), cert: path("server.crt"), key: path("server.key") },
        identities: [
          identity("system:apiserver"),
          identity("system:kube-scheduler"),
          identity("system:node:node-1", "system:nodes"),
        ],
      }),
  });
});

afterAll(async () => {
  await Promise.all(buses.map((made) => made.close()));
  await nats.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("an api-server publishes; others only hear, a kubelet only what concerns its node", async () => {
  const [apiserver, scheduler, node1] = ["apiserver", "scheduler", "node1"].map(bus);
  await Promise.all([apiserver!, scheduler!, node1!].map(connected));
  const heard: Record<string, string[]> = { scheduler: [], node1: [] };
  scheduler!.subscribe("kube.>", ({ subject }) => void heard["scheduler"]!.push(subject));
  const wanted = ["kube.>", "kube.core.pods.>", "kube.core.secrets.>", "kube.core.pods.*.node.node-2"];
  const allowed = ["kube.core.pods.*.node.node-1", "kube.core.services.>"];
  for (const pattern of [...wanted, ...allowed]) {
    node1!.subscribe(pattern, ({ subject }) => void heard["node1"]!.push(`${pattern}: ${subject}`));
  }
  await Promise.all([scheduler!.flush(), node1!.flush()]);
  for (const liar of [scheduler!, node1!]) {
    liar.publish("kube.core.pods.default", {}, Buffer.from("forged"));
    liar.publish("kube.core.services.default", {}, Buffer.from("forged"));
    await liar.flush();
  }
  const subjects = [
    "kube.core.pods.default.node.node-1",
    "kube.core.pods.default.node.node-2",
    "kube.core.secrets.default",
    "kube.core.services.default",
  ];
  for (const subject of subjects) apiserver!.publish(subject, {}, Buffer.alloc(0));
  await apiserver!.flush();
  await eventually(() => heard["scheduler"]!.length >= 4 && heard["node1"]!.length >= 2, "the published changes");
  expect(heard["scheduler"]).toEqual(subjects);
  expect(heard["node1"]).toEqual([
    "kube.core.pods.*.node.node-1: kube.core.pods.default.node.node-1",
    "kube.core.services.>: kube.core.services.default",
  ]);
});

test("a certificate that is not listed gets no connection", async () => {
  const stranger = bus("stranger");
  const known = bus("scheduler");
  await connected(known);
  await eventually(() => refusals.some((refusal) => refusal.includes("Authorization")), "a refusal");
  expect(stranger.connected).toBe(false);
});

test("a node's name cannot widen its permissions", () => {
  expect(() => busPermissions("system:node:*")).toThrow("does not name a node");
  expect(() => busPermissions("system:node:>")).toThrow("does not name a node");
  expect(busPermissions("system:node:a.b").subscribe[0]).toBe("kube.core.pods.*.node.a_b");
});
