// What `kubectl get` shows: the cells of each kind, wide ones included.
import type { KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { Pod } from "../src/index.ts";
import { allKinds, kindFor } from "../src/index.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString().replace(".000", "");

function row(resource: string, object: KubeObject, group = ""): unknown[] {
  const kind = kindFor({ group, version: "v1", resource });
  if (!kind) throw new Error(`no kind ${resource}`);
  return kind.row(
    { ...object, metadata: { creationTimestamp: ago(300), name: "x", ...object.metadata } },
    { nowMs: NOW },
  );
}

test.each(allKinds().map((kind) => [kind.kind, kind] as const))("%s has a cell for each column", (_, kind) => {
  expect(kind.row({ metadata: { name: "x" } }, { nowMs: NOW })).toHaveLength(kind.columns.length);
});

const running = (name: string) => ({
  name,
  image: "i",
  imageID: "",
  ready: true,
  restartCount: 0,
  state: { running: {} },
});
const waiting = (name: string, reason: string) => ({ ...running(name), ready: false, state: { waiting: { reason } } });
const ended = (name: string, exitCode: number, reason?: string) => ({
  ...running(name),
  ready: false,
  state: { terminated: { exitCode, reason } },
});

function podOf(status: NonNullable<Pod["status"]>, meta: Pod["metadata"] = {}): Pod {
  const named = (statuses: { name: string }[] | undefined) =>
    (statuses ?? []).map(({ name }) => ({ name, image: "i" }));
  return {
    metadata: meta,
    spec: { containers: named(status.containerStatuses), initContainers: named(status.initContainerStatuses) },
    status,
  };
}

describe("the status of a pod", () => {
  const rows: [string, Pod, string, string, string][] = [
    ["running", podOf({ phase: "Running", containerStatuses: [running("a")] }), "1/1", "Running", "0"],
    ["gone off its reason", podOf({ phase: "Failed", reason: "Evicted" }), "0/0", "Evicted", "0"],
    [
      "in a crash loop",
      podOf({
        phase: "Running",
        containerStatuses: [
          {
            ...waiting("a", "CrashLoopBackOff"),
            restartCount: 3,
            lastState: { terminated: { exitCode: 1, finishedAt: ago(300) } },
          },
        ],
      }),
      "0/1",
      "CrashLoopBackOff",
      "3 (5m ago)",
    ],
    [
      "completed",
      podOf({ phase: "Succeeded", containerStatuses: [ended("a", 0, "Completed")] }),
      "0/1",
      "Completed",
      "0",
    ],
    ["with an exit code", podOf({ phase: "Failed", containerStatuses: [ended("a", 7)] }), "0/1", "ExitCode:7", "0"],
    [
      "initializing",
      podOf({ phase: "Pending", initContainerStatuses: [ended("i", 0), running("j")] }),
      "0/0",
      "Init:1/2",
      "0",
    ],
    [
      "failing to initialize",
      podOf({ phase: "Pending", initContainerStatuses: [waiting("i", "CrashLoopBackOff")] }),
      "0/0",
      "Init:CrashLoopBackOff",
      "0",
    ],
    [
      "terminating",
      podOf({ phase: "Running", containerStatuses: [running("a")] }, { deletionTimestamp: ago(1) }),
      "1/1",
      "Terminating",
      "0",
    ],
    [
      "one container done, one still running",
      podOf({
        phase: "Running",
        conditions: [{ type: "Ready", status: "False" }],
        containerStatuses: [ended("a", 0, "Completed"), running("b")],
      }),
      "1/2",
      "NotReady",
      "0",
    ],
    [
      "gated",
      podOf({ phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] }),
      "0/0",
      "SchedulingGated",
      "0",
    ],
  ];
  test.each(rows)("%s", (_, pod, ready, status, restarts) => {
    expect(row("pods", pod).slice(1, 4)).toEqual([ready, status, restarts]);
  });
});

const TABLE: [string, string, KubeObject, unknown[]][] = [
  [
    "nodes",
    "",
    {
      metadata: { labels: { "node-role.kubernetes.io/control-plane": "" } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "198.18.0.2" }],
        nodeInfo: { kubeletVersion: "v1.35.2", containerRuntimeVersion: "simulated://1" },
      },
    } as KubeObject,
    [
      "x",
      "Ready,SchedulingDisabled",
      "control-plane",
      "5m",
      "v1.35.2",
      "198.18.0.2",
      "<none>",
      "<unknown>",
      "<unknown>",
      "simulated://1",
    ],
  ],
  [
    "services",
    "",
    {
      spec: {
        type: "NodePort",
        clusterIPs: ["10.96.0.9"],
        ports: [{ port: 80, nodePort: 30_080, protocol: "TCP" }],
        selector: { b: "2", a: "1" },
      },
    } as KubeObject,
    ["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP", "5m", "a=1,b=2"],
  ],
  [
    "replicasets",
    "apps",
    {
      spec: {
        replicas: 3,
        selector: { matchLabels: { app: "web" } },
        template: { spec: { containers: [{ name: "a", image: "i" }] } },
      },
      status: { replicas: 2, readyReplicas: 1 },
    } as KubeObject,
    ["x", 3, 2, 1, "5m", "a", "i", "app=web"],
  ],
  [
    "endpointslices",
    "discovery.k8s.io",
    {
      addressType: "IPv4",
      ports: [{ port: 80 }],
      endpoints: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map((address) => ({ addresses: [address] })),
    } as KubeObject,
    ["x", "IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "5m"],
  ],
  [
    "events",
    "",
    {
      type: "Warning",
      reason: "FailedScheduling",
      message: "0/3 nodes are available",
      involvedObject: { kind: "Pod", name: "web" },
      source: { component: "scheduler", host: "n1" },
      firstTimestamp: ago(600),
      lastTimestamp: ago(30),
      count: 4,
    } as unknown as KubeObject,
    ["30s", "Warning", "FailedScheduling", "pod/web", "", "scheduler, n1", "0/3 nodes are available", "10m", 4, "x"],
  ],
  [
    "rolebindings",
    "rbac.authorization.k8s.io",
    {
      roleRef: { kind: "Role", name: "r" },
      subjects: [
        { kind: "User", name: "u" },
        { kind: "ServiceAccount", name: "s", namespace: "n" },
      ],
    } as KubeObject,
    ["x", "Role/r", "5m", "u", "", "n/s"],
  ],
  ["roles", "rbac.authorization.k8s.io", {}, ["x", ago(300)]],
  ["leases", "coordination.k8s.io", { spec: { holderIdentity: "me" } } as KubeObject, ["x", "me", "5m"]],
  ["secrets", "", { type: "Opaque", data: { a: "" } } as KubeObject, ["x", "Opaque", 1, "5m"]],
  ["configmaps", "", { data: { a: "" }, binaryData: { b: "" } } as KubeObject, ["x", 2, "5m"]],
  [
    "prioritylevelconfigurations",
    "flowcontrol.apiserver.k8s.io",
    { spec: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } } } as KubeObject,
    ["x", "Exempt", "<none>", "<none>", "<none>", "<none>", "5m"],
  ],
  [
    "resourceslices",
    "resource.k8s.io",
    { spec: { driver: "d.example.com", allNodes: true, pool: { name: "p" } } } as KubeObject,
    ["x", "", "d.example.com", "p", "5m"],
  ],
  [
    "csidrivers",
    "storage.k8s.io",
    { spec: { tokenRequests: [{ audience: "" }] } } as KubeObject,
    ["x", true, false, false, "", false, "<none>", "5m"],
  ],
  [
    "storageclasses",
    "storage.k8s.io",
    { provisioner: "p.example.com" } as KubeObject,
    ["x", "p.example.com", "Delete", "Immediate", false, "5m"],
  ],
];

test.each(TABLE)("%s", (resource, group, object, expected) => {
  expect(row(resource, object, group)).toEqual(expected);
});

test.each([
  [
    "Succeeded",
    [{ type: "Completed", status: "True", reason: "Succeeded", message: "The pod has completed successfully." }],
  ],
  ["Failed", [{ type: "Completed", status: "True", reason: "Failed", message: "The pod failed." }]],
  ["Running", undefined],
  ["", undefined],
])("the row of a pod that is %s says whether it is over", (phase, expected) => {
  const kind = kindFor({ group: "", version: "v1", resource: "pods" });
  expect(kind?.rowConditions?.({ metadata: { name: "x" }, status: { phase } } as KubeObject)).toEqual(expected);
});
