// A cluster whose objects are in its api-server's memory: it runs workloads with no etcd, refuses by name the faults that say
// nothing there, begins anew where its api-server dies all the same, and leaves nothing.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCluster } from "@coxswain/cluster";
import { deployment, eventually, testCluster, type TestCluster } from "./cluster-fixture.ts";

let k: TestCluster;

beforeAll(async () => {
  k = await testCluster({ nodes: 2, storage: "memory" });
});
afterAll(() => k[Symbol.asyncDispose]());

interface PodList {
  readonly items: readonly { metadata: { uid: string }; status: { phase: string } }[];
}

const podsOf = (app: string): Promise<PodList> => k.get<PodList>(["pods", "-l", `app=${app}`]);

const running = (app: string, howMany: number): Promise<PodList> =>
  eventually(
    () => podsOf(app),
    ({ items }) => items.length === howMany && items.every(({ status }) => status.phase === "Running"),
  );

test("a Deployment runs and goes, and no etcd does", async () => {
  const { records } = await k.cluster.status();
  expect(records.map(({ spec }) => spec.component)).not.toContain("etcd");
  expect(k.cluster.info.etcd).toBe("");
  expect(existsSync(k.cluster.paths.etcd)).toBe(false);
  await k.apply(deployment({ name: "boat", replicas: 3 }));
  await running("boat", 3);
  await k.ok(["delete", "deployment", "boat"]);
  await eventually(
    () => podsOf("boat"),
    ({ items }) => items.length === 0,
  );
});

test("what cannot work is refused by name", async () => {
  await expect(k.cluster.chaos.kill("etcd")).rejects.toThrow("with --storage memory the cluster has no etcd");
  await expect(k.cluster.chaos.kill("api-server/0")).rejects.toThrow("kill api-server: Forbidden");
  await expect(startCluster({ name: "several", storage: "memory", apiServers: 2 })).rejects.toThrow("--api-servers");
});

test("objects outlive every other process, a frozen api-server included", async () => {
  await k.apply(deployment({ name: "kept", replicas: 2 }));
  const before = await running("kept", 2);
  for (const component of ["controller-manager", "scheduler", "kubelet", "nats"]) await k.cluster.chaos.kill(component);
  await k.cluster.chaos.freeze("api-server");
  await k.cluster.chaos.thaw("api-server");
  await k.ok(["scale", "deployment", "kept", "--replicas=3"]);
  const after = await running("kept", 3);
  const uids = after.items.map(({ metadata }) => metadata.uid);
  for (const { metadata } of before.items) expect(uids).toContain(metadata.uid);
});

test("where the api-server crashes, the cluster begins anew and works", async () => {
  const [api] = (await k.cluster.status()).records.filter(({ spec }) => spec.component === "api-server");
  expect(api?.pid).toBeGreaterThan(0);
  process.kill(api!.pid, "SIGKILL");
  await eventually(
    () => k.get<{ items: { status: { conditions: { type: string; status: string }[] } }[] }>(["nodes"]),
    ({ items }) =>
      items.length === 2 &&
      items.every(({ status }) => status.conditions.some((one) => one.type === "Ready" && one.status === "True")),
  );
  expect((await k.kubectl(["get", "deployment", "kept"])).stderr).toContain("NotFound");
  await eventually(
    () => k.kubectl(["get", "serviceaccount", "default"]),
    ({ code }) => code === 0,
  );
  await k.apply(deployment({ name: "fresh", replicas: 3 }));
  await running("fresh", 3);
});
