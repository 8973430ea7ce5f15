// A bounded, seeded search for requests that hurt: FUZZ_REQUESTS (50,000) of them from FUZZ_SEED (1) on. Whatever is sent, the
// answer is a client's error, an honest 503 or 504, or success; nobody sees another's data; the process keeps its prototypes
// and its memory.
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { issueCertificate } from "@coxswain/component-base/identity/certificates";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import { createSeededRandom } from "@coxswain/env/seeded-random";
import { Agent, request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MUTATING_POLICIES_ON } from "../support/mutating-policies.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";
import { nextRequest, type FuzzRequest } from "./requests.ts";
import { Values } from "./values.ts";
import { sendGrpcRubbish, sendRubbish } from "./wire.ts";

const REQUESTS = Number(process.env["FUZZ_REQUESTS"] ?? 50_000);
const FROM = Number(process.env["FUZZ_FROM"] ?? 0);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const AT_ONCE = 64;
/** Of those requests, how many go below HTTP. */
const RUBBISH_EVERY = 100;
const MAX_HEAP_GROWTH_BYTES = 400 * 1024 * 1024;
/** Only the administrator may read it. */
const CANARY = "canary-that-nobody-else-sees";

let server: TestServer;
let admin: Agent;
let mallory: Agent;
let stranger: Agent;
let malloryTls: TlsMaterial;

/** Nothing of the run may reach another machine, whatever objects tell of addresses. */
function refuseToDial(): Socket {
  const socket = new Socket();
  setImmediate(() => socket.destroy(Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })));
  return socket;
}

async function put(path: string, object: object): Promise<void> {
  const answer = await request(server.url + path, {
    dispatcher: admin,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(object),
  });
  expect([await answer.body.text(), answer.statusCode]).toEqual([expect.any(String), 201]);
}

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"], { ...MUTATING_POLICIES_ON, dial: refuseToDial });
  const pem = (file: string): string => readFileSync(join(server.dir, file), "utf8");
  const ca = { certPem: pem("ca.crt"), keyPem: pem("ca.key") };
  const issued = await issueCertificate(ca, { commonName: "mallory", usages: ["client"], days: 1 }, server.env);
  malloryTls = { ca: Buffer.from(ca.certPem), cert: Buffer.from(issued.certPem), key: Buffer.from(issued.keyPem) };
  admin = new Agent({ connect: server.tls("admin"), connections: AT_ONCE });
  mallory = new Agent({ connect: malloryTls, connections: AT_ONCE });
  stranger = new Agent({ connect: { ca: malloryTls.ca as Buffer }, connections: AT_ONCE });
  await put("/api/v1/namespaces", { metadata: { name: "vault" } });
  const data = { a: CANARY };
  for (const name of ["a", "present"]) {
    await put("/api/v1/namespaces/vault/configmaps", { metadata: { name, labels: { app: "a" } }, data });
    await put("/api/v1/namespaces/vault/secrets", { metadata: { name }, stringData: data });
  }
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const rules = [{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }];
  await put(`${rbac}/roles`, { metadata: { name: "all" }, rules });
  await put(`${rbac}/rolebindings`, {
    metadata: { name: "mallory" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "all" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "mallory" }],
  });
});

afterAll(async () => {
  await Promise.all([admin, mallory, stranger].map((agent) => agent.destroy()));
  await server.close();
});

const CANARIES = [CANARY, Buffer.from(CANARY).toString("base64"), Buffer.from(CANARY).toString("base64").slice(4, -4)];

interface Finding {
  readonly said: string;
  readonly request: string;
}

function described({ method, path, headers, body }: FuzzRequest): string {
  return `${method} ${path} ${JSON.stringify(headers)} ${body?.toString("latin1").slice(0, 600) ?? ""}`;
}

async function send(values: Values, findings: Map<string, Finding>, counts: Map<number, number>): Promise<void> {
  const asked = nextRequest(values);
  const { method, path, headers, body } = asked;
  // Outside her own namespace nearly everything ends at once for mallory.
  const outside = !path.includes("/namespaces/default/") && values.chance(0.7);
  const [who, agent] = values.chance(0.02)
    ? (["stranger", stranger] as const)
    : outside || values.chance(0.5)
      ? (["admin", admin] as const)
      : (["mallory", mallory] as const);
  let code: number;
  let said: string;
  inFlight.add(asked);
  try {
    const answer = await request(server.url + path, {
      dispatcher: agent,
      method: method as "GET",
      headers,
      ...(body === undefined ? {} : { body }),
    });
    said = await answer.body.text();
    code = answer.statusCode;
  } catch (error) {
    // The server may hang up on a request that it refuses unread; undici refuses to send some heads.
    counts.set(0, (counts.get(0) ?? 0) + 1);
    if (String(error).includes("ECONNREFUSED")) throw error;
    return;
  } finally {
    inFlight.delete(asked);
  }
  counts.set(code, (counts.get(code) ?? 0) + 1);
  if (code >= 500 && code !== 503 && code !== 504) {
    findings.set(said.slice(0, 200), { said, request: `${who}: ${described(asked)}` });
  }
  if (who !== "admin" && CANARIES.some((canary) => said.includes(canary))) {
    findings.set(`leak ${path}`, { said: `${who} saw ${said.slice(0, 300)}`, request: described(asked) });
  }
}

function heapInUse(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Requests that are under way, for whoever holds the loop too long. */
const inFlight = new Set<FuzzRequest>();
/** CPU time of one turn of the loop that no honest work takes. */
const MAX_TURN_MS = 5_000;

function watchTurns(findings: Map<string, Finding>): () => void {
  let before = process.cpuUsage();
  const timer = setInterval(() => {
    const { user } = process.cpuUsage(before);
    before = process.cpuUsage();
    if (user / 1000 < MAX_TURN_MS) return;
    const suspects = [...inFlight].filter((each) => each.body !== undefined).map(described);
    findings.set(`turn ${user}`, { said: `one turn took ${user / 1000} ms`, request: suspects.join("\n") });
  }, 100);
  return () => clearInterval(timer);
}

test(
  `${REQUESTS} requests from seed ${SEED} do no harm`,
  async () => {
    const findings = new Map<string, Finding>();
    const counts = new Map<number, number>();
    const before = heapInUse();
    const stopWatching = watchTurns(findings);
    const prototypes = [Object.prototype, Array.prototype, Function.prototype].map(
      (each) => Reflect.ownKeys(each).length,
    );
    let next = FROM;
    const worker = async (): Promise<void> => {
      while (next < FROM + REQUESTS) {
        // Each request has a seed of its own, so that one alone can be sent again.
        const values = new Values(createSeededRandom(SEED * 1_000_003 + next));
        if (next++ % RUBBISH_EVERY > 0) await send(values, findings, counts);
        else if (values.chance(0.5)) await sendRubbish(values, Number(new URL(server.url).port), malloryTls);
        else await sendGrpcRubbish(values, server.grpcAddress, malloryTls);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    stopWatching();
    console.log(
      `answers: ${[...counts]
        .toSorted(([a], [b]) => a - b)
        .map(([code, count]) => `${code}: ${count}`)
        .join(", ")}`,
    );
    expect([...findings.values()].slice(0, 20)).toEqual([]);
    expect([Object.prototype, Array.prototype, Function.prototype].map((each) => Reflect.ownKeys(each).length)).toEqual(
      prototypes,
    );
    expect(heapInUse() - before).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
    const ready = await request(`${server.url}/readyz`, { dispatcher: admin });
    expect(await ready.body.text()).toBe("ok");
  },
  120_000 + REQUESTS * 20,
);
