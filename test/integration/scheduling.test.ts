// Scheduling on simulated nodes by the real kubectl: pods keep away from each other, follow each other, and push less important
// ones off their node; what users read about it.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Event, Pod } from "@coxswain/api";
import { eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 3, name: "scheduling" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const apply = (...objects: readonly object[]): Promise<string> =>
  k.apply(objects.map((object) => JSON.stringify(object)).join("\n---\n"));

function spec(more: object = {}, requests: Record<string, string> = { cpu: "10m" }): object {
  const containers = [{ name: "main", image: "example.test/app:v1", resources: { requests } }];
  return { terminationGracePeriodSeconds: 1, containers, ...more };
}

function pod(name: string, more: object = {}, requests?: Record<string, string>): object {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels: { app: name } }, spec: spec(more, requests) };
}

const term = (app: string) => ({ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app } } });
const nodeOf = (name: string): Promise<string> => k.ok(["get", "pod", name, "-o", "jsonpath={.spec.nodeName}"]);

async function eventsOf(name: string): Promise<string[]> {
  const { items } = await k.get<{ items: Event[] }>(["events", `--field-selector=involvedObject.name=${name}`]);
  return items.map((event) => `${event.type} ${event.reason} ${event.message}`);
}

test("anti-affinity spreads pods over nodes, and one too many stays Pending and says why", async () => {
  const podAntiAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [term("apart")] };
  await apply({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "apart" },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: "apart" } },
      template: { metadata: { labels: { app: "apart" } }, spec: spec({ affinity: { podAntiAffinity } }) },
    },
  });
  await k.ok(["rollout", "status", "deployment/apart", "--timeout=60s"]);
  const columns = ["-o", "custom-columns=N:.spec.nodeName", "--no-headers"];
  const nodes = (await k.ok(["get", "pods", "-l", "app=apart", ...columns])).trim().split("\n");
  expect(new Set(nodes)).toEqual(new Set(["node-1", "node-2", "node-3"]));
  await k.ok(["scale", "deployment/apart", "--replicas=4"]);
  const pending = ["get", "pods", "-l", "app=apart", "--field-selector=status.phase=Pending", "-o", "name"];
  const waiting = await eventually(
    () => k.ok(pending),
    (text) => text.startsWith("pod/"),
  );
  const described = await eventually(
    () => k.ok(["describe", waiting.trim()]),
    (text) => text.includes("FailedScheduling"),
  );
  expect(described).toContain(
    "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, preemption: " +
      "0/3 nodes are available: 3 No preemption victims found for incoming pod.",
  );
  // Whom the placed pods keep away is told otherwise than who keeps away itself.
  await apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "meek", labels: { app: "apart" } }, spec: spec() });
  const meek = await eventually(
    () => eventsOf("meek"),
    (events) => events.length > 0,
  );
  expect(meek[0]).toContain("3 node(s) didn't satisfy existing pods anti-affinity rules.");
  await k.ok(["delete", "deployment/apart", "pod/meek"]);
});

test("affinity follows a pod to its node, also of another namespace", async () => {
  await k.ok(["create", "namespace", "other"]);
  await k.ok(["label", "namespace", "other", "team=blue"]);
  const leader = pod("leader", { nodeSelector: { "kubernetes.io/hostname": "node-2" } }) as Pod;
  leader.metadata = { ...leader.metadata, namespace: "other" };
  await apply(leader);
  await k.ok(["wait", "-n", "other", "--for=condition=Ready", "pod/leader", "--timeout=60s"]);
  const near = (more: object): object => ({
    affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ ...term("leader"), ...more }] } },
  });
  await apply(
    pod("follower", near({ namespaceSelector: { matchLabels: { team: "blue" } } })),
    pod("second-follower", near({ namespaces: ["other"] })),
    pod("lost", near({})),
  );
  await k.ok(["wait", "--for=condition=Ready", "pod/follower", "pod/second-follower", "--timeout=60s"]);
  expect([await nodeOf("follower"), await nodeOf("second-follower")]).toEqual(["node-2", "node-2"]);
  const lost = await eventually(
    () => eventsOf("lost"),
    (events) => events.length > 0,
  );
  expect(lost[0]).toContain("3 node(s) didn't match pod affinity rules.");
  // It goes where its leader comes to be.
  await apply(pod("leader", { nodeSelector: { "kubernetes.io/hostname": "node-3" } }));
  await k.ok(["wait", "--for=condition=Ready", "pod/lost", "--timeout=60s"]);
  expect(await nodeOf("lost")).toBe("node-3");
  await k.ok(["delete", "pod", "follower", "second-follower", "lost", "leader"]);
});

test("a pod of high priority pushes a less important one off, and both say so", async () => {
  await apply(
    { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name: "high" }, value: 1000 },
    {
      apiVersion: "scheduling.k8s.io/v1",
      kind: "PriorityClass",
      metadata: { name: "polite" },
      value: 1000,
      preemptionPolicy: "Never",
    },
  );
  const cpu = await k.ok(["get", "node", "node-1", "-o", "jsonpath={.status.allocatable.cpu}"]);
  const onNode = { nodeSelector: { "kubernetes.io/hostname": "node-1" } };
  await apply(pod("low", onNode, { cpu }));
  await k.ok(["wait", "--for=condition=Ready", "pod/low", "--timeout=60s"]);

  await apply(pod("polite", { ...onNode, priorityClassName: "polite" }, { cpu }));
  const polite = await eventually(
    () => eventsOf("polite"),
    (events) => events.length > 0,
  );
  const why = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector.";
  expect(polite[0]).toBe(
    `Warning FailedScheduling ${why} no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.`,
  );
  await k.ok(["delete", "pod", "polite"]);

  const columns = "NAME:.metadata.name,ON:.status.nominatedNodeName,WHY:.status.conditions[*].reason";
  const both = ["-l", "app in (low,high)"];
  const watch = k.start(["get", "pods", ...both, "-w", "--no-headers", "-o", `custom-columns=${columns}`]);
  let lines = "";
  watch.stdout.on("data", (text: Buffer) => (lines += text.toString()));
  try {
    await eventually(
      async () => lines,
      (seen) => seen.startsWith("low"),
    );
    await apply(pod("high", { ...onNode, priorityClassName: "high" }, { cpu }));
    await k.ok(["wait", "--for=condition=Ready", "pod/high", "--timeout=60s"]);
    await eventually(
      async () => lines,
      (seen) => /^low\s.*PreemptionByScheduler/m.test(seen) && /^high\s+node-1\s/m.test(seen),
    );
  } finally {
    watch.kill();
  }
  expect((await k.kubectl(["get", "pod", "low"])).stderr).toContain('pods "low" not found');
  const high = await k.get<Pod>(["pod", "high"]);
  expect([high.spec?.nodeName, high.status?.nominatedNodeName]).toEqual(["node-1", undefined]);
  expect(await eventsOf("low")).toContain(`Normal Preempted Preempted by pod ${high.metadata!.uid} on node node-1`);
  const described = await k.ok(["describe", "pod", "high"]);
  expect(described).toMatch(
    /Warning\s+FailedScheduling\s+\S+( \(.*\))?\s+default-scheduler\s+0\/3 nodes are available:/,
  );
  expect(described).toContain(`${why}\n`);
  expect(described).toContain("Successfully assigned default/high to node-1");
  await k.ok(["delete", "pod", "high"]);
});
