// The queue: order, backoff, what events move, and that no event is lost while a pod is in flight.
import type { Node, Pod } from "@coxswain/api";
import { VirtualEnv } from "@coxswain/env";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createQueue } from "../src/event-handlers.ts";
import type { Plugin, Profile, QueueOrder } from "../src/framework/contract.ts";
import { Framework } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { makePodInfo, type PodInfo } from "../src/pod-info.ts";
import { SchedulingQueue } from "../src/queue/scheduling-queue.ts";
import { nodeUpdateEvent, type ClusterEvent, type EventRegistration } from "../src/queue/cluster-event.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { EventLog } from "../src/queue/event-log.ts";
import { KeyedHeap } from "../src/queue/heap.ts";

function pod(name: string, priority = 0, spec: Partial<NonNullable<Pod["spec"]>> = {}): PodInfo {
  return makePodInfo({
    metadata: { name, namespace: "default", uid: name },
    spec: {
      schedulerName: "default-scheduler",
      priority,
      containers: [{ name: "c", resources: { requests: { cpu: "1" } } }],
      ...spec,
    },
  });
}

function node(cpu: string, taints: NonNullable<Node["spec"]>["taints"] = []): Node {
  return { metadata: { name: "n" }, spec: { taints }, status: { allocatable: { cpu, pods: "10" } } };
}

function setup() {
  const env = new VirtualEnv({ seed: 1 });
  const frameworks = new Map([["default-scheduler", new Framework(DEFAULT_PROFILES[0]!)]]);
  return { env, queue: createQueue(env, frameworks, new ClusterSnapshot()) };
}

const added = (one: Node): ClusterEvent => ({ resource: "Node", actions: new Set(["Add"]), node: one });
const FIT = new Set(["NodeResourcesFit"]);

describe("scheduling queue", () => {
  test("higher priority first, then who came first", async () => {
    const { env, queue } = setup();
    queue.add(pod("a"));
    await env.advance(5);
    queue.add(pod("b"));
    queue.add(pod("c", 10));
    expect([queue.pop(), queue.pop(), queue.pop()].map((one) => one?.info.name)).toEqual(["c", "a", "b"]);
    expect(queue.pop()).toBeUndefined();
  });

  test("backoff doubles from 1 s to 10 s", async () => {
    const { env, queue } = setup();
    queue.add(pod("a"));
    const waits: number[] = [];
    for (let attempt = 0; attempt < 6; attempt++) {
      expect(queue.pop()).toBeDefined();
      queue.returnFailed("default/a");
      waits.push(queue.nextFlushMs()! - env.clock.now());
      await env.advance(waits.at(-1)! - 1);
      expect(queue.pop()).toBeUndefined();
      await env.advance(1);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  test("an event brings back only the pods that it may help", async () => {
    const { env, queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    queue.returnUnschedulable("default/a", FIT);
    await env.advance(2000);
    expect(queue.moveOn(added(node("500m")))).toBe(0);
    expect(queue.moveOn(nodeUpdateEvent(node("1"), node("1", [{ key: "k", effect: "NoSchedule" }]))!)).toBe(0);
    expect(nodeUpdateEvent(node("1"), node("1"))).toBeUndefined();
    expect(queue.get("default/a")?.queue).toBe("unschedulable");
    expect(queue.moveOn(nodeUpdateEvent(node("500m"), node("2"))!)).toBe(1);
    expect(queue.get("default/a")?.queue).toBe("active");
  });

  test("an event while the pod is in flight counts when it returns", () => {
    const { queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    queue.moveOn(added(node("4")));
    queue.returnUnschedulable("default/a", FIT);
    expect(queue.get("default/a")?.queue).toBe("backoff");
  });

  test("unschedulable pods are tried again after five minutes", async () => {
    const { env, queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    queue.returnUnschedulable("default/a", FIT);
    await env.advance(299_000);
    expect(queue.pop()).toBeUndefined();
    await env.advance(1000);
    expect(queue.pop()?.attempts).toBe(2);
  });

  test("gates hold a pod back until they are gone", () => {
    const { queue } = setup();
    queue.add(pod("a", 0, { schedulingGates: [{ name: "wait" }] }));
    expect(queue.pop()).toBeUndefined();
    expect(queue.counts()).toEqual({ active: 0, backoff: 0, unschedulable: 0, gated: 1 });
    queue.update(pod("a"), { resource: "TargetPod", actions: new Set(["UpdatePodSchedulingGatesEliminated"]) });
    expect(queue.pop()?.info.name).toBe("a");
  });

  test("with nothing else to do, a pod is tried before its backoff ends; not after an error", () => {
    const { queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    queue.moveOn(added(node("4")));
    queue.returnUnschedulable("default/a", FIT);
    queue.add(pod("b"));
    expect(queue.pop()?.info.name).toBe("b");
    queue.returnFailed("default/b");
    expect(queue.pop()?.info.name).toBe("a");
    expect(queue.pop()).toBeUndefined();
    expect(queue.counts()).toEqual({ active: 0, backoff: 1, unschedulable: 0, gated: 0 });
  });

  test("misses and errors have backoffs of their own", async () => {
    const { env, queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    queue.returnUnschedulable("default/a", FIT);
    queue.moveOn(added(node("4")));
    queue.pop();
    queue.returnFailed("default/a");
    expect(queue.nextFlushMs()! - env.clock.now()).toBe(1000);
    await env.advance(1000);
    queue.pop();
    queue.moveOn(added(node("4")));
    queue.returnUnschedulable("default/a", FIT);
    expect(queue.nextFlushMs()! - env.clock.now()).toBe(2000);
  });

  test("who comes back stands behind those of its priority that came meanwhile", async () => {
    const { env, queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    await env.advance(10);
    queue.add(pod("b"));
    await env.advance(10);
    queue.returnUnschedulable("default/a", FIT);
    await env.advance(1000);
    queue.moveOn(added(node("4")));
    expect([queue.pop(), queue.pop()].map((one) => one?.info.name)).toEqual(["b", "a"]);
  });

  test("an update that helps brings a waiting pod back, but not before its backoff ends", () => {
    const { queue } = setup();
    const event: ClusterEvent = { resource: "TargetPod", actions: new Set(["UpdatePodScaleDown"]) };
    queue.add(pod("a"));
    queue.pop();
    queue.returnUnschedulable("default/a", FIT);
    queue.update(pod("a"), { resource: "TargetPod", actions: new Set(["UpdatePodLabel"]) });
    expect(queue.get("default/a")?.queue).toBe("unschedulable");
    queue.update(pod("a"), event);
    expect(queue.get("default/a")?.queue).toBe("backoff");
  });

  test("an event can be meant for some pods only", () => {
    const { queue } = setup();
    for (const name of ["a", "b"]) queue.add(pod(name));
    for (const name of ["a", "b"]) {
      queue.pop();
      queue.returnUnschedulable(`default/${name}`, FIT);
    }
    expect(queue.moveOn(added(node("4")), (info) => info.name === "b")).toBe(1);
    expect(queue.get("default/a")?.queue).toBe("unschedulable");
  });

  test("each event may help where a plugin says nothing about events; a gate is asked again on its own events", () => {
    const env = new VirtualEnv({ seed: 1 });
    let open = false;
    const gate: Plugin = {
      name: "Gate",
      preEnqueue: () => (open ? undefined : "closed"),
      events: () => [{ resource: "Node", actions: ["Add"] }],
    };
    const profile: Profile = {
      ...DEFAULT_PROFILES[0]!,
      plugins: [...DEFAULT_PROFILES[0]!.plugins, { plugin: gate, weight: 0 }, { plugin: { name: "Mute" }, weight: 0 }],
    };
    const queue = createQueue(env, new Map([["default-scheduler", new Framework(profile)]]), new ClusterSnapshot());
    queue.add(pod("a"));
    open = true;
    expect(queue.moveOn({ resource: "AssignedPod", actions: new Set(["Delete"]) })).toBe(0);
    expect(queue.moveOn(added(node("4")))).toBe(1);
    queue.pop();
    queue.returnUnschedulable("default/a", new Set(["Mute"]));
    expect(queue.moveOn({ resource: "AssignedPod", actions: new Set(["Add"]) })).toBe(1);
  });

  test("pods are looked at only by events that concern a plugin which turned them down", () => {
    const env = new VirtualEnv({ seed: 1 });
    const asked: string[] = [];
    const registrations = (plugin: string): EventRegistration[] => [
      { resource: plugin === "OfNodes" ? "Node" : "AssignedPod", actions: ["Add"], hint: () => asked.push(plugin) < 0 },
    ];
    const less = (a: QueueOrder, b: QueueOrder): number => a.order - b.order;
    const queue = new SchedulingQueue({ clock: env.clock, less, heldBack: () => undefined, registrations });
    for (const [name, plugin] of [
      ["a", "OfNodes"],
      ["b", "OfPods"],
    ] as const) {
      queue.add(pod(name));
      queue.pop();
      queue.returnUnschedulable(`default/${name}`, new Set([plugin]));
    }
    expect(queue.moveOn(added(node("4")))).toBe(0);
    expect(asked).toEqual(["OfNodes"]);
    expect(queue.counts().unschedulable).toBe(2);
    queue.delete("default/a");
    queue.moveOn(added(node("4")));
    expect(asked).toEqual(["OfNodes"]);
  });

  test("a pod that was deleted in flight stays away", () => {
    const { queue } = setup();
    queue.add(pod("a"));
    queue.pop();
    queue.delete("default/a");
    queue.returnFailed("default/a");
    expect(queue.list()).toEqual([]);
  });
});

test("property: the heap gives up its items in order, whatever was taken out before", () => {
  const items = fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 9 }), fc.boolean()), {
    maxLength: 80,
  });
  fc.assert(
    fc.property(items, (steps) => {
      const heap = new KeyedHeap<{ key: string; rank: number }>(
        (one) => one.key,
        (a, b) => a.rank - b.rank,
      );
      const model = new Map<string, number>();
      for (const [key, rank, remove] of steps) {
        if (remove) {
          heap.delete(String(key));
          model.delete(String(key));
        } else {
          heap.push({ key: String(key), rank });
          model.set(String(key), rank);
        }
      }
      const ranks: number[] = [];
      for (let top = heap.pop(); top !== undefined; top = heap.pop()) ranks.push(top.rank);
      expect(ranks).toEqual([...model.values()].toSorted((a, b) => a - b));
    }),
  );
});

test("property: a pod that lands hears exactly what happened since it left and may concern it", () => {
  const steps = fc.array(
    fc.record({
      do: fc.constantFrom("leave", "land", "all", "one"),
      pod: fc.integer({ min: 0, max: 4 }),
      resource: fc.constantFrom("Node" as const, "AssignedPod" as const, "TargetPod" as const),
    }),
    { maxLength: 4_000, size: "max" },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const log = new EventLog();
      const model = new Map<string, ClusterEvent[]>();
      const inOrder = ["Node", "AssignedPod"];
      const sorted = (events: ClusterEvent[]): ClusterEvent[] =>
        inOrder.flatMap((kind) => events.filter((event) => event.resource === kind));
      for (const { do: what, pod: at, resource } of all) {
        const key = `p${at}`;
        const event: ClusterEvent = { resource, actions: new Set() };
        if (what === "leave") {
          log.leave(key);
          model.set(key, []);
        } else if (what === "land") {
          const heard: ClusterEvent[] = [];
          const found = log.some(
            key,
            (kind) => kind.resource !== "TargetPod",
            (one) => heard.push(one) === 0,
          );
          const expected = sorted(model.get(key) ?? []);
          expect([found, log.has(key), sorted(heard)]).toEqual([false, model.has(key), expected]);
          // The same events, not merely equal ones.
          expect(sorted(heard).every((one, index) => one === expected[index])).toBe(true);
          log.land(key);
          model.delete(key);
        } else if (what === "one") {
          log.note(event, key);
          model.get(key)?.push(event);
        } else {
          log.note(event);
          for (const heard of model.values()) heard.push(event);
        }
      }
    }),
  );
});
