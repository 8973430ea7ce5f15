// Priority and fairness: the laws of the queues, the arithmetic of limits, which flow a request is of, and a server that is full.
import { MANDATORY_LEVELS, MANDATORY_SCHEMAS } from "@coxswain/api";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FlowSchema, PriorityLevelConfiguration } from "@coxswain/api";
import { CONFIG_MAPS } from "@coxswain/api";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { noMetrics, silentLogger, type UserInfo } from "@coxswain/component-base";
import { issueCertificate } from "@coxswain/component-base/identity/certificates";
import { createMetrics } from "@coxswain/component-base/metrics";
import { VirtualEnv } from "@coxswain/env";
import { waitFor } from "@coxswain/testkit";
import * as fc from "fast-check";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuthorizationAttributes } from "../src/pipeline/contract.ts";
import type { ObjectSource } from "../src/pipeline/extension.ts";
import * as defaults from "../src/flow-control/bootstrap-objects.ts";
import { distinguisherOf, inOrder, schemaMatches } from "../src/flow-control/classify.ts";
import { FlowControl } from "../src/flow-control/flow-control.ts";
import { planDangling, planObject } from "../src/flow-control/maintain-objects.ts";
import { planCurrentLimits, planNominalLimits, smoothDemand } from "../src/flow-control/plan-limits.ts";
import { QueueSet, type Ticket } from "../src/flow-control/queue-set.ts";
import { requestWidth } from "../src/flow-control/request-width.ts";
import { FLOW_SCHEMAS, PRIORITY_LEVELS } from "../src/flow-control/resources.ts";
import { dealHand } from "../src/flow-control/shuffle-sharding.ts";
import { TooBusyError } from "../src/flow-control/too-busy.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

describe("the queues", () => {
  type Step =
    | { readonly do: "arrive"; readonly flow: number; readonly width: number }
    | { readonly do: "finish" | "cancel"; readonly pick: number }
    | { readonly do: "limit"; readonly limit: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("arrive" as const),
        flow: fc.nat(7),
        width: fc.integer({ min: 1, max: 4 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("finish" as const), pick: fc.nat(99) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), pick: fc.nat(99) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("limit" as const), limit: fc.integer({ min: 1, max: 9 }) }) },
  );

  test("keep their laws under any history", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(500), step), { maxLength: 120 }),
        fc.integer({ min: 1, max: 9 }),
        (steps, limit) => {
          let now = 0;
          const order: Ticket[] = [];
          const set = new QueueSet({ queues: 4, queueLengthLimit: 5, limit, exempt: false }, 0, (ticket) =>
            order.push(ticket),
          );
          const tickets: Ticket[] = [];
          for (const [passed, action] of steps) {
            now += passed;
            const executing = tickets.filter(({ state }) => state === "executing");
            const waiting = tickets.filter(({ state }) => state === "waiting");
            if (action.do === "arrive") {
              const arrival = set.arrive(now, dealHand("s", String(action.flow), 4, 2), action.width);
              if (arrival.ticket !== undefined) tickets.push(arrival.ticket);
              else expect(waiting.length).toBeGreaterThanOrEqual(5);
            } else if (action.do === "limit") set.setLimit(now, action.limit);
            else if (action.do === "finish" && executing.length > 0)
              set.finish(now, executing[action.pick % executing.length]!);
            else if (action.do === "cancel" && waiting.length > 0) {
              expect(set.cancel(now, waiting[action.pick % waiting.length]!)).toBe(true);
            }
            checkLaws(set, tickets);
          }
          // In a queue nobody overtakes.
          for (const queue of [0, 1, 2, 3]) {
            const arrived = order.filter((ticket) => ticket.queue === queue).map((ticket) => tickets.indexOf(ticket));
            expect(arrived).toEqual(arrived.toSorted((a, b) => a - b));
          }
          for (const ticket of tickets) if (ticket.state === "waiting") set.cancel(now, ticket);
          for (const ticket of tickets) if (ticket.state === "executing") set.finish(now, ticket);
          expect([set.seatsInUse, set.waitingCount, set.waitingSeats, set.executingCount, set.activeQueues]).toEqual([
            0, 0, 0, 0, 0,
          ]);
        },
      ),
      { numRuns: 300 },
    );
  });

  function checkLaws(set: QueueSet, tickets: readonly Ticket[]): void {
    const sum = (state: string): number =>
      tickets.filter((one) => one.state === state).reduce((all, { width }) => all + width, 0);
    expect(set.seatsInUse).toBe(sum("executing"));
    expect(set.waitingSeats).toBe(sum("waiting"));
    const heads = set.queues().flatMap(({ waiting }) => waiting.slice(0, 1));
    // Somebody waits: then not all of the heads fit.
    if (heads.length > 0) {
      expect(set.seatsInUse).toBeGreaterThan(0);
      expect(heads.some(({ width }) => set.seatsInUse + width > set.limit)).toBe(true);
    }
  }

  test("give flows equal shares, however many requests they send", () => {
    const done = [0, 0];
    let now = 0;
    const set = new QueueSet({ queues: 2, queueLengthLimit: 1000, limit: 4, exempt: false }, 0, () => {});
    const running: Ticket[][] = [[], []];
    const all: Ticket[][] = [[], []];
    // The first flow sends ten times as much.
    for (const [flow, count] of [
      [0, 500],
      [1, 50],
    ] as const) {
      for (let at = 0; at < count; at++) all[flow]!.push(set.arrive(now, [flow], 1).ticket!);
    }
    while (done[1]! < 50) {
      now += 100;
      for (const flow of [0, 1]) running[flow] = all[flow]!.filter(({ state }) => state === "executing");
      for (const flow of [0, 1]) {
        for (const ticket of running[flow]!) {
          set.finish(now, ticket);
          done[flow]!++;
        }
      }
    }
    expect(Math.abs(done[0]! - done[1]!)).toBeLessThanOrEqual(6);
  });

  test("refuse where there are none and no seat is free", () => {
    const set = new QueueSet({ queues: 0, queueLengthLimit: 0, limit: 2, exempt: false }, 0, () => {});
    expect(set.arrive(0, [], 1).ticket?.state).toBe("executing");
    expect(set.arrive(0, [], 1).ticket?.state).toBe("executing");
    expect(set.arrive(0, [], 1).refused).toBe("concurrency-limit");
  });
});

test("a hand has different queues, is the same each time, and rarely another flow's", () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 128 }), fc.integer({ min: 1, max: 8 }), (flow, queues, size) => {
      const hand = dealHand("s", flow, queues, size);
      expect(new Set(hand).size).toBe(Math.min(size, queues));
      expect(hand.every((queue) => queue >= 0 && queue < queues)).toBe(true);
      expect(dealHand("s", flow, queues, size)).toEqual(hand);
    }),
  );
  const hands = Array.from({ length: 300 }, (_, at) => new Set(dealHand("s", `user-${at}`, 128, 6)));
  const swallowed = hands.slice(1).filter((hand) => [...hand].every((queue) => hands[0]!.has(queue)));
  expect(swallowed).toEqual([]);
});

describe("limits", () => {
  const levels = [...MANDATORY_LEVELS, ...defaults.SUGGESTED_PRIORITY_LEVELS];

  test("are shares of the server's seats", () => {
    const limits = planNominalLimits(levels, 600);
    expect(limits.get("exempt")).toEqual({ nominal: 0, lower: 0, upper: 600 });
    expect(limits.get("workload-low")).toEqual({ nominal: 245, lower: 24, upper: 600 });
    expect(limits.get("catch-all")).toEqual({ nominal: 13, lower: 13, upper: 600 });
  });

  test("move to where they are wanted, within their bounds", () => {
    const level = fc.record({
      nominal: fc.integer({ min: 1, max: 100 }),
      lendable: fc.integer({ min: 0, max: 100 }),
      high: fc.nat(300),
      smooth: fc.nat(300),
    });
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 8 }), (made) => {
        const server = made.reduce((sum, { nominal }) => sum + nominal, 0);
        const demands = made.map(({ nominal, lendable, high, smooth }, at) => {
          const lower = nominal - Math.round((nominal * lendable) / 100);
          return { name: String(at), nominal, lower, upper: server, high, smooth };
        });
        const limits = planCurrentLimits(demands, server);
        for (const { name, nominal, lower, high } of demands) {
          expect(limits.get(name)!).toBeGreaterThanOrEqual(Math.max(1, Math.max(lower, Math.min(nominal, high)) - 1));
        }
        const sum = [...limits.values()].reduce((all, one) => all + one, 0);
        expect(sum).toBeLessThanOrEqual(server + 2 * made.length);
      }),
    );
    const idle = { nominal: 50, lower: 10, upper: 100, high: 0, smooth: 0 };
    const busy = { nominal: 50, lower: 50, upper: 100, high: 500, smooth: 500 };
    const limits = planCurrentLimits(
      [
        { name: "idle", ...idle },
        { name: "busy", ...busy },
      ],
      100,
    );
    expect([limits.get("idle"), limits.get("busy")]).toEqual([10, 90]);
  });

  test("demand is believed at once when it rises, and slowly when it falls", () => {
    expect(smoothDemand(0, { high: 9, average: 5, deviation: 2 })).toBe(7);
    expect(smoothDemand(100, { high: 0, average: 0, deviation: 0 })).toBeCloseTo(97.7);
  });
});

test.each([
  [{ verb: "get", name: "a", options: {} }, 1],
  [{ verb: "list", name: "", options: {} }, 7],
  [{ verb: "list", name: "", options: { limit: "150" } }, 2],
  [{ verb: "list", name: "", options: { fieldSelector: "metadata.name=a" } }, 1],
  [{ verb: "watch", name: "", options: {} }, 7],
  [{ verb: "watch", name: "", options: { resourceVersion: "5" } }, 1],
  [{ verb: "watch", name: "", options: { resourceVersion: "5", sendInitialEvents: "true" } }, 7],
  [{ verb: "deletecollection", name: "", options: {} }, 7],
] as const)("%o among 640 objects takes %i seats", (input, width) => {
  expect(requestWidth(input, () => 640, 10)).toBe(width);
  expect(requestWidth(input, () => 640, 4)).toBe(Math.min(4, width));
});

const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
const user = (username: string, ...groups: string[]): UserInfo => ({
  username,
  groups: [...groups, "system:authenticated"],
});

test.each([
  [user("admin", "system:masters"), { verb: "get", resource: "pods" }, "exempt", ""],
  [user("jane"), { verb: "get", path: "/readyz" }, "probes", ""],
  [user("jane"), { verb: "get", path: "/metrics" }, "global-default", "jane"],
  [
    user("system:kube-scheduler"),
    { verb: "update", group: "coordination.k8s.io", resource: "leases", namespace: "a" },
    "system-leader-election",
    "system:kube-scheduler",
  ],
  [user("system:kube-scheduler"), { verb: "list", resource: "pods" }, "kube-scheduler", ""],
  [
    user("system:node:n", "system:nodes"),
    { verb: "patch", resource: "nodes", subresource: "status", name: "n" },
    "system-node-high",
    "system:node:n",
  ],
  [user("system:node:n", "system:nodes"), { verb: "list", resource: "pods" }, "system-nodes", "system:node:n"],
  [
    user("system:serviceaccount:kube-system:x", "system:serviceaccounts"),
    { verb: "list", resource: "pods", namespace: "a" },
    "kube-system-service-accounts",
    "a",
  ],
  [
    user("system:serviceaccount:shop:x", "system:serviceaccounts"),
    { verb: "list", resource: "pods" },
    "service-accounts",
    "system:serviceaccount:shop:x",
  ],
  [user("jane"), { verb: "list", resource: "pods" }, "global-default", "jane"],
] as const)("%o doing %o is of %s", (who, what, expected, flow) => {
  const attributes: AuthorizationAttributes = { ...nothing, user: who, ...what };
  const schemas = inOrder([...defaults.SUGGESTED_SCHEMAS, ...MANDATORY_SCHEMAS]);
  const found = schemas.find((schema) => schemaMatches(schema, attributes))!;
  expect([found.metadata?.name, distinguisherOf(found, attributes)]).toEqual([expected, flow]);
});

test("objects are made, brought up to date or left alone, and tell whether their level is there", () => {
  const [exempt] = MANDATORY_SCHEMAS;
  const [probes] = defaults.SUGGESTED_SCHEMAS;
  const changed = (object: FlowSchema, annotation: string): FlowSchema => ({
    ...object,
    metadata: { ...object.metadata, annotations: { [defaults.AUTO_UPDATE]: annotation } },
    spec: { ...object.spec!, matchingPrecedence: 7 },
  });
  expect(planObject(undefined, probes!, false)).toMatchObject({
    create: { metadata: { annotations: { [defaults.AUTO_UPDATE]: "true" } } },
  });
  expect(planObject(changed(probes!, "true"), probes!, false)).toMatchObject({
    update: { spec: { matchingPrecedence: 2 } },
  });
  expect(planObject(changed(probes!, "false"), probes!, false)).toBeUndefined();
  expect(planObject(changed(exempt!, "false"), exempt!, true)).toMatchObject({
    update: { spec: { matchingPrecedence: 1 } },
  });
  expect(planDangling(probes!, false, 0)).toMatchObject({
    conditions: [
      {
        type: "Dangling",
        status: "True",
        reason: "NotFound",
        message:
          'This FlowSchema references the PriorityLevelConfiguration object named "exempt" but there is no such object',
      },
    ],
  });
  expect(planDangling({ ...probes!, status: planDangling(probes!, true, 0)! }, true, 5)).toBeUndefined();
});

function tinyLevel(limited: object): PriorityLevelConfiguration {
  return {
    metadata: { name: "tiny", uid: "l-1" },
    spec: {
      type: "Limited",
      limited: { nominalConcurrencyShares: 1, lendablePercent: 0, borrowingLimitPercent: 0, ...limited },
    },
  };
}

const QUEUED = { limitResponse: { type: "Queue", queuing: { queues: 1, handSize: 1, queueLengthLimit: 1 } } };

function toTiny(): FlowSchema {
  return {
    metadata: { name: "to-tiny", uid: "s-1" },
    spec: {
      matchingPrecedence: 10,
      priorityLevelConfiguration: { name: "tiny" },
      distinguisherMethod: { type: "ByUser" },
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "jane" } }],
          resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true }],
        },
      ],
    },
  };
}

describe("flow control", () => {
  const get: AuthorizationAttributes = { ...nothing, user: user("jane"), verb: "get", resource: "pods" };

  function setUp(level: PriorityLevelConfiguration) {
    const env = new VirtualEnv({ seed: 1 });
    const objects: Record<string, object[]> = {
      [FLOW_SCHEMAS.resource]: [toTiny()],
      [PRIORITY_LEVELS.resource]: [level],
    };
    const list = (ref: { resource: string }) => (objects[ref.resource] ?? []).map((object) => ({ object }));
    const source = { list, get: () => undefined, onChange: () => () => {} } as unknown as ObjectSource;
    const flow = new FlowControl({ env, metrics: noMetrics, source, serverLimit: 1 });
    const admit = (signal = new AbortController().signal) => flow.admit(get, () => 1, { signal });
    return { env, flow, admit };
  }

  test("lets in at once, then after a wait, then not at all", async () => {
    const { flow, admit } = setUp(tinyLevel(QUEUED));
    const first = admit();
    expect(first).toMatchObject({ schemaUid: "s-1", levelUid: "l-1" });
    const second = admit();
    expect(second).toBeInstanceOf(Promise);
    expect(() => admit()).toThrow(TooBusyError);
    (first as { release(): void }).release();
    (first as { release(): void }).release();
    const seat = await second;
    seat.release();
    const tiny = flow.levels().find(({ name }) => name === "tiny")!;
    expect([tiny.queues.executingCount, tiny.counts]).toEqual([
      0,
      { dispatched: 2, rejected: 1, timedOut: 0, cancelled: 0 },
    ]);
  });

  test("ends a wait that takes too long, and one whose client has gone", async () => {
    const { env, admit } = setUp(tinyLevel(QUEUED));
    const first = admit() as { release(): void };
    const late = (admit() as Promise<unknown>).catch((error: unknown) => error);
    await env.advance(15_001);
    expect(await late).toBeInstanceOf(TooBusyError);
    const controller = new AbortController();
    const gone = (admit(controller.signal) as Promise<unknown>).catch((error: unknown) => error);
    controller.abort();
    expect(await gone).toMatchObject({ name: "AbortError" });
    first.release();
    expect(admit()).not.toBeInstanceOf(Promise);
  });

  test("takes a cluster that begins for what it will be", () => {
    const { flow } = setUp(tinyLevel(QUEUED));
    const scheduler = { ...get, user: user("system:kube-scheduler") };
    expect(flow.admit(scheduler, () => 1, new AbortController())).not.toBeInstanceOf(Promise);
    const busy = flow.levels().filter(({ queues }) => queues.executingCount > 0);
    expect(busy.map(({ name }) => name)).toEqual(["workload-high"]);
  });

  test("of a level that does not queue refuses at once", () => {
    const { admit } = setUp(tinyLevel({ limitResponse: { type: "Reject" } }));
    expect(admit()).not.toBeInstanceOf(Promise);
    expect(() => admit()).toThrow("Too many requests, please try again later.");
  });
});

describe("an api-server", () => {
  const metrics = createMetrics();
  let server: TestServer;
  let admin: Agent;
  let jane: Agent;
  let janeTls: { ca: Buffer; cert: Buffer; key: Buffer };
  /** Creates of jane's end when it is called. */
  let letGo = (): void => {};

  beforeAll(async () => {
    server = await startTestServer(["ServiceAccount"], { maxInFlight: 20, metrics, metricsText: () => metrics.text() });
    const pem = (file: string): string => readFileSync(join(server.dir, file), "utf8");
    const ca = { certPem: pem("ca.crt"), keyPem: pem("ca.key") };
    const issued = await issueCertificate(ca, { commonName: "jane", usages: ["client"], days: 1 }, server.env);
    janeTls = { ca: Buffer.from(ca.certPem), cert: Buffer.from(issued.certPem), key: Buffer.from(issued.keyPem) };
    admin = new Agent({ connect: server.tls("admin") });
    jane = new Agent({ connect: janeTls });
    const client = server.component.server.loopback;
    await waitFor(server.env, "flow schemas", async () => (await client.list(FLOW_SCHEMAS)).items.length >= 13);
    await client.create(PRIORITY_LEVELS, { ...tinyLevel(QUEUED), metadata: { name: "tiny" } } as never);
    await client.create(FLOW_SCHEMAS, { ...toTiny(), metadata: { name: "to-tiny" } } as never);
    const binding = {
      metadata: { name: "jane" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "jane" }],
    };
    await client.create(
      { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings" },
      binding as never,
    );
  });

  afterAll(async () => {
    letGo();
    await Promise.all([admin.destroy(), jane.destroy()]);
    await server.close();
  });

  async function get(
    path: string,
    agent: Agent,
  ): Promise<{ code: number; text: string; headers: Record<string, unknown> }> {
    const answer = await request(server.url + path, { dispatcher: agent });
    return { code: answer.statusCode, text: await answer.body.text(), headers: answer.headers };
  }

  test("has the objects that every cluster has, and says of each schema whether its level is there", async () => {
    const client = server.component.server.loopback;
    await waitFor(server.env, "statuses", async () => {
      const { items } = await client.list<FlowSchema>(FLOW_SCHEMAS);
      return items.every(({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === "Dangling" && is === "False"),
      );
    });
    const levels = await client.list(PRIORITY_LEVELS);
    expect(levels.items.map(({ metadata }) => metadata?.name)).toEqual([
      "catch-all",
      "exempt",
      "global-default",
      "leader-election",
      "node-high",
      "system",
      "tiny",
      "workload-high",
      "workload-low",
    ]);
  });

  test("tells in headers which objects decided", async () => {
    const { headers } = await get("/api/v1/namespaces/default", jane);
    const client = server.component.server.loopback;
    const schema = await client.get(FLOW_SCHEMAS, { name: "to-tiny" });
    const level = await client.get(PRIORITY_LEVELS, { name: "tiny" });
    expect(headers["x-kubernetes-pf-flowschema-uid"]).toBe(schema.metadata?.uid);
    expect(headers["x-kubernetes-pf-prioritylevel-uid"]).toBe(level.metadata?.uid);
  });

  test("queues one, refuses the next, by REST and gRPC alike, and lets the administrator in", async () => {
    const dump = async (name: string): Promise<string> =>
      (await get(`/debug/api_priority_and_fairness/${name}`, admin)).text;
    const shows = (line: RegExp): Promise<unknown> =>
      waitFor(server.env, String(line), async () => line.test(await dump("dump_priority_levels")));
    const busy = holdSeat();
    await shows(/tiny, +1, +false, +false, +0, +1,/);
    const waiting = get("/api/v1/namespaces/default", jane);
    await shows(/tiny, +1, +false, +false, +1, +1,/);
    const refused = await get("/api/v1/namespaces/default", jane);
    expect(refused).toMatchObject({
      code: 429,
      text: "Too many requests, please try again later.\n",
      headers: { "retry-after": "1", "content-type": "text/plain; charset=utf-8" },
    });
    const grpc = createGrpcResourceClient({
      env: server.env,
      logger: silentLogger,
      addresses: [server.grpcAddress],
      tls: janeTls,
    });
    await expect(grpc.get(CONFIG_MAPS, { namespace: "default", name: "x" })).rejects.toMatchObject({
      reason: "TooManyRequests",
    });
    await grpc.close();
    expect(await get("/api/v1/namespaces/default", admin)).toMatchObject({ code: 200 });
    expect(await dump("dump_requests?includeRequestDetails=1")).toMatch(/tiny, +to-tiny, +0, +0, +jane, .*jane, +get/);
    expect(await dump("dump_queues")).toMatch(/tiny, +0, +1, +1, +1,/);
    const text = (await get("/metrics", admin)).text;
    expect(text).toMatch(
      /apiserver_flowcontrol_rejected_requests_total\{flow_schema="to-tiny",priority_level="tiny",reason="queue-full"\} 2/,
    );
    expect(text).toMatch(/apiserver_flowcontrol_current_inqueue_requests\{priority_level="tiny"\} 1/);
    busy.end();
    expect(await waiting).toMatchObject({ code: 200 });
    await busy.done;
  });

  test("a watch gives its seat back once it has begun", async () => {
    const controller = new AbortController();
    const watch = await request(`${server.url}/api/v1/namespaces?watch=1&resourceVersion=0`, {
      dispatcher: jane,
      signal: controller.signal,
    });
    expect(watch.statusCode).toBe(200);
    expect(await get("/api/v1/namespaces/default", jane)).toMatchObject({ code: 200 });
    controller.abort();
    await watch.body.dump().catch(() => {});
  });

  /** A create of jane's whose body does not end, and so holds its seat. */
  function holdSeat(): { end(): void; done: Promise<unknown> } {
    const body = new ReadableStream({
      start(stream) {
        stream.enqueue(Buffer.from('{"metadata":{"name":"held"},'));
        letGo = () => {
          stream.enqueue(Buffer.from('"data":{}}'));
          stream.close();
          letGo = () => {};
        };
      },
    });
    const done = request(`${server.url}/api/v1/namespaces/default/configmaps`, {
      dispatcher: jane,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body as never,
    }).then((answer) => answer.body.text());
    return { end: () => letGo(), done };
  }
});
