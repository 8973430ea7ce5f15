// A scheduler with a configuration file and a plugin that does not come with it, both handed to it by the cluster.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { repositoryRoot } from "@coxswain/cluster";
import type { Pod } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

const CONFIGURATION = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
  - schedulerName: default-scheduler
  - schedulerName: thrifty
    plugins: { multiPoint: { enabled: [{ name: NodePrice, weight: 100 }] } }
    pluginConfig: [{ name: NodePrice, args: { limit: 5 } }]
`;

let folder: string;
let shared: TestCluster;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "cox-"));
  const config = path.join(folder, "scheduler.yaml");
  writeFileSync(config, CONFIGURATION);
  const plugin = path.join(repositoryRoot(), "services/scheduler/examples/node-price.ts");
  shared = await testCluster({ nodes: 3, schedulerFlags: [`--config=${config}`, `--plugin=${plugin}`] });
  await shared.ok(["label", "node", "node-1", "example.com/price=9"]);
  await shared.ok(["label", "node", "node-2", "example.com/price=4"]);
  await shared.ok(["label", "node", "node-3", "example.com/price=2"]);
});
afterAll(async () => {
  await shared?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const pod = (name: string, spec: object): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [{ name: "main", image: "example.test/app:v1" }], ...spec },
  });

test("a pod goes where the plugin of its profile likes it best", async () => {
  await shared.apply(pod("thrifty", { schedulerName: "thrifty" }));
  await shared.ok(["wait", "--for=condition=PodScheduled", "pod/thrifty", "--timeout=60s"]);
  const { spec } = await shared.get<Pod>(["pod", "thrifty"]);
  expect(spec?.nodeName).toBe("node-3");
});

test("the plugin's own reason is told for a node that it turns down, and other profiles do not have it", async () => {
  const nodeSelector = { "kubernetes.io/hostname": "node-1" };
  await shared.apply(pod("too-dear", { schedulerName: "thrifty", nodeSelector }));
  await shared.apply(pod("rich", { nodeSelector }));
  await shared.ok(["wait", "--for=condition=PodScheduled", "pod/rich", "--timeout=60s"]);
  await eventually(
    () => shared.ok(["get", "events", "--field-selector", "involvedObject.name=too-dear"]),
    (events) => events.includes("1 node(s) were too expensive"),
  );
});
