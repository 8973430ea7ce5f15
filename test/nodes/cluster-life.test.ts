// The life of clusters with real nodes, from the outside: up, two side by side, killed processes, a killed supervisor, down.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { startCluster, stopCluster, type Cluster } from "@coxswain/cluster";
import { diffInventory, inventory, RUN_LABEL, type Inventory } from "@coxswain/cluster/platform/inventory";
import { isAlive } from "@coxswain/cluster/process-table";
import { eventually, testCluster } from "../integration/cluster-fixture.ts";

interface NodeView {
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
    readonly nodeInfo: { readonly containerRuntimeVersion: string };
  };
}

const label = process.env[RUN_LABEL];
const options = { runtime: "containerd", egress: "none", freePorts: true } as const;

async function allReady(cluster: Cluster): Promise<void> {
  await eventually(
    async () => (await cluster.status()).records,
    (records) => records.every(({ state }) => state === "ready"),
  );
}

/** Dead processes are listed until their parent has heard of it: that takes a moment and nothing of ours. */
async function nothingLeft(before: Inventory): Promise<void> {
  await eventually(
    async () => diffInventory(before, inventory(), label),
    (left) => left.length === 0,
    5_000,
  );
}

test("whatever is killed comes back on the port that it had", async () => {
  await using fixture = await testCluster({ ...options, name: "life", nodes: 2 });
  const { cluster } = fixture;
  const nodes = await fixture.get<{ items: NodeView[] }>(["nodes"]);
  for (const { status } of nodes.items) {
    expect(status.nodeInfo.containerRuntimeVersion).toMatch(/^containerd:\/\//);
    expect(status.conditions).toContainEqual(expect.objectContaining({ type: "Ready", status: "True" }));
  }
  const before = (await cluster.status()).records;
  for (const { spec } of before) await cluster.chaos.kill(`${spec.component}/${spec.instance}`);
  await eventually(
    async () => (await cluster.status()).records,
    (records) => records.every(({ state, restarts }) => state === "ready" && restarts > 0),
  );
  const after = (await cluster.status()).records;
  expect(after.map(({ spec }) => spec.ports)).toEqual(before.map(({ spec }) => spec.ports));
  expect(await fixture.ok(["get", "nodes", "-o", "name"])).toBe("node/node-1\nnode/node-2\n");
});

test("a killed node is down until it is started", async () => {
  await using fixture = await testCluster({ ...options, name: "power", nodes: 1 });
  await fixture.cluster.chaos.kill("node/node-1");

  await eventually(
    async () => (await fixture.cluster.status()).records.filter(({ spec }) => spec.node === "node-1"),
    (down) => down.length === 3 && down.every(({ state, pid }) => state === "down" && pid === 0),
  );
  await fixture.cluster.chaos.start("node/node-1");
  await allReady(fixture.cluster);
});

test("two side by side; down leaves nothing, also after the supervisor was killed", async () => {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  const before = inventory();
  try {
    const [one, two] = await Promise.all([
      startCluster({ ...options, home, nodes: 1, name: "left" }),
      startCluster({ ...options, home, nodes: 1, name: "right" }),
    ]);
    expect(one.info.apiServer).not.toBe(two.info.apiServer);
    await one.down();
    await allReady(two);
    const { supervisor } = await two.status();
    process.kill(supervisor.pid, "SIGKILL");
    await eventually(
      async () => isAlive(supervisor),
      (alive) => !alive,
    );
    expect(diffInventory(before, inventory(), label)).not.toEqual([]);
    expect(await stopCluster("right", { home, purge: true })).toBe(true);
    await nothingLeft(before);
    // Its data stayed: it comes up again with what it had.
    const again = await startCluster({ ...options, home, nodes: 1, name: "left" });
    await again.down({ purge: true });
    await nothingLeft(before);
  } finally {
    for (const name of ["left", "right"]) await stopCluster(name, { home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
});

test("a cluster that cannot start leaves nothing", async () => {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  const before = inventory();
  try {
    await expect(startCluster({ ...options, home, nodes: 1, name: "late", timeoutMs: 1 })).rejects.toThrow("not ready");
    await nothingLeft(before);
  } finally {
    await stopCluster("late", { home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
});
