// Pods with real containers for the rows that need them: made, awaited, and read by their logs.
import { eventually } from "../../integration/cluster-fixture.ts";
import { at, type Thing } from "../rest-client.ts";
import type { SharedCluster } from "../shared-cluster.ts";

export const BUSYBOX = "coxswain.local/busybox:1";
export const NODE = "coxswain.local/node:24";

export type Part = Record<string, unknown>;

/** A pod named "main" of one container "main" that runs a shell script and is not started again. */
export function scriptPod(script: string, container: Part = {}, spec: Part = {}, metadata: Part = {}): Part {
  return {
    metadata: { name: "main", ...metadata },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: BUSYBOX, command: ["sh", "-c", script], ...container }],
      ...spec,
    },
  };
}

/** Waits until the pod's phase is one of `wanted`. */
export function untilPhase(c: SharedCluster, namespace: string, name: string, ...wanted: string[]): Promise<Thing> {
  return eventually(
    () => c.api.resource("v1", "pods", namespace).get(name),
    (pod) => wanted.includes(at<string>(pod, "status.phase") ?? ""),
    90_000,
  );
}

/** Waits until the pod is Ready. */
export function untilReady(c: SharedCluster, namespace: string, name: string): Promise<Thing> {
  return eventually(() => c.api.resource("v1", "pods", namespace).get(name), isReady, 90_000);
}

export function isReady(pod: Thing): boolean {
  const conditions = at<{ type: string; status: string }[]>(pod, "status.conditions") ?? [];
  return conditions.some((one) => one.type === "Ready" && one.status === "True");
}

/** What a container has written so far. */
export async function logOf(c: SharedCluster, namespace: string, name: string, container = "main"): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/log?container=${container}`;
  const answer = await c.api.send("GET", path, { headers: { accept: "*/*" } });
  if (answer.code !== 200) throw new Error(`${path}: ${answer.code}: ${answer.text}`);
  return answer.text;
}

/** Makes the pod, waits for its end, and resolves with what its first container wrote. Rejects unless it succeeded. */
export async function runToEnd(c: SharedCluster, namespace: string, pod: Part): Promise<string> {
  const name = (await c.api.resource("v1", "pods", namespace).create(pod)).metadata.name ?? "";
  const ended = await untilPhase(c, namespace, name, "Succeeded", "Failed");
  const log = await logOf(c, namespace, name);
  await c.api.resource("v1", "pods", namespace).delete(name, { gracePeriodSeconds: 0 });
  if (at(ended, "status.phase") !== "Succeeded")
    throw new Error(`${name} failed: ${log} ${JSON.stringify(ended["status"])}`);
  return log;
}
