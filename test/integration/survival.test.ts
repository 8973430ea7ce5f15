// Kill, freeze and cut off real processes in the middle of real work: the work is finished, and no acknowledged write is lost.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deployment, eventually, testCluster, type TestCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ apiServers: 2, schedulers: 2, controllerManagers: 2, nodes: 3 });
  await k.apply(deployment({ name: "web", replicas: 12, maxSurge: 3, maxUnavailable: 0 }));
  await k.ok(["rollout", "status", "deployment/web", "--timeout=90s"]);
});
afterAll(async () => {
  await k[Symbol.asyncDispose]();
});

interface Lease {
  spec: { holderIdentity: string; leaseTransitions: number };
}

let version = 1;
async function startRollout(): Promise<void> {
  version++;
  await k.ok(["set", "image", "deployment/web", `main=example.test/app:v${version}`]);
}

async function finishRollout(timeout = "120s"): Promise<void> {
  await k.ok(["rollout", "status", "deployment/web", `--timeout=${timeout}`]);
  // A rollout is complete while the last old pods are still on their way out.
  const running = ["get", "pods", "-l", "app=web", "--field-selector=status.phase=Running"];
  const images = (): Promise<string> => k.ok([...running, "-o", "jsonpath={.items[*].spec.containers[0].image}"]);
  const wanted = `example.test/app:v${version}`;
  await eventually(images, (seen) => seen.split(" ").every((one) => one === wanted));
}

async function restartsOf(target: string): Promise<number> {
  const { records } = await k.cluster.status();
  return records.find(({ spec }) => `${spec.component}/${spec.instance}` === target)?.restarts ?? -1;
}

const leaseHolder = async (name: string): Promise<string> =>
  (await k.get<Lease>(["-n", "kube-system", "lease", name])).spec.holderIdentity;

describe("kill -9 in the middle of a rollout", () => {
  test.each([
    "api-server/0",
    "scheduler/0",
    "scheduler/1",
    "controller-manager/0",
    "controller-manager/1",
    "kubelet/node-2",
    "kube-proxy/node-1",
    "nats/0",
    "etcd/0",
  ])("%s comes back, and the rollout completes", async (target) => {
    const before = await restartsOf(target);
    await startRollout();
    await k.cluster.chaos.kill(target);
    await eventually(
      () => restartsOf(target),
      (now) => now > before,
    );
    await eventually(
      () => k.cluster.status(),
      ({ records }) => records.every(({ state }) => state === "ready"),
    );
    await finishRollout();
  });
});

test("no acknowledged write is lost when api-server and etcd are killed", async () => {
  const acknowledged: string[] = [];
  const stop = new AbortController();
  const writer = (async () => {
    for (let at = 0; !stop.signal.aborted; at++) {
      const name = `ack-${at}`;
      const result = await k.kubectl(["create", "configmap", name]);
      if (result.code === 0) acknowledged.push(name);
    }
  })();
  await eventually(
    async () => acknowledged.length,
    (count) => count >= 3,
  );
  await k.cluster.chaos.kill("api-server/0");
  await eventually(
    async () => acknowledged.length,
    (count) => count >= 6,
  );
  await k.cluster.chaos.kill("etcd/0");
  const beforeRecovery = acknowledged.length;
  await eventually(
    async () => acknowledged.length,
    (count) => count >= beforeRecovery + 3,
  );
  stop.abort();
  await writer;
  const present = (await k.ok(["get", "configmaps", "-o", "name"])).split("\n");
  expect(acknowledged.filter((name) => !present.includes(`configmap/${name}`))).toEqual([]);
});

test("etcd stopped for 20 s: clear 503s meanwhile, then everything goes on", async () => {
  await startRollout();
  await k.cluster.chaos.freeze("etcd/0");
  const frozenAt = performance.now();
  const refused = await k.kubectl(["create", "configmap", "while-frozen", "--request-timeout=15s"]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/ServiceUnavailable|Timeout|unable to handle the request|etcd|storage/i);
  await eventually(
    async () => performance.now() - frozenAt,
    (ms) => ms >= 20_000,
  );
  await k.cluster.chaos.thaw("etcd/0");
  await finishRollout();
});

test("NATS stopped: a rollout goes on without it", async () => {
  await k.cluster.chaos.freeze("nats/0");
  try {
    await startRollout();
    await finishRollout();
  } finally {
    await k.cluster.chaos.thaw("nats/0");
  }
});

describe("a leader that is frozen beyond its lease", () => {
  test.each([
    ["scheduler", "kube-scheduler"],
    ["controller-manager", "kube-controller-manager"],
  ])("%s writes nothing when it wakes, and another leads", async (component, lease) => {
    const holder = await leaseHolder(lease);
    const { records } = await k.cluster.status();
    const leading = records.find(({ spec }) => spec.component === component && holder.includes(`_${spec.instance}_`));
    const target = leading === undefined ? undefined : `${component}/${leading.spec.instance}`;
    expect(target, `which ${component} is ${holder}?`).toBeDefined();
    await k.cluster.chaos.freeze(target ?? "");
    const next = await eventually(
      () => leaseHolder(lease),
      (now) => now !== holder && now !== "",
    );
    await startRollout();
    await finishRollout();
    await k.cluster.chaos.thaw(target ?? "");
    await startRollout();
    await finishRollout();
    expect(await leaseHolder(lease)).toBe(next);
  });
});

test("down and up again: the data is still there", async () => {
  const before = await k.ok([
    "get",
    "configmaps",
    "-A",
    "--no-headers",
    "-o",
    "custom-columns=N:.metadata.namespace,M:.metadata.name,U:.metadata.uid",
  ]);
  const { startCluster, stopCluster } = await import("@coxswain/cluster");
  const home = k.cluster.paths.dataDir.replace(/\/[^/]+$/, "");
  await stopCluster(k.cluster.name, { home });
  await startCluster({ home, apiServers: 2, schedulers: 2, controllerManagers: 2, nodes: 3, runtime: "simulated" });
  expect(
    await k.ok([
      "get",
      "configmaps",
      "-A",
      "--no-headers",
      "-o",
      "custom-columns=N:.metadata.namespace,M:.metadata.name,U:.metadata.uid",
    ]),
  ).toBe(before);
  await k.ok(["rollout", "status", "deployment/web", "--timeout=120s"]);
});
