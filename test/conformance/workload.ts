// Manifests that many rows share, and how to wait for what becomes of them.
import { eventually } from "../integration/cluster-fixture.ts";
import { at, type Rest, type Thing } from "./rest-client.ts";

export type Part = Record<string, unknown>;

/** A pod's spec of one container that asks for nothing. */
export const podSpec = (more: Part = {}, container: Part = {}): Part => ({
  terminationGracePeriodSeconds: 0,
  containers: [{ name: "main", image: "example.test/pause:1", ...container }],
  ...more,
});

export const pod = (
  name: string,
  labels: Record<string, string> = {},
  spec: Part = {},
  container: Part = {},
): Part => ({
  metadata: { name, labels },
  spec: podSpec(spec, container),
});

/** The spec of a Deployment, ReplicaSet, StatefulSet or DaemonSet. */
export const workload = (name: string, app: string, more: Part = {}, podParts: Part = {}): Part => ({
  metadata: { name, labels: { app } },
  spec: {
    selector: { matchLabels: { app } },
    template: { metadata: { labels: { app } }, spec: podSpec(podParts) },
    ...more,
  },
});

export const replicationController = (name: string, app: string, replicas: number, more: Part = {}): Part => ({
  metadata: { name, labels: { app } },
  spec: { replicas, selector: { app }, template: { metadata: { labels: { app } }, spec: podSpec() }, ...more },
});

export function isReady(thing: Thing): boolean {
  const conditions = at<{ type: string; status: string }[]>(thing, "status.conditions") ?? [];
  return conditions.some((one) => one.type === "Ready" && one.status === "True");
}

/** Waits for exactly `count` ready pods of the label. */
export function readyPods(api: Rest, namespace: string, labelSelector: string, count: number): Promise<Thing[]> {
  return eventually(
    async () => (await api.resource("v1", "pods", namespace).list({ labelSelector })).items,
    (pods) => pods.length === count && pods.every(isReady),
  );
}
