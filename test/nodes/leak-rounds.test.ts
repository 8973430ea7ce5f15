// Pods and Services that come and go leave nothing on their node: all that a node holds is counted before and after many rounds.
// COXSWAIN_LEAK_ROUNDS says how many.
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { ensureNodePrograms, openPlatform, planPlatform, platformId, repositoryRoot } from "@coxswain/cluster";
import { cgroupTree, hierarchies } from "@coxswain/cluster/platform/cgroup-tree";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const ROUNDS = Number(process.env["COXSWAIN_LEAK_ROUNDS"] ?? 10);
const WARM_UP = 2;
const NAME = "rounds";

let shared: TestCluster;
let count: () => Promise<Record<string, number>>;

beforeAll(async () => {
  shared = await testCluster({ runtime: "containerd", nodes: 1, egress: "none", name: NAME });
  count = await counter();
});
afterAll(async () => {
  await shared?.[Symbol.asyncDispose]();
});

/** Chains for N endpoints are made once and serve every Service with so many: they are no Service's to leave behind. */
const OWN_RULES = `awk '/chain to-[0-9]+-/ { shared = 1 } !shared { print } /^\\t}/ { shared = 0 }'`;

/** A shell line for each thing that is counted in the node. */
const COUNTS: Readonly<Record<string, string>> = {
  mounts: "cat /proc/self/mountinfo",
  interfaces: "ip -oneline link",
  routes: "ip route show table all",
  "network namespaces": "ls /run/netns",
  rules: `"$NFT" --stateless list ruleset | ${OWN_RULES} | grep -v '^$'`,
  containers: '"$CTR" -n k8s.io containers ls -q',
  tasks: '"$CTR" -n k8s.io tasks ls -q',
  snapshots: '"$CTR" -n k8s.io snapshots --snapshotter "$SNAPSHOTTER" ls',
  "shims' folders": "ls /run/containerd/io.containerd.runtime.v2.task/k8s.io",
  "pods' folders": "ls /var/lib/kubelet/pods",
  "logs' folders": "ls /var/log/pods",
  "CNI's files": "find /var/lib/cni -type f",
};

async function counter(): Promise<() => Promise<Record<string, number>>> {
  const programs = await ensureNodePrograms(path.join(repositoryRoot(), ".tools"), () => {});
  const { dataDir } = shared.cluster.paths;
  const id = platformId(NAME, path.dirname(dataDir));
  const platform = openPlatform(planPlatform({ id, dataDir, controlMembers: [], nodes: 1, programs }));
  const { command, args } = platform.enter("node-1");
  const script = Object.entries(COUNTS)
    .map(([what, line]) => `echo "${what}: $( { ${line} || exit 1; } | wc -l)"`)
    .join("\n");
  const snapshots = readdirSync(platform.pathOnHost("node-1", "/var/lib/containerd"));
  const snapshotter = snapshots.includes("io.containerd.snapshotter.v1.overlayfs") ? "overlayfs" : "native";
  const env = {
    ...process.env,
    ...platform.nodeEnv,
    NFT: programs.nft,
    CTR: programs.ctr,
    SNAPSHOTTER: snapshotter,
  };
  return async () => {
    const { stdout } = await promisify(execFile)(command, [...args, "sh", "-c", `set -e\n${script}`], { env });
    const counts = Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line): [string, number] => [line.replace(/: *\d+$/, ""), Number(/\d+$/.exec(line)?.[0])]),
    );
    const cgroups = hierarchies().flatMap(({ mountPoint }) => cgroupTree(path.join(mountPoint, `coxswain-${id}`)));
    return { ...counts, cgroups: cgroups.length };
  };
}

const round = (at: number): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "List",
    items: [
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: `round-${at}` },
        data: { round: String(at) },
      },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: `round-${at}` },
        spec: { selector: { round: String(at) }, type: "NodePort", ports: [{ port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: `round-${at}` },
        spec: {
          replicas: 3,
          selector: { matchLabels: { round: String(at) } },
          template: {
            metadata: { labels: { round: String(at) } },
            spec: {
              terminationGracePeriodSeconds: 0,
              initContainers: [{ name: "first", image: "coxswain.local/busybox:1", command: ["true"] }],
              containers: [
                {
                  name: "main",
                  image: "coxswain.local/busybox:1",
                  command: ["sleep", "1000000"],
                  volumeMounts: [
                    { name: "memory", mountPath: "/memory" },
                    { name: "config", mountPath: "/config" },
                  ],
                },
              ],
              volumes: [
                { name: "memory", emptyDir: { medium: "Memory" } },
                { name: "config", configMap: { name: `round-${at}` } },
              ],
            },
          },
        },
      },
    ],
  });

async function play(at: number): Promise<void> {
  await shared.apply(round(at));
  await shared.ok(["rollout", "status", `deployment/round-${at}`, "--timeout=60s"]);
  await shared.ok(["delete", `deployment/round-${at}`, `service/round-${at}`, `configmap/round-${at}`, "--wait=true"]);
  await eventually(
    () => shared.get<{ items: unknown[] }>(["pods"]),
    ({ items }) => items.length === 0,
  );
}

test(
  `${ROUNDS} rounds of pods and Services leave nothing on the node`,
  async () => {
    for (let at = 0; at < WARM_UP; at++) await play(at);
    // What containerd and the kubelet clean up after a pod has gone from the API takes a moment.
    const before = await eventually(count, (counts) => counts["pods' folders"] === 0 && counts["tasks"] === 0);
    for (let at = WARM_UP; at < WARM_UP + ROUNDS; at++) await play(at);
    const leaks = (counts: Record<string, number>): string[] =>
      Object.entries(counts).flatMap(([what, now]) =>
        now > (before[what] ?? 0) ? [`${what}: ${before[what]} before, ${now} after`] : [],
      );
    const after = await eventually(count, (counts) => leaks(counts).length === 0, 30_000).catch(() => count());
    expect(leaks(after)).toEqual([]);
    console.log(`${ROUNDS} rounds: ${JSON.stringify(after)}`);
  },
  60_000 + ROUNDS * 15_000,
);
