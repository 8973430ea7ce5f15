// What every container runtime must do for the kubelet: the contract of Cri as tests. The simulated runtime and containerd
// both run it.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContainerConfig, ContainerEvent, Cri, PodSandboxConfig } from "../cri/contract.ts";

export interface CriFixture {
  readonly cri: Cri;
  /** An image that is there, or can be pulled, and runs `sleep`, `sh` and `true`. */
  readonly image: string;
  /** True where the image comes by a pull. */
  readonly pulls: boolean;
  /** What a pod of this name needs beyond the least. */
  pod?(name: string): Partial<PodSandboxConfig>;
  /** Runs one of busybox's programs on the node itself; resolves to its output. */
  onNode?(this: void, ...command: string[]): Promise<string>;
  /** Another client of the same runtime, as a kubelet has that was started anew. */
  reconnect(): Cri;
  close(): Promise<void>;
}

export function podConfig(name: string, more: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
  return {
    name,
    uid: `uid-${name}`,
    namespace: "default",
    attempt: 0,
    hostname: name,
    logDirectory: "",
    labels: {},
    annotations: {},
    hostNetwork: false,
    ...more,
  };
}

export function containerConfig(image: string, command: readonly string[], attempt = 0): ContainerConfig {
  return {
    name: "c",
    attempt,
    image,
    command,
    args: [],
    workingDir: "",
    env: [],
    mounts: [],
    labels: {},
    annotations: {},
    logPath: `c/${attempt}.log`,
    tty: false,
    stdin: false,
    resources: {},
  };
}

async function collect(lines: AsyncIterable<{ line: Buffer }>): Promise<string[]> {
  const found: string[] = [];
  for await (const { line } of lines) found.push(line.toString("utf8"));
  return found;
}

/** Registers the suite under `name`. */
export function criSuite(name: string, open: () => Promise<CriFixture>): void {
  describe(name, () => {
    let fixture: CriFixture;
    beforeEach(async () => {
      fixture = await open();
      if (fixture.pulls) await fixture.cri.pullImage(fixture.image);
    });
    afterEach(() => fixture.close());

    const sandboxOf = (pod: string, more: Partial<PodSandboxConfig> = {}): Promise<string> =>
      fixture.cri.runPodSandbox(podConfig(pod, { ...fixture.pod?.(pod), ...more }));

    const running = async (command: readonly string[], pod = "a"): Promise<{ sandbox: string; container: string }> => {
      const sandbox = await sandboxOf(pod);
      const container = await fixture.cri.createContainer(sandbox, containerConfig(fixture.image, command));
      await fixture.cri.startContainer(container);
      return { sandbox, container };
    };
    const stateOf = async (id: string): Promise<string> => (await fixture.cri.containerStatus(id)).state;
    const signal = new AbortController().signal;

    test("says what it is, and that it is ready", async () => {
      expect((await fixture.cri.version()).runtimeName).not.toBe("");
      expect(await fixture.cri.status()).toMatchObject({ runtimeReady: true, networkReady: true });
    });

    test("sandboxes have addresses of their own and give them back", async () => {
      const ids = await Promise.all(["a", "b", "c"].map((pod) => sandboxOf(pod)));
      const found = await fixture.cri.listPodSandbox();
      expect(found.map((one) => one.state)).toEqual(["SANDBOX_READY", "SANDBOX_READY", "SANDBOX_READY"]);
      expect(new Set(found.map((one) => one.ip)).size).toBe(3);
      for (const id of ids) {
        await fixture.cri.stopPodSandbox(id);
        await fixture.cri.stopPodSandbox(id);
        await fixture.cri.removePodSandbox(id);
        await fixture.cri.removePodSandbox(id);
      }
      expect(await fixture.cri.listPodSandbox()).toEqual([]);
    });

    test("a container goes from created over running to exited", async () => {
      const sandbox = await sandboxOf("a");
      const id = await fixture.cri.createContainer(sandbox, containerConfig(fixture.image, ["sh", "-c", "exit 3"]));
      expect(await stateOf(id)).toBe("CONTAINER_CREATED");
      await fixture.cri.startContainer(id);
      await expect.poll(() => stateOf(id)).toBe("CONTAINER_EXITED");
      const status = await fixture.cri.containerStatus(id);
      expect(status).toMatchObject({ exitCode: 3, reason: "Error", sandboxId: sandbox });
      expect(status.finishedAtMs).toBeGreaterThanOrEqual(status.startedAtMs);
      expect(status.startedAtMs).toBeGreaterThanOrEqual(status.createdAtMs);
    });

    test("stopping resolves once the container has ended, and again at once", async () => {
      const { container } = await running(["sleep", "1000"]);
      await fixture.cri.stopContainer(container, 1);
      expect(await stateOf(container)).toBe("CONTAINER_EXITED");
      await fixture.cri.stopContainer(container, 1);
      await fixture.cri.removeContainer(container);
      await fixture.cri.removeContainer(container);
      await expect(fixture.cri.containerStatus(container)).rejects.toMatchObject({ code: "NotFound" });
    });

    test("stopping a sandbox ends its containers", async () => {
      const { sandbox, container } = await running(["sleep", "1000"]);
      await fixture.cri.stopPodSandbox(sandbox);
      await expect.poll(() => stateOf(container)).toBe("CONTAINER_EXITED");
      expect((await fixture.cri.podSandboxStatus(sandbox)).state).toBe("SANDBOX_NOTREADY");
    });

    test("a container needs a ready sandbox and a present image", async () => {
      const sandbox = await sandboxOf("a");
      const config = containerConfig("example.com/never-pulled:1", ["true"]);
      await expect(fixture.cri.createContainer(sandbox, config)).rejects.toMatchObject({ code: "NotFound" });
      await fixture.cri.stopPodSandbox(sandbox);
      const good = containerConfig(fixture.image, ["true"]);
      await expect(fixture.cri.createContainer(sandbox, good)).rejects.toThrow();
    });

    test("lists containers by sandbox and by pod", async () => {
      const one = await running(["sleep", "1000"], "a");
      await running(["sleep", "1000"], "b");
      const ids = async (filter?: { sandboxId?: string; podUid?: string }): Promise<string[]> =>
        (await fixture.cri.listContainers(filter)).map((status) => status.id);
      expect(await ids({ sandboxId: one.sandbox })).toEqual([one.container]);
      expect(await ids({ podUid: "uid-a" })).toEqual([one.container]);
      expect(await ids()).toHaveLength(2);
    });

    test("commands run in running containers only, and give their exit codes", async () => {
      const { container } = await running(["sleep", "1000"]);
      expect((await fixture.cri.execSync(container, ["true"], 5)).exitCode).toBe(0);
      expect((await fixture.cri.execSync(container, ["sh", "-c", "exit 7"], 5)).exitCode).toBe(7);
      const io = { stdout: () => {}, stderr: () => {} };
      expect(await fixture.cri.exec(container, ["sh", "-c", "exit 9"], false, io, signal)).toBe(9);
      await fixture.cri.stopContainer(container, 0);
      await expect(fixture.cri.execSync(container, ["true"], 5)).rejects.toThrow();
    });

    test("logs stay after the end, and following them ends with the container", async () => {
      const { container } = await running(["sh", "-c", "echo hello; sleep 1000"]);
      const logs = (): Promise<string[]> => collect(fixture.cri.logs(container, { follow: false }, signal));
      await expect.poll(async () => (await logs()).join("\n")).toContain("hello");
      const followed = collect(fixture.cri.logs(container, { follow: true }, signal));
      await fixture.cri.stopContainer(container, 0);
      expect((await followed).join("\n")).toContain("hello");
      expect((await logs()).join("\n")).toContain("hello");
    });

    test("images: pulled ones are there, others are not", async () => {
      const { id = "", sizeBytes = 0 } = (await fixture.cri.imageStatus(fixture.image)) ?? {};
      expect(id).not.toBe("");
      expect(sizeBytes).toBeGreaterThan(0);
      expect(await fixture.cri.imageStatus("example.com/never-pulled:1")).toBeUndefined();
      expect((await fixture.cri.listImages()).length).toBeGreaterThan(0);
      await expect(fixture.cri.pullImage("Not an image")).rejects.toThrow();
    });

    test("an image that is removed is gone, and removing it again is fine", async () => {
      if (!fixture.pulls) return;
      await fixture.cri.removeImage(fixture.image);
      await fixture.cri.removeImage(fixture.image);
      expect(await fixture.cri.imageStatus(fixture.image)).toBeUndefined();
    });

    test("another client reads back what was made, but for the environment", async () => {
      const sandboxConfig = podConfig("a", {
        ...fixture.pod?.("a"),
        attempt: 2,
        labels: { app: "web" },
        annotations: { "example.com/note": "kept" },
        dns: { servers: ["10.96.0.10"], searches: ["default.svc.cluster.local"], options: ["ndots:5"] },
      });
      const sandbox = await fixture.cri.runPodSandbox(sandboxConfig);
      const config: ContainerConfig = {
        ...containerConfig(fixture.image, ["sleep", "1000"], 3),
        args: ["2000"],
        workingDir: "/tmp",
        mounts: [{ hostPath: "/proc", containerPath: "/host-proc", readonly: true, propagation: "HOST_TO_CONTAINER" }],
        labels: { role: "main" },
        annotations: { "io.kubernetes.container.type": "main" },
        resources: { cpuMillis: 100, cpuLimitMillis: 200, memoryLimitBytes: 64 << 20 },
      };
      const id = await fixture.cri.createContainer(sandbox, config);
      await fixture.cri.startContainer(id);
      const other = fixture.reconnect();
      const [foundSandbox] = await other.listPodSandbox({ uid: "uid-a" });
      expect(foundSandbox).toMatchObject({ id: sandbox, state: "SANDBOX_READY", config: sandboxConfig });
      expect(foundSandbox?.ip).toBe((await fixture.cri.podSandboxStatus(sandbox)).ip);
      const [found] = await other.listContainers({ podUid: "uid-a" });
      const { env: _, ...kept } = config;
      expect(found).toMatchObject({ id, sandboxId: sandbox, state: "CONTAINER_RUNNING", config: kept });
      expect(found?.config.annotations).toEqual(config.annotations);
      expect(await other.listPodSandbox({ uid: "uid-of-nobody" })).toEqual([]);
    });

    test("the same pod or container is not made twice", async () => {
      const { sandbox } = await running(["sleep", "1000"]);
      await expect(sandboxOf("a")).rejects.toMatchObject({ code: "AlreadyExists" });
      const again = containerConfig(fixture.image, ["true"]);
      await expect(fixture.cri.createContainer(sandbox, again)).rejects.toMatchObject({ code: "AlreadyExists" });
    });

    test("what does not exist is NotFound, and may be stopped and removed all the same", async () => {
      const { cri } = fixture;
      await expect(cri.podSandboxStatus("none")).rejects.toMatchObject({ code: "NotFound" });
      await expect(cri.containerStatus("none")).rejects.toMatchObject({ code: "NotFound" });
      await expect(cri.startContainer("none")).rejects.toMatchObject({ code: "NotFound" });
      await cri.stopContainer("none", 1);
      await cri.stopPodSandbox("none");
    });

    test("a pod on the node's network has no address of its own", async () => {
      const sandbox = await sandboxOf("a", { hostNetwork: true });
      const status = await fixture.cri.podSandboxStatus(sandbox);
      expect(status).toMatchObject({ ip: "", state: "SANDBOX_READY", config: { hostNetwork: true } });
    });

    test("a container that runs takes other bounds; one that is gone does not", async () => {
      const { container } = await running(["sleep", "1000"]);
      await fixture.cri.updateContainerResources(container, { cpuMillis: 100, cpuLimitMillis: 200 }, 0);
      expect(await stateOf(container)).toBe("CONTAINER_RUNNING");
      await expect(fixture.cri.updateContainerResources("gone", { cpuMillis: 100 }, 0)).rejects.toMatchObject({
        code: "NotFound",
      });
    });

    test("figures tell of running containers by their ids", async () => {
      const { sandbox, container } = await running(["sleep", "1000"]);
      const stats = await fixture.cri.containerStats(sandbox);
      expect(stats.map((one) => one.containerId)).toEqual([container]);
      expect(stats[0]?.cpuNanos).toBeGreaterThanOrEqual(0);
      expect(stats[0]?.timeMs).toBeGreaterThan(0);
    });

    test("a forwarded port ends by itself or says why it cannot be", async () => {
      const { sandbox } = await running(["sleep", "1000"]);
      const said: Buffer[] = [];
      const none = (async function* (): AsyncGenerator<Buffer> {})();
      const io = { input: none, output: (data: Buffer) => void said.push(data) };
      const outcome = await fixture.cri.portForward(sandbox, 9, io, signal).catch((error: Error) => error.message);
      expect(outcome ?? Buffer.concat(said).toString()).toMatch(/refused|simulated/);
    });

    test("tells of every container's life, where it has events", async () => {
      const events: ContainerEvent[] = [];
      const stop = fixture.cri.events?.((event) => events.push(event));
      if (stop === undefined) return;
      const { container } = await running(["sleep", "1000"]);
      await fixture.cri.stopContainer(container, 0);
      await fixture.cri.removeContainer(container);
      stop();
      const types = events.filter((event) => event.containerId === container).map((event) => event.type);
      const lives = ["CREATED", "STARTED", "STOPPED", "DELETED"].map((word) => `CONTAINER_${word}_EVENT`);
      expect(types).toEqual(lives);
    });
  });
}
