// What a kubelet makes of the answers to its reports.
import type { Node } from "@coxswain/api";
import { newServiceUnavailable, StatusError, type KubeObject } from "@coxswain/apimachinery";
import type { BatchOperation, BatchOutcome, ResourceClient } from "@coxswain/client";
import { silentLogger, type Logger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { NodeReporter } from "../src/node/node-reporter.ts";
import { planNode, type NodeFacts } from "../src/node/plan-node.ts";

const FACTS: NodeFacts = {
  name: "node-1",
  advertiseAddress: "127.0.0.1",
  httpsPort: 10_250,
  grpcPort: 10_260,
  containerRuntimeVersion: "simulated://0.1.0",
  capacity: { cpu: "4" },
  osImage: "test",
  machineId: "m",
  bootId: "b",
  arch: "amd64",
  kernelVersion: "6.1",
};

test("an answer that comes late does not hide what others made of the node meanwhile", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const node = (resourceVersion: string, ready = "True"): Node => {
    const made = planNode(FACTS, env.clock.now());
    made.metadata = { ...made.metadata, resourceVersion };
    made.status!.conditions = made.status!.conditions!.map((one) =>
      one.type === "Ready" ? { ...one, status: ready } : one,
    );
    return made;
  };
  const reports: ((answer: Node) => void)[] = [];
  const batch = (operations: readonly BatchOperation[]): Promise<BatchOutcome<KubeObject>[]> => {
    const [first] = operations;
    if (first?.op === "create") return Promise.resolve([{ ok: true, object: node("1000") }]);
    if (first?.ref.resource === "leases") return Promise.resolve([{ ok: true, object: {} }]);
    return new Promise((resolve) => {
      reports.push((object) => resolve([{ ok: true, object }]));
    });
  };
  const client = { batch } as unknown as ResourceClient;
  const reporter = new NodeReporter({ env, client, logger: silentLogger, onAccepted: () => undefined }, [FACTS]);
  const stop = new AbortController();
  const running = reporter.run(stop.signal);
  await env.advance(1_000);
  reporter.observe(node("2000", "False"));
  await env.advance(2_000);
  expect(reports).toHaveLength(1);
  // While its answer is on its way the node counts as lost.
  reporter.observe(node("4000", "Unknown"));
  reports[0]!(node("3000"));
  await env.advance(3_000);
  expect(reports).toHaveLength(2);
  reports[1]!(node("5000"));
  await env.advance(30_000);
  expect(reports).toHaveLength(2);
  stop.abort();
  await env.advance(1_000);
  await running;
});

test("a node that cannot be registered is tried soon, then less often, and at once when the server answers", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const tries: number[] = [];
  let serves = false;
  const batch = async (): Promise<BatchOutcome<KubeObject>[]> => {
    tries.push(env.elapsedMs);
    if (serves) return [{ ok: true, object: planNode(FACTS, env.clock.now()) }];
    throw newServiceUnavailable("no server");
  };
  const client = { batch } as unknown as ResourceClient;
  const reporter = new NodeReporter({ env, client, logger: silentLogger, onAccepted: () => undefined }, [FACTS]);
  const stop = new AbortController();
  const running = reporter.run(stop.signal);
  await env.advance(60_000);
  const gaps = tries.slice(1).map((at, index) => at - tries[index]!);
  // Each pause is half to one and a half of its length.
  for (const [index, gap] of gaps.entries()) {
    const lengthMs = Math.min(100 * 2 ** index, 7_000);
    expect(gap).toBeGreaterThanOrEqual(lengthMs / 2);
    expect(gap).toBeLessThanOrEqual(lengthMs * 1.5 + 1);
  }
  expect(gaps.length).toBeGreaterThan(8);
  expect(reporter.registered).toBe(false);
  serves = true;
  reporter.serverAnswers();
  await env.advance(1);
  expect(reporter.registered).toBe(true);
  stop.abort();
  await env.advance(1_000);
  await running;
});

test("a pack whose server takes nothing tells of it once, and spreads its heartbeats again afterwards", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const nodes = Array.from({ length: 1_000 }, (_, at): NodeFacts => ({ ...FACTS, name: `node-${at}` }));
  const lines: string[] = [];
  const write = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { warn: write, info: write } as unknown as Logger;
  let serves = true;
  const renewals: number[] = [];
  const batch = async (operations: readonly BatchOperation[]): Promise<BatchOutcome<KubeObject>[]> => {
    if (!serves) {
      await env.timers.sleep(10_000);
      return operations.map(() => ({ ok: false, error: newServiceUnavailable("no api-server could be reached") }));
    }
    return operations.map((operation): BatchOutcome<KubeObject> => {
      if (operation.ref.resource === "leases") renewals.push(env.elapsedMs);
      const at = Number(operation.op === "patch" ? operation.target.name.slice("node-".length) : 0);
      return { ok: true, object: planNode(nodes[at]!, env.clock.now()) };
    });
  };
  const client = { batch } as unknown as ResourceClient;
  const reporter = new NodeReporter({ env, client, logger, onAccepted: () => undefined }, nodes);
  const stop = new AbortController();
  const running = reporter.run(stop.signal);
  await env.advance(20_000);
  expect(lines).toEqual([]);
  serves = false;
  await env.advance(60_000);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("the api-server takes no leases of nodes now, trying again");
  serves = true;
  await env.advance(20_000);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain("the api-server takes leases of nodes again");
  renewals.length = 0;
  await env.advance(20_000);
  // Twice 1,000 in 20 s: in no second much more than its share of 100.
  const seconds = Map.groupBy(renewals, (ms) => Math.floor(ms / 1_000));
  expect(Math.max(...seconds.values().map(({ length }) => length))).toBeLessThan(160);
  stop.abort();
  await env.advance(20_000);
  await running;
});

test("a lease that a try made whose answer was lost is renewed, and is no news", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const lines: string[] = [];
  const write = (_fields: object, message: string): void => void lines.push(message);
  const logger = { warn: write, info: write } as unknown as Logger;
  const seen: string[] = [];
  const batch = async (operations: readonly BatchOperation[]): Promise<BatchOutcome<KubeObject>[]> =>
    operations.map(({ op, ref }): BatchOutcome<KubeObject> => {
      if (ref.resource !== "leases") return { ok: true, object: planNode(FACTS, env.clock.now()) };
      seen.push(op);
      if (op === "create") return { ok: false, error: new StatusError("AlreadyExists", 409, "it already exists") };
      const exists = seen.includes("create");
      return exists ? { ok: true, object: {} } : { ok: false, error: new StatusError("NotFound", 404, "not found") };
    });
  const client = { batch } as unknown as ResourceClient;
  const reporter = new NodeReporter({ env, client, logger, onAccepted: () => undefined }, [FACTS]);
  const stop = new AbortController();
  const running = reporter.run(stop.signal);
  await env.advance(5_000);
  expect(seen).toEqual(["patch", "create", "patch"]);
  expect(lines).toEqual([]);
  stop.abort();
  await env.advance(1_000);
  await running;
});
