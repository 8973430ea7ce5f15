// The pool never leaves its range, makes one node at a time, and knows after a restart what it had.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeName, nodeNumber, nodeOfProviderId, providerId } from "../src/node-names.ts";
import { createNodeMaker } from "../src/node-maker.ts";
import { firstNodes, NodePool, type NodeMaker } from "../src/node-pool.ts";
import { readNodes, writeNodes } from "../src/nodes-file.ts";

/** Makes nodes when it is told to. */
class HandMaker implements NodeMaker {
  readonly there = new Set<string>();
  readonly waiting: { name: string; done: () => void; fail: (error: Error) => void }[] = [];
  busy = 0;
  most = 0;
  failRemove: Error | undefined;

  make(name: string): Promise<void> {
    this.busy++;
    this.most = Math.max(this.most, this.busy);
    return new Promise((resolve, reject) => {
      this.waiting.push({
        name,
        done: () => {
          this.busy--;
          this.there.add(name);
          resolve();
        },
        fail: (error) => {
          this.busy--;
          reject(error);
        },
      });
    });
  }

  async remove(name: string): Promise<void> {
    if (this.failRemove !== undefined) throw this.failRemove;
    this.there.delete(name);
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function poolOf(min: number, max: number, nodes: readonly string[]) {
  const maker = new HandMaker();
  for (const name of nodes) maker.there.add(name);
  const saved: string[][] = [];
  const pool = new NodePool({ range: { min, max }, nodes, maker, save: (names) => saved.push([...names]) });
  return { maker, pool, saved, states: () => pool.nodes().map(({ name, state }) => `${name} ${state}`) };
}

describe("a pool", () => {
  test("makes what was asked for, one after another, under the lowest free names", async () => {
    const { maker, pool, saved, states } = poolOf(0, 5, ["node-2"]);
    pool.increase(2);
    expect(pool.targetSize).toBe(3);
    expect(states()).toEqual(["node-2 running", "node-1 creating"]);
    maker.waiting.shift()?.done();
    await settled();
    expect(states()).toEqual(["node-2 running", "node-1 running", "node-3 creating"]);
    maker.waiting.shift()?.done();
    await settled();
    expect(pool.targetSize).toBe(3);
    expect(saved.at(-1)).toEqual(["node-2", "node-1", "node-3"]);
  });

  test.each<[string, (pool: NodePool) => void, string]>([
    ["more than its maximum", (pool) => pool.increase(2), "size increase is too large. current: 2 desired: 4 max: 3"],
    ["an increase by nothing", (pool) => pool.increase(0), "size increase must be positive"],
    ["a decrease upwards", (pool) => pool.decrease(1), "size decrease must be negative"],
    [
      "a decrease of what is there",
      (pool) => pool.decrease(-1),
      "attempt to delete existing nodes, targetSize: 2 delta: -1 existingNodes: 2",
    ],
  ])("refuses %s", (_, act, message) => {
    const { pool } = poolOf(1, 3, ["node-1", "node-2"]);
    expect(() => act(pool)).toThrow(message);
    expect(pool.targetSize).toBe(2);
  });

  test("takes requests back that nothing was done about", async () => {
    const { maker, pool } = poolOf(0, 5, []);
    pool.increase(3);
    pool.decrease(-2);
    expect(pool.targetSize).toBe(1);
    maker.waiting.shift()?.done();
    await settled();
    expect(maker.waiting).toEqual([]);
  });

  test("deletes nodes by name, down to its minimum, and uses their names again", async () => {
    const { maker, pool, states, saved } = poolOf(1, 3, ["node-1", "node-2"]);
    await pool.delete(["node-1"]);
    expect([...maker.there]).toEqual(["node-2"]);
    expect(saved.at(-1)).toEqual(["node-2"]);
    await expect(pool.delete(["node-2"])).rejects.toThrow("min size reached, nodes will not be deleted");
    await expect(pool.delete(["node-7"])).rejects.toThrow('nodes "node-7" not found');
    pool.increase(1);
    expect(states()).toEqual(["node-2 running", "node-1 creating"]);
    await expect(pool.delete(["node-1"])).rejects.toThrow("it is being created");
  });

  test("keeps a node that does not go", async () => {
    const { maker, pool } = poolOf(0, 3, ["node-1"]);
    maker.failRemove = new Error("busy");
    await expect(pool.delete(["node-1"])).rejects.toThrow("busy");
    expect(pool.nodes()).toEqual([{ name: "node-1", state: "running" }]);
    expect(pool.targetSize).toBe(1);
  });

  test("shows why a node could not be made, until that is deleted, and makes the next meanwhile", async () => {
    const { maker, pool, saved } = poolOf(0, 3, []);
    pool.increase(2);
    maker.waiting.shift()?.fail(new Error("no memory"));
    await settled();
    expect(pool.nodes()).toEqual([
      { name: "node-1", state: "creating", error: "no memory" },
      { name: "node-2", state: "creating" },
    ]);
    maker.waiting.shift()?.done();
    await settled();
    expect(saved.at(-1)).toEqual(["node-2"]);
    await pool.delete(["node-1"]);
    expect(pool.nodes()).toEqual([{ name: "node-2", state: "running" }]);
  });

  test("makes nothing more once it is closed, and waits for what is being made", async () => {
    const { maker, pool } = poolOf(0, 3, []);
    pool.increase(2);
    let closed = false;
    const closing = pool.close().then(() => (closed = true));
    await settled();
    expect(closed).toBe(false);
    maker.waiting.shift()?.done();
    await closing;
    expect(maker.waiting).toEqual([]);
  });
});

test("property: whatever is asked, sizes stay in the range, names are unique, and one node is made at a time", async () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant("increase" as const), by: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ op: fc.constant("decrease" as const), by: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ op: fc.constant("delete" as const), by: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ op: fc.constantFrom("done" as const, "fail" as const), by: fc.constant(0) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const [min, max] = [1, 5];
      const { maker, pool } = poolOf(min, max, ["node-1", "node-2"]);
      for (const { op, by } of steps) {
        const wanted = pool.targetSize;
        const names = pool.nodes().map(({ name }) => name);
        try {
          if (op === "increase") pool.increase(by);
          if (op === "decrease") pool.decrease(-by);
          if (op === "delete") await pool.delete([names[by % Math.max(1, names.length)] ?? "node-9"]);
        } catch {
          expect(pool.targetSize).toBe(wanted);
        }
        if (op === "done") maker.waiting.shift()?.done();
        if (op === "fail") maker.waiting.shift()?.fail(new Error("no"));
        await settled();
        expect(pool.targetSize).toBeLessThanOrEqual(max);
        // What could not be made is given up below the minimum, too.
        const failed = steps.filter((one) => one.op === "fail").length;
        expect(pool.targetSize).toBeGreaterThanOrEqual(min - failed);
        const running = pool.nodes().filter(({ state }) => state === "running");
        expect(new Set(running.map(({ name }) => name))).toEqual(maker.there);
        expect(maker.most).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 200 },
  );
});

test.each<[string, Parameters<typeof firstNodes>, string[]]>([
  ["the first ones at the first start", [{ min: 0, max: 5 }, 2, undefined], ["node-1", "node-2"]],
  ["those of the last run", [{ min: 0, max: 5 }, 2, ["node-4", "node-1"]], ["node-1", "node-4"]],
  ["none where all had gone", [{ min: 0, max: 5 }, 2, []], []],
  ["no fewer than the minimum", [{ min: 3, max: 5 }, 3, ["node-2"]], ["node-1", "node-2", "node-3"]],
  ["none beyond a maximum that is lower now", [{ min: 0, max: 2 }, 2, ["node-1", "node-3"]], ["node-1"]],
])("a cluster starts with %s", (_, args, expected) => {
  expect(firstNodes(...args)).toEqual(expected);
});

test("names, numbers and provider IDs lead to each other, and only those of this cluster", () => {
  expect(nodeNumber(nodeName(17))).toBe(17);
  expect([nodeNumber("node-0"), nodeNumber("node-01"), nodeNumber("other")]).toEqual([undefined, undefined, undefined]);
  expect(nodeOfProviderId("blue", providerId("blue", "node-3"))).toBe("node-3");
  expect(nodeOfProviderId("red", providerId("blue", "node-3"))).toBeUndefined();
  expect(nodeOfProviderId("blue", "coxswain://blue/elsewhere")).toBeUndefined();
});

describe("the file of nodes", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "cox-nodes-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("is read as it was written, and is nobody's before", () => {
    const file = path.join(folder, "nodes.json");
    expect(readNodes(file)).toBeUndefined();
    writeNodes(file, ["node-1", "node-3"]);
    expect(readNodes(file)).toEqual(["node-1", "node-3"]);
    expect(existsSync(`${file}.new`)).toBe(false);
  });

  test("says which file is damaged", () => {
    const file = path.join(folder, "nodes.json");
    writeFileSync(file, "{");
    expect(() => readNodes(file)).toThrow(`${file} is damaged`);
  });
});

describe("a maker of nodes", () => {
  const made = (failAt?: string) => {
    const log: string[] = [];
    const note = (what: string): void => {
      log.push(what);
      if (what === failAt) throw new Error(`no ${what}`);
    };
    const maker = createNodeMaker({
      supervisor: {
        add: (specs) => note(`add ${specs.length}`),
        start: (components) => note(`start ${components.includes("kubelet") ? "all" : "all but the kubelet"}`),
        removeNode: async () => note("end processes"),
      },
      platform: { addNode: async () => note("namespaces"), removeNode: async () => note("no namespaces") },
      specsOf: async () => [],
      containerdReady: async () => note("containerd"),
      importImages: async () => note("images"),
    });
    return { maker, log };
  };

  test("starts the kubelet when there are images to start pods from", async () => {
    const { maker, log } = made();
    await maker.make("node-3");
    expect(log).toEqual(["namespaces", "add 0", "start all but the kubelet", "containerd", "images", "start all"]);
  });

  test.each(["namespaces", "containerd", "images", "start all"])(
    "leaves nothing where there is no %s",
    async (what) => {
      const { maker, log } = made(what);
      await expect(maker.make("node-3")).rejects.toThrow(`no ${what}`);
      expect(log.slice(-2)).toEqual(["end processes", "no namespaces"]);
    },
  );
});
