// Pods whose new states share parts with the old ones, which the watch cache serves: no write changes what others read.
import { expect, test } from "vitest";
import { PODS, type Pod } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { startTestServer } from "./test-server.ts";

const NAME = { namespace: "default", name: "boat" };
const MERGE = "application/merge-patch+json";
const STRATEGIC = "application/strategic-merge-patch+json";

function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const each of Object.values(value)) freeze(each);
}

function boat(): KubeObject & Pod {
  const resources = { limits: { cpu: "2", memory: "64Mi" } };
  const env = [{ name: "WHERE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...NAME, labels: { app: "boat" }, finalizers: ["example.test/moored"] },
    spec: {
      containers: [{ name: "main", image: "hull", ports: [{ containerPort: 80 }], resources, env }],
      volumes: [{ name: "hold" }],
      tolerations: [{ key: "storm", operator: "Exists" }],
    },
  };
}

const WRITES: readonly (readonly [string, (client: ResourceClient) => Promise<unknown>])[] = [
  ["a label", (client) => client.patch(PODS, NAME, MERGE, { metadata: { labels: { side: "port" } } })],
  ["nothing", (client) => client.patch(PODS, NAME, STRATEGIC, { metadata: { labels: { side: "port" } } })],
  ["an empty list", (client) => client.patch(PODS, NAME, MERGE, { metadata: { ownerReferences: [] } })],
  [
    "an image",
    (client) => client.patch(PODS, NAME, STRATEGIC, { spec: { containers: [{ name: "main", image: "keel" }] } }),
  ],
  [
    "by JSON patch",
    (client) =>
      client.patch(PODS, NAME, "application/json-patch+json", [
        { op: "add", path: "/metadata/annotations", value: { log: "kept" } },
      ]),
  ],
  [
    "a condition",
    (client) =>
      client.patch(
        PODS,
        NAME,
        STRATEGIC,
        { status: { conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable" }] } },
        { subresource: "status" },
      ),
  ],
  [
    "metadata of its status",
    (client) =>
      client.patch(PODS, NAME, MERGE, { metadata: { annotations: { seen: "yes" } } }, { subresource: "status" }),
  ],
  [
    "a node",
    (client) =>
      client.create(
        PODS,
        { apiVersion: "v1", kind: "Binding", metadata: NAME, target: { kind: "Node", name: "harbor" } } as KubeObject,
        { subresource: "binding" },
      ),
  ],
  [
    "an ephemeral container",
    (client) =>
      client.patch(
        PODS,
        NAME,
        STRATEGIC,
        { spec: { ephemeralContainers: [{ name: "diver", image: "debug" }] } },
        { subresource: "ephemeralcontainers" },
      ),
  ],
  [
    "more memory",
    (client) =>
      client.patch(
        PODS,
        NAME,
        STRATEGIC,
        {
          spec: {
            containers: [{ name: "main", resources: { limits: { memory: "128Mi" }, requests: { memory: "128Mi" } } }],
          },
        },
        { subresource: "resize" },
      ),
  ],
  ["its deletion", (client) => client.delete(PODS, NAME)],
  ["its deletion at once", (client) => client.delete(PODS, NAME, { gracePeriodSeconds: 0 })],
];

test("what is read of a pod stays as it was, whatever is written of it", async () => {
  const server = await startTestServer();
  const { client, api } = server;
  await client.create(PODS, boat());
  for (const [what, write] of WRITES) {
    await api.source.consistent?.();
    const before = api.source.get(PODS, NAME.namespace, NAME.name)!;
    const text = JSON.stringify(before.object);
    freeze(before.object);
    // What writes into it throws.
    await write(client);
    expect(JSON.stringify(before.object), what).toBe(text);
    const after = await client.get<Pod>(PODS, NAME);
    expect(after.metadata?.managedFields, what).toBeDefined();
  }
  const last = await client.get<Pod>(PODS, NAME);
  expect(last.spec?.containers[0]?.image).toBe("keel");
  expect(last.spec?.containers[0]?.resources).toEqual({
    limits: { cpu: "2", memory: "128Mi" },
    requests: { cpu: "2", memory: "128Mi" },
  });
  expect(last.spec?.nodeName).toBe("harbor");
  expect(last.status?.conditions?.map(({ type, status }) => [type, status])).toEqual([["PodScheduled", "True"]]);
  expect(last.metadata).toMatchObject({
    labels: { app: "boat", side: "port" },
    annotations: { log: "kept", seen: "yes" },
    deletionGracePeriodSeconds: 0,
  });
  await server.stop();
});
