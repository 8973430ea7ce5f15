// Events are counted, aggregated and limited as upstream does, and recording never hurts its caller.
import { expect, test } from "vitest";
import { EVENTS, type Event } from "@coxswain/api";
import { newTooManyRequests, type KubeObject } from "@coxswain/apimachinery";
import { VirtualEnv } from "@coxswain/env";
import { createEventRecorder } from "../src/event-recorder.ts";
import type { BatchOperation, ResourceClient } from "../src/resource-client.ts";
import { createMemoryCluster, timeoutError } from "../src/memory/memory-cluster.ts";

const about: KubeObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "ns", uid: "u", resourceVersion: "7" },
};

function make() {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env });
  const recorder = createEventRecorder({ env, client: cluster.client(), component: "kubelet", host: "n1" });
  const events = (): Event[] => cluster.objects<Event>(EVENTS);
  return { env, cluster, recorder, events };
}

test("an event has upstream's shape", async () => {
  const { recorder, events } = make();
  recorder.event(about, "Normal", "Started", "Started container c");
  await recorder.flush();
  const [event] = events();
  expect(event?.metadata.name).toMatch(/^web\.[0-9a-f]{16}$/);
  expect(event).toMatchObject({
    involvedObject: { kind: "Pod", namespace: "ns", name: "web", uid: "u", apiVersion: "v1", resourceVersion: "7" },
    type: "Normal",
    reason: "Started",
    message: "Started container c",
    count: 1,
    source: { component: "kubelet", host: "n1" },
    reportingComponent: "kubelet",
    reportingInstance: "n1",
    firstTimestamp: "2026-01-01T00:00:00Z",
  });
});

test("the same event again raises the count, also within one turn", async () => {
  const { env, recorder, events } = make();
  recorder.event(about, "Warning", "BackOff", "again");
  recorder.event(about, "Warning", "BackOff", "again");
  await recorder.flush();
  await env.advance(5_000);
  recorder.event(about, "Warning", "BackOff", "again");
  await recorder.flush();
  expect(events()).toHaveLength(1);
  expect(events()[0]).toMatchObject({
    count: 3,
    firstTimestamp: "2026-01-01T00:00:00Z",
    lastTimestamp: "2026-01-01T00:00:05Z",
  });
});

test("similar events are combined from the tenth on", async () => {
  const { recorder, events } = make();
  for (let n = 1; n <= 12; n++) recorder.event(about, "Warning", "Failed", `attempt ${n}`);
  await recorder.flush();
  expect(events()).toHaveLength(10);
  expect(events().at(-1)).toMatchObject({ message: "(combined from similar events): attempt 12", count: 3 });
});

test("a source may say 25 things about an object, then one in five minutes, which counts what was held back", async () => {
  const { env, recorder, events } = make();
  for (let n = 0; n < 40; n++) recorder.event(about, "Normal", "R", "m");
  await recorder.flush();
  expect(events().map(({ count }) => count)).toEqual([25]);
  await env.advance(300_000);
  for (let n = 0; n < 3; n++) recorder.event(about, "Normal", "R", "m");
  await recorder.flush();
  expect(events().map(({ count }) => count)).toEqual([41]);
});

test("an event about a cluster-scoped object goes to the default namespace", async () => {
  const { recorder, events } = make();
  recorder.event({ apiVersion: "v1", kind: "Node", metadata: { name: "n1", uid: "n1" } }, "Normal", "Starting", "x");
  await recorder.flush();
  expect(events()[0]?.metadata.namespace).toBe("default");
});

test("time-outs are tried again, refusals dropped, an expired event is made anew", async () => {
  const { env, cluster, recorder, events } = make();
  cluster.inject({ verb: "create", resource: "events", error: timeoutError(), lands: true, times: 1 });
  recorder.event(about, "Normal", "A", "m");
  await env.advance(11_000);
  await recorder.flush();
  expect(events()).toHaveLength(1);
  const { namespace = "", name = "" } = events()[0]!.metadata;
  await cluster.client().delete(EVENTS, { namespace, name });
  recorder.event(about, "Normal", "A", "m");
  await env.advance(11_000);
  await recorder.flush();
  expect(events().map((event) => [event.metadata.name, event.count])).toEqual([[name, 2]]);
  cluster.inject({
    resource: "events",
    when: (call) => call.verb === "create",
    error: Object.assign(timeoutError(), { reason: "Forbidden" }),
  });
  recorder.event(about, "Normal", "B", "m");
  await recorder.flush();
  expect(events()).toHaveLength(1);
});

test("what a busy server refuses is tried again soon", async () => {
  const { env, cluster, recorder, events } = make();
  cluster.inject({ verb: "create", resource: "events", error: newTooManyRequests("too busy", 1), times: 2 });
  recorder.event(about, "Normal", "A", "m");
  await env.advance(2_000);
  await recorder.flush();
  expect(events()).toHaveLength(1);
});

test("what happens again while the first is on its way, or may have landed, is counted", async () => {
  const { env, cluster, recorder, events } = make();
  cluster.inject({ verb: "create", resource: "events", error: timeoutError(), lands: true, times: 1 });
  recorder.event(about, "Normal", "A", "m");
  await Promise.resolve();
  recorder.event(about, "Normal", "A", "m");
  await env.advance(11_000);
  await recorder.flush();
  expect(events().map(({ count }) => count)).toEqual([2]);
});

/** Whose creation it is, by uid. */
const subjectOf = (operation: BatchOperation): string | undefined =>
  operation.op === "create" ? (operation.object as KubeObject & Event).involvedObject.uid : undefined;

/** A server that takes 100 ms for a batch, whatever is in it. */
function slow(options: { maxQueued?: number } = {}) {
  const env = new VirtualEnv({ seed: 1 });
  const batches: { atMs: number; operations: readonly BatchOperation[] }[] = [];
  const startMs = env.clock.monotonic();
  const client = {
    async batch(operations: readonly BatchOperation[]) {
      batches.push({ atMs: env.clock.monotonic() - startMs, operations });
      await env.timers.sleep(100);
      return operations.map((operation) => ({ ok: true, object: operation }));
    },
  } as unknown as ResourceClient;
  const recorder = createEventRecorder({ env, client, component: "kubelet", ...options });
  const tell = (count: number, reason = "R"): void => {
    for (let n = 0; n < count; n++) {
      recorder.event({ ...about, metadata: { ...about.metadata, uid: `u${n}` } }, "Normal", reason, "m");
    }
  };
  return { env, batches, recorder, tell };
}

test("events leave the server to others for three times as long as a batch took", async () => {
  const { env, batches, tell } = slow();
  tell(150);
  await env.advance(2_000);
  expect(batches.map(({ atMs }) => atMs)).toEqual([0, 400, 800]);
  expect(batches.map(({ operations }) => operations.length)).toEqual([64, 64, 22]);
});

test("warnings wait for no others", async () => {
  const { env, batches, recorder, tell } = slow();
  tell(200);
  await env.advance(10);
  recorder.event(about, "Warning", "FailedMount", "no such volume");
  await env.advance(2_000);
  expect(batches.map(({ operations }) => operations.length)).toEqual([64, 64, 64, 9]);
  expect(batches[1]?.operations[0]).toMatchObject({ object: { reason: "FailedMount" } });
});

test("what happens again before it was written is written once", async () => {
  const { env, batches, tell } = slow();
  tell(64);
  await env.advance(10);
  for (let n = 0; n < 3; n++) tell(1, "Again");
  await env.advance(2_000);
  expect(batches[1]?.operations).toMatchObject([{ op: "create", object: { reason: "Again", count: 3 } }]);
});

test("a flush waits for no pause, and for no more than a thousand events", async () => {
  const { env, batches, recorder, tell } = slow();
  tell(5_000);
  await env.advance(150);
  const flushed = recorder.flush();
  await env.advance(100 * Math.ceil(1_000 / 64));
  await flushed;
  expect(batches.map(({ operations }) => operations.length)).toEqual([64, ...Array<number>(15).fill(64), 40]);
});

test("what waits is bounded, and those are dropped that come last", async () => {
  const { env, batches, tell } = slow({ maxQueued: 100 });
  tell(150);
  await env.advance(2_000);
  expect(batches.flatMap(({ operations }) => operations.map(subjectOf))).toEqual(
    Array.from({ length: 100 }, (_, n) => `u${n}`),
  );
});
