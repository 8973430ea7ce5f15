// The Cri of real nodes: a container runtime behind runtime.v1, as containerd is. Guarantees: every call has a deadline, and
// fails at once while the runtime is away; no state is kept here that the runtime could not tell again, so that neither a
// restart of the kubelet nor one of the runtime loses a container.
import { statfs } from "node:fs/promises";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import {
  CriError,
  type ContainerConfig,
  type ContainerStatus,
  type Cri,
  type CriContainerStats,
  type ExecIo,
  type ForwardIo,
  type LogLine,
  type PodSandbox,
  type PodSandboxConfig,
  type RegistryAuth,
} from "../contract.ts";
import { forwardPort } from "../streaming/port-forward.ts";
import { runRemoteCommand } from "../streaming/remote-command.ts";
import { dialTcp, type Dial } from "../streaming/upgrade.ts";
import { CpuUsage } from "./cpu-usage.ts";
import { CriChannel } from "./cri-channel.ts";
import { ImageMounts, imagesMountpoint, type ImageVolumesPlace } from "./image-mounts.ts";
import { readLogFile } from "./log-file.ts";
import { RuntimeContainers } from "./runtime-containers.ts";
import { RuntimeEvents } from "./runtime-events.ts";
import { ignoreNotFound, RuntimeSandboxes } from "./runtime-sandboxes.ts";
import { hasEvents } from "./runtime-version.ts";
import { CHANGE_TIMEOUT_MS, PULL_TIMEOUT_MS, READ_TIMEOUT_MS } from "./time-limits.ts";

export interface ContainerdCriOptions {
  readonly env: Env;
  readonly logger: Logger;
  /** unix:///run/containerd/containerd.sock */
  readonly endpoint: string;
  /** How to reach the runtime's streaming server; plain TCP where unset. */
  readonly dial?: Dial;
  /** Where images are mounted that the runtime itself cannot mount; such mounts are refused where unset. */
  readonly imageVolumes?: ImageVolumesPlace;
}

export interface ContainerdCri extends Cri {
  /** Gives up what was made to mount images in a pod, once nothing of it is mounted any more; idempotent. */
  releaseImages(podUid: string): Promise<void>;
  close(): void;
}

/** Connects on first use. The caller closes it. */
export function createContainerdCri(options: ContainerdCriOptions): ContainerdCri {
  return new RuntimeV1Cri(options);
}

/** The answer to a command that took too long may come this much after its time was up. */
const EXEC_GRACE_MS = 5_000;

class RuntimeV1Cri implements ContainerdCri {
  readonly #env: Env;
  readonly #channel: CriChannel;
  readonly #sandboxes: RuntimeSandboxes;
  readonly #containers: RuntimeContainers;
  readonly #dial: Dial;
  readonly #cpu = new CpuUsage();
  readonly #images: ImageMounts;
  readonly #events: RuntimeEvents;
  #hasEvents = false;

  constructor({ env, logger, endpoint, dial, imageVolumes }: ContainerdCriOptions) {
    this.#env = env;
    this.#dial = dial ?? dialTcp;
    this.#channel = new CriChannel(env, endpoint);
    this.#sandboxes = new RuntimeSandboxes(this.#channel);
    this.#images = new ImageMounts(env, this.#channel, imageVolumes);
    this.#containers = new RuntimeContainers(env, this.#channel, this.#sandboxes, this.#images);
    const list = (): Promise<ContainerStatus[]> => this.#containers.list({});
    this.#events = new RuntimeEvents({ env, logger, channel: this.#channel, list });
  }

  close(): void {
    this.#events.close();
    this.#channel.close();
  }

  releaseImages(podUid: string): Promise<void> {
    return this.#images.release(podUid);
  }

  async version(): Promise<{ runtimeName: string; runtimeVersion: string }> {
    const { runtimeName, runtimeVersion } = await this.#channel.call("version", { version: "v1" }, READ_TIMEOUT_MS);
    this.#hasEvents = hasEvents(runtimeName, runtimeVersion);
    return { runtimeName, runtimeVersion };
  }

  async status(): Promise<{ runtimeReady: boolean; networkReady: boolean; message: string }> {
    const { status } = await this.#channel.call("status", {}, READ_TIMEOUT_MS);
    const conditions = status?.conditions ?? [];
    const ready = (type: string): boolean => conditions.some((one) => one.type === type && one.status);
    const failed = conditions
      .filter((one) => !one.status)
      .map(({ type, reason, message }) => `${type}=false reason:${reason} message:${message}`);
    return { runtimeReady: ready("RuntimeReady"), networkReady: ready("NetworkReady"), message: failed.join("; ") };
  }

  runPodSandbox(config: PodSandboxConfig): Promise<string> {
    return this.#sandboxes.run(config);
  }

  stopPodSandbox(id: string): Promise<void> {
    return this.#sandboxes.stop(id);
  }

  removePodSandbox(id: string): Promise<void> {
    return this.#sandboxes.remove(id);
  }

  podSandboxStatus(id: string): Promise<PodSandbox> {
    return this.#sandboxes.status(id);
  }

  listPodSandbox(filter: { uid?: string } = {}): Promise<PodSandbox[]> {
    return this.#sandboxes.list(filter);
  }

  createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    return this.#containers.create(sandboxId, config);
  }

  startContainer(id: string): Promise<void> {
    return this.#containers.start(id);
  }

  stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    return this.#containers.stop(id, timeoutSeconds);
  }

  async removeContainer(id: string): Promise<void> {
    this.#cpu.forget(id);
    await this.#containers.remove(id);
  }

  updateContainerResources(id: string, resources: ContainerConfig["resources"], oomScoreAdj: number): Promise<void> {
    return this.#containers.updateResources(id, resources, oomScoreAdj);
  }

  containerStatus(id: string): Promise<ContainerStatus> {
    return this.#containers.status(id);
  }

  listContainers(filter: { sandboxId?: string; podUid?: string } = {}): Promise<ContainerStatus[]> {
    return this.#containers.list(filter);
  }

  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
  ): Promise<{ stdout: Buffer; stderr: Buffer; exitCode: number }> {
    const limitMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 + EXEC_GRACE_MS : Number.POSITIVE_INFINITY;
    return this.#channel.call("execSync", { containerId: id, cmd: command, timeout: timeoutSeconds }, limitMs);
  }

  async exec(id: string, command: readonly string[], tty: boolean, io: ExecIo, signal: AbortSignal): Promise<number> {
    const streams = { tty, stdin: io.stdin !== undefined, stdout: true, stderr: !tty };
    const request = { containerId: id, cmd: command, ...streams };
    const { url } = await this.#channel.call("exec", request, READ_TIMEOUT_MS, signal);
    return runRemoteCommand({ url, tty, io, dial: this.#dial }, signal);
  }

  async attach(id: string, io: ExecIo, signal: AbortSignal): Promise<void> {
    const { tty } = (await this.#containers.status(id)).config;
    const streams = { tty, stdin: io.stdin !== undefined, stdout: true, stderr: !tty };
    const { url } = await this.#channel.call("attach", { containerId: id, ...streams }, READ_TIMEOUT_MS, signal);
    await runRemoteCommand({ url, tty, io, dial: this.#dial }, signal);
  }

  async portForward(sandboxId: string, port: number, io: ForwardIo, signal: AbortSignal): Promise<void> {
    const request = { podSandboxId: sandboxId, port: [port] };
    const { url } = await this.#channel.call("portForward", request, READ_TIMEOUT_MS, signal);
    await forwardPort({ url, port, io, dial: this.#dial }, signal);
  }

  async *logs(id: string, { follow }: { follow: boolean }, signal: AbortSignal): AsyncIterable<LogLine> {
    const { logFile: file } = await this.#containers.status(id);
    if (file === "") throw new CriError("InvalidArgument", `container ${id} writes no log file`);
    const ended = (): Promise<boolean> => this.#hasEnded(id);
    yield* readLogFile({ env: this.#env, file, follow, ended, signal });
  }

  async reopenContainerLog(id: string): Promise<void> {
    await this.#channel.call("reopenContainerLog", { containerId: id }, READ_TIMEOUT_MS);
  }

  async containerStats(sandboxId: string): Promise<CriContainerStats[]> {
    const filter = { podSandboxId: sandboxId };
    const { stats } = await this.#channel.call("listContainerStats", { filter }, READ_TIMEOUT_MS);
    return stats.map(({ attributes, cpu, memory, writableLayer }) => {
      const containerId = attributes?.id ?? "";
      const used = BigInt(cpu?.usageCoreNanoSeconds?.value ?? "0");
      const counted = this.#cpu.nanoCores(containerId, BigInt(cpu?.timestamp ?? "0"), used);
      // The runtime's own figure is over the time since anybody asked last, which may be a moment.
      const cpuNanoCores = counted ?? Number(cpu?.usageNanoCores?.value ?? "0");
      const memoryWorkingSetBytes = Number(memory?.workingSetBytes?.value ?? "0");
      const timeMs = Number(BigInt(cpu?.timestamp ?? "0") / 1_000_000n);
      const writableLayerBytes = Number(writableLayer?.usedBytes?.value ?? "0");
      return { containerId, cpuNanoCores, cpuNanos: Number(used), memoryWorkingSetBytes, writableLayerBytes, timeMs };
    });
  }

  async imageStatus(image: string): ReturnType<Cri["imageStatus"]> {
    const found = await this.#channel.call("imageStatus", { image: { image } }, READ_TIMEOUT_MS);
    if (found.image === null) return undefined;
    const { id, size, uid, username } = found.image;
    // An image that names nobody runs as root.
    const user = username === "" ? { uid: Number(uid?.value ?? 0) } : { username };
    return { id, sizeBytes: Number(size), user };
  }

  async pullImage(image: string, auth?: RegistryAuth): Promise<string> {
    const request = auth === undefined ? { image: { image } } : { image: { image }, auth };
    const { imageRef } = await this.#channel.call("pullImage", request, PULL_TIMEOUT_MS);
    return imageRef;
  }

  async listImages(): Promise<{ id: string; names: string[]; sizeBytes: number }[]> {
    const { images } = await this.#channel.call("listImages", {}, READ_TIMEOUT_MS);
    return images.map(({ id, repoTags, repoDigests, size }) => ({
      id,
      names: [...repoTags, ...repoDigests],
      sizeBytes: Number(size),
    }));
  }

  async removeImage(image: string): Promise<void> {
    await this.#channel.call("removeImage", { image: { image } }, CHANGE_TIMEOUT_MS).catch(ignoreNotFound);
  }

  /** The runtime tells what its images take, and where; how large that disk is, the node knows itself. */
  async imageFsInfo(): ReturnType<NonNullable<Cri["imageFsInfo"]>> {
    const mountpoint = await imagesMountpoint(this.#channel);
    if (mountpoint === undefined) throw new CriError("Internal", "the runtime names no file system of images");
    const { bsize, blocks, bavail } = await statfs(mountpoint);
    return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
  }

  /** Known once the runtime has told its version. */
  get events(): Cri["events"] {
    return this.#hasEvents ? (listener) => this.#events.subscribe(listener) : undefined;
  }

  /** An ended container, or one that is gone, writes no more; a runtime that is away says nothing of it. */
  async #hasEnded(id: string): Promise<boolean> {
    try {
      const { state } = await this.#containers.status(id);
      return state === "CONTAINER_EXITED";
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      return error.code === "NotFound";
    }
  }
}
