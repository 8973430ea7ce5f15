// Starts node-driver.ts inside a test node and calls it.
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { once } from "node:events";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { PODS, type ContainerStatus, type Pod } from "@coxswain/api";
import type { DriverMethods, DriverOptions } from "./node-driver.ts";
import { startContainerdNode, type ContainerdNode } from "./containerd-node.ts";
import { DEFAULT_IMAGE_POLICY } from "../src/images/plan-collection.ts";

type Remote = {
  readonly [M in keyof DriverMethods]: (
    ...args: Parameters<DriverMethods[M]>
  ) => Promise<Awaited<ReturnType<DriverMethods[M]>>>;
};

export interface NodeKubelet {
  readonly containerd: ContainerdNode;
  readonly call: Remote;
  readonly options: DriverOptions;
  /** The kubelet's log. */
  readonly logFile: string;
  create(name: string, spec: Partial<NonNullable<Pod["spec"]>>): Promise<void>;
  /** Polls until `test` gives something. Throws after the time, with the pod and its events. */
  until<T>(name: string, test: (pod: Pod | undefined) => T | undefined | false, withinMs?: number): Promise<T>;
  running(name: string, withinMs?: number): Promise<Pod>;
  gone(name: string, withinMs?: number): Promise<void>;
  /** Waits for an event whose text has this in it. */
  told(name: string, text: string, withinMs?: number): Promise<string>;
  stop(): Promise<void>;
}

export const statusOf = (pod: Pod | undefined, container: string): ContainerStatus | undefined =>
  [
    ...(pod?.status?.containerStatuses ?? []),
    ...(pod?.status?.initContainerStatuses ?? []),
    ...(pod?.status?.ephemeralContainerStatuses ?? []),
  ].find((one) => one.name === container);

export const isReady = (pod: Pod | undefined): boolean =>
  pod?.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;

const POLL_MS = 20;

export async function startNodeKubelet(name: string): Promise<NodeKubelet> {
  const containerd = await startContainerdNode(name);
  const { node } = containerd;
  const { command, args } = node.enter();
  const logFile = path.join(node.dataDir, "kubelet.log");
  const log = createWriteStream(logFile);
  const script = path.join(import.meta.dirname, "node-driver.ts");
  const child = spawn(command, [...args, process.execPath, script], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...node.platform.nodeEnv, NODE_NO_WARNINGS: "1" },
  });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  const call = remote(child);
  const began = await Promise.race([once(child, "message"), once(child, "exit").then(() => undefined)]);
  if (began === undefined) {
    const said = existsSync(logFile) ? readFileSync(logFile, "utf8") : "";
    await node.stop();
    throw new Error(`the kubelet's process ended: ${said}`);
  }
  const options: DriverOptions = {
    node: node.node,
    runtimeEndpoint: "unix:///run/containerd/containerd.sock",
    rootDir: "/var/lib/kubelet",
    podLogsDir: "/var/log/pods",
    cgroupRoot: node.cgroupRoot,
    clusterDns: ["10.96.0.10"],
    clusterDomain: "cluster.local",
    cniConfDir: "/etc/cni/net.d",
    podCidr: node.podCidr,
    logPolicy: { maxBytes: 100_000, maxFiles: 3 },
    logsEveryMs: 200,
    imagePolicy: DEFAULT_IMAGE_POLICY,
    allocatable: { cpu: "4", memory: "8Gi", pods: "110" },
    hostIp: node.platform.plan.nodes[0]?.address ?? "127.0.0.1",
  };
  const stop = async (): Promise<void> => {
    const ended = once(child, "exit");
    if (child.exitCode === null && child.signalCode === null) {
      child.disconnect();
      await ended;
    }
    await node.stop();
  };
  return { containerd, call, options, logFile, stop, ...waits(call) };
}

function remote(child: ChildProcess): Remote {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let next = 1;
  child.on("message", ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
    const found = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) found?.resolve(result);
    else found?.reject(new Error(error));
  });
  child.on("exit", (code, signal) => {
    for (const one of waiting.values()) one.reject(new Error(`the kubelet's process ended: ${code ?? signal}`));
  });
  const call = (method: string, args: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      child.send({ id, method, args });
    });
  return new Proxy({} as Remote, {
    get:
      (_, method) =>
      (...args: readonly unknown[]) =>
        call(String(method), args),
  });
}

type Waits = Pick<NodeKubelet, "create" | "until" | "running" | "gone" | "told">;

function waits(call: Remote): Waits {
  const { timers, clock } = createRealEnv();
  const poll = async <T>(name: string, test: () => Promise<T | undefined | false>, withinMs: number): Promise<T> => {
    const end = clock.now() + withinMs;
    for (;;) {
      const found = await test();
      if (found !== undefined && found !== false) return found;
      if (clock.now() > end) {
        const pod = await call.pod(name);
        throw new Error(
          `not within ${withinMs} ms: ${JSON.stringify(pod?.status, undefined, 1)}\n${(await call.events(name)).join("\n")}`,
        );
      }
      await timers.sleep(POLL_MS);
    }
  };
  const until: Waits["until"] = (name, test, withinMs = 20_000) =>
    poll(name, async () => test(await call.pod(name)), withinMs);
  return {
    until,
    create: async (name, spec) => {
      const metadata = { name, namespace: "default" };
      const base = { nodeName: "node-1", restartPolicy: "Always", terminationGracePeriodSeconds: 5 };
      const pod = { apiVersion: "v1", kind: "Pod", metadata, spec: { ...base, ...spec } } as Pod;
      await call.seed(PODS, pod);
    },
    running: (name, withinMs) => until(name, (pod) => (pod?.status?.phase === "Running" ? pod : undefined), withinMs),
    gone: async (name, withinMs) => void (await until(name, (pod) => pod === undefined, withinMs)),
    told: (name, text, withinMs = 20_000) =>
      poll(name, async () => (await call.events(name)).find((one) => one.includes(text)), withinMs),
  };
}
