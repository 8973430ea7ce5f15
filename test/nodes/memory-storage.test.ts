// Real containers on nodes of a cluster whose objects are in its api-server's memory: pods run with no etcd, and where the
// api-server crashes, and the objects with it, what ran for them ends and the nodes take new pods.
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Node, Pod } from "@coxswain/api";
import { eventually, testCluster, type TestCluster } from "../integration/cluster-fixture.ts";

let k: TestCluster;

beforeAll(async () => {
  k = await testCluster({ nodes: 1, runtime: "containerd", storage: "memory", egress: "none" });
});
afterAll(() => k[Symbol.asyncDispose]());

const MARK = "coxswain-memory-storage";

/** Processes of containers whose script names the pod. */
function processesOf(name: string): string[] {
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    } catch (error) {
      // Processes end while we look.
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
      throw error;
    }
  };
  const pids = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid));
  return pids.map(commandLine).filter((line) => line.startsWith("sh -c ") && line.includes(`${MARK}-${name}`));
}

async function run(name: string): Promise<Pod> {
  const script = `trap 'exit 0' TERM; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; while :; do sleep 0.1; done; : ${MARK}-${name}`;
  const container = { name: "c", image: "coxswain.local/busybox:1", command: ["sh", "-c", script] };
  const volumeMounts = [{ name: "e", mountPath: "/e" }];
  const manifest = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ ...container, volumeMounts }],
      volumes: [{ name: "e", emptyDir: { medium: "Memory" } }],
    },
  };
  await k.apply(JSON.stringify(manifest));
  await k.ok(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
  return k.get<Pod>(["pod", name]);
}

test("a pod runs, and no etcd does", async () => {
  const { records } = await k.cluster.status();
  expect(records.map(({ spec }) => spec.component)).not.toContain("etcd");
  const pod = await run("first");
  expect(pod.status?.containerStatuses?.[0]?.containerID).toMatch(/^containerd:/);
  await eventually(
    () => k.ok(["logs", "first"]),
    (log) => log === "default\n",
  );
  expect(processesOf("first")).toHaveLength(1);
});

test("where the api-server crashes, what ran ends, and the node takes new pods", async () => {
  const [api] = (await k.cluster.status()).records.filter(({ spec }) => spec.component === "api-server");
  expect(api?.pid).toBeGreaterThan(0);
  const before = await k.get<Node>(["node", "node-1"]);
  process.kill(api!.pid, "SIGKILL");
  await eventually(
    () => k.get<Node>(["node", "node-1"]),
    ({ metadata, status }) =>
      metadata?.uid !== before.metadata?.uid &&
      (status?.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True"),
  );
  await eventually(
    async () => processesOf("first"),
    (left) => left.length === 0,
  );
  await eventually(
    () => k.kubectl(["get", "serviceaccount", "default"]),
    ({ code }) => code === 0,
  );
  await run("second");
  expect(processesOf("second")).toHaveLength(1);
});
