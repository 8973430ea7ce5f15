// The simulated runtime: a Cri in memory, without processes. Guarantees:
// - Pods have addresses of their own out of the node's pod CIDR.
// - A container starts after a short latency and runs for ever, unless its behaviour says otherwise (behaviour.ts).
// - It costs nothing while nothing happens: a container that runs for ever holds no timer.
import type { Env, TimerHandle } from "@coxswain/env";
import { CONTAINER_TYPE_ANNOTATION } from "../annotations.ts";
import {
  CriError,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerStatus,
  type Cri,
  type CriContainerStats,
  type ExecIo,
  type ForwardIo,
  type LogLine,
  type PodSandbox,
  type PodSandboxConfig,
  type ProbeKind,
} from "../contract.ts";
import { AddressPool, fallbackPodCidr } from "./address-pool.ts";
import { planBehaviour, SIMULATE_ANNOTATION, type Behaviour } from "./behaviour.ts";
import { CpuClock } from "../../stats/cpu-clock.ts";
import { defaultUsage, type SimulatedUsage } from "../../stats/simulated-usage.ts";
import { isShell, planExec, runShell } from "./simulated-exec.ts";
import { SimulatedImages } from "./simulated-images.ts";

export const SIMULATED_VERSION = "0.1.0";

export interface LatencyRange {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface SimulatedCriOptions {
  readonly env: Env;
  readonly node: string;
  /** The Node's spec.podCIDR, asked for each sandbox; a range of the node's own while undefined. */
  readonly podCidr?: () => string | undefined;
  /** Time that starting a container takes; 20–120 ms where unset. */
  readonly startLatency?: LatencyRange;
  /** Time that pulling an image takes; 50–400 ms where unset. */
  readonly pullLatency?: LatencyRange;
  /** Time that a container takes to end when it is asked to; 10–60 ms where unset. */
  readonly stopLatency?: LatencyRange;
  /** What a container of a sandbox uses now; a little where unset. */
  readonly usage?: (sandbox: PodSandboxConfig, container: string) => SimulatedUsage;
}

interface Sandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAtMs: number;
  readonly ip: string;
  ready: boolean;
  readonly containers: Set<string>;
}

interface Container {
  readonly sandbox: Sandbox;
  status: ContainerStatus;
  readonly behaviour: Behaviour;
  timer: TimerHandle | undefined;
  /** Made when its figures are first asked for. */
  cpu?: CpuClock;
  /** Called when it has ended. */
  readonly ended: Set<() => void>;
}

/** The simulated runtime of one node. */
export function createSimulatedCri(options: SimulatedCriOptions): Cri {
  return new SimulatedCri(options);
}

class SimulatedCri implements Cri {
  readonly #env: Env;
  readonly #options: SimulatedCriOptions;
  readonly #addresses: AddressPool;
  readonly #images = new SimulatedImages();
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, Container>();
  readonly #listeners = new Set<(event: ContainerEvent) => void>();

  constructor(options: SimulatedCriOptions) {
    this.#env = options.env;
    this.#options = options;
    const fallback = fallbackPodCidr(options.node);
    this.#addresses = new AddressPool(() => options.podCidr?.() || fallback);
  }

  async version(): Promise<{ runtimeName: string; runtimeVersion: string }> {
    return { runtimeName: "simulated", runtimeVersion: SIMULATED_VERSION };
  }

  async status(): Promise<{ runtimeReady: boolean; networkReady: boolean; message: string }> {
    return { runtimeReady: true, networkReady: true, message: "" };
  }

  async runPodSandbox(config: PodSandboxConfig): Promise<string> {
    for (const one of this.#sandboxes.values()) {
      if (one.ready && one.config.uid === config.uid) {
        throw new CriError("AlreadyExists", `pod ${config.namespace}/${config.name} has the sandbox ${one.id}`);
      }
    }
    const ip = config.hostNetwork ? "" : this.#takeAddress();
    const sandbox: Sandbox = {
      id: this.#newId(),
      config,
      createdAtMs: this.#env.clock.now(),
      ip,
      ready: true,
      containers: new Set(),
    };
    this.#sandboxes.set(sandbox.id, sandbox);
    return sandbox.id;
  }

  async stopPodSandbox(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined || !sandbox.ready) return;
    for (const container of sandbox.containers) this.#exit(container, 137, "Error");
    sandbox.ready = false;
    if (sandbox.ip !== "") this.#addresses.release(sandbox.ip);
  }

  async removePodSandbox(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined) return;
    await this.stopPodSandbox(id);
    for (const container of sandbox.containers) await this.removeContainer(container);
    this.#sandboxes.delete(id);
  }

  async podSandboxStatus(id: string): Promise<PodSandbox> {
    return describeSandbox(this.#sandbox(id));
  }

  async listPodSandbox(filter: { uid?: string } = {}): Promise<PodSandbox[]> {
    return [...this.#sandboxes.values()]
      .filter((one) => filter.uid === undefined || one.config.uid === filter.uid)
      .map((one) => describeSandbox(one));
  }

  async createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    const sandbox = this.#sandbox(sandboxId);
    if (!sandbox.ready) throw new CriError("InvalidArgument", `sandbox ${sandboxId} is not ready`);
    for (const id of sandbox.containers) {
      const { config: other } = this.#container(id).status;
      if (other.name === config.name && other.attempt === config.attempt) {
        throw new CriError("AlreadyExists", `container ${config.name} attempt ${config.attempt} exists`);
      }
    }
    const image = this.#images.status(config.image);
    if (image === undefined) throw new CriError("NotFound", `image "${config.image}": not found`);
    const behaviour = this.#behaviourOf(sandbox, config);
    const id = this.#newId();
    const status: ContainerStatus = {
      id,
      sandboxId,
      config,
      state: "CONTAINER_CREATED",
      createdAtMs: this.#env.clock.now(),
      startedAtMs: 0,
      finishedAtMs: 0,
      exitCode: 0,
      reason: "",
      message: "",
      imageRef: image.id,
    };
    this.#containers.set(id, { sandbox, status, behaviour, timer: undefined, ended: new Set() });
    sandbox.containers.add(id);
    this.#emit(sandboxId, id, "CONTAINER_CREATED_EVENT");
    return id;
  }

  async startContainer(id: string): Promise<void> {
    if (this.#container(id).status.state !== "CONTAINER_CREATED") {
      throw new CriError("InvalidArgument", `container ${id} was started before`);
    }
    await this.#delay(this.#options.startLatency ?? { minMs: 20, maxMs: 120 });
    const container = this.#container(id);
    if (container.status.state !== "CONTAINER_CREATED") {
      throw new CriError("InvalidArgument", `container ${id} ended while it was starting`);
    }
    container.status = { ...container.status, state: "CONTAINER_RUNNING", startedAtMs: this.#env.clock.now() };
    this.#emit(container.sandbox.id, id, "CONTAINER_STARTED_EVENT");
    const { exitAfterMs, exitCode } = container.behaviour;
    if (exitAfterMs === undefined) return;
    const end = (): void => this.#exit(id, exitCode, exitCode === 0 ? "Completed" : "Error");
    container.timer = this.#env.timers.setTimeout(end, exitAfterMs);
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined || container.status.state === "CONTAINER_EXITED") return;
    if (container.status.state === "CONTAINER_CREATED" || timeoutSeconds <= 0) {
      this.#exit(id, 137, "Error");
      return;
    }
    const forced = container.behaviour.ignoresTermination;
    const ended = Promise.withResolvers<void>();
    container.ended.add(ended.resolve);
    const afterMs = forced
      ? timeoutSeconds * 1000
      : this.#latency(this.#options.stopLatency ?? { minMs: 10, maxMs: 60 });
    const end = (): void => (forced ? this.#exit(id, 137, "Error") : this.#exit(id, 0, "Completed"));
    const timer = this.#env.timers.setTimeout(end, Math.min(afterMs, timeoutSeconds * 1000));
    await ended.promise;
    this.#env.timers.clear(timer);
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    this.#exit(id, 137, "Error");
    this.#containers.delete(id);
    container.sandbox.containers.delete(id);
    this.#emit(container.sandbox.id, id, "CONTAINER_DELETED_EVENT");
  }

  async updateContainerResources(id: string, resources: ContainerConfig["resources"]): Promise<void> {
    const container = this.#running(id);
    container.status = { ...container.status, config: { ...container.status.config, resources } };
  }

  async containerStatus(id: string): Promise<ContainerStatus> {
    return this.#container(id).status;
  }

  async listContainers(filter: { sandboxId?: string; podUid?: string } = {}): Promise<ContainerStatus[]> {
    return [...this.#containers.values()]
      .filter(({ sandbox }) => filter.sandboxId === undefined || sandbox.id === filter.sandboxId)
      .filter(({ sandbox }) => filter.podUid === undefined || sandbox.config.uid === filter.podUid)
      .map(({ status }) => status);
  }

  async execSync(
    id: string,
    command: readonly string[],
    _timeoutSeconds: number,
  ): Promise<{ stdout: Buffer; stderr: Buffer; exitCode: number }> {
    const { stdout, exitCode } = planExec(this.#running(id).status.config, command);
    return { stdout: Buffer.from(stdout), stderr: Buffer.alloc(0), exitCode };
  }

  async exec(id: string, command: readonly string[], tty: boolean, io: ExecIo, signal: AbortSignal): Promise<number> {
    const { config } = this.#running(id).status;
    if (isShell(command) && io.stdin !== undefined) return runShell(config, tty, io, signal);
    const { stdout, exitCode } = planExec(config, command);
    io.stdout(Buffer.from(tty ? stdout.replaceAll("\n", "\r\n") : stdout));
    return exitCode;
  }

  async attach(id: string, io: ExecIo, signal: AbortSignal): Promise<void> {
    for await (const { line } of this.logs(id, { follow: true }, signal)) {
      io.stdout(Buffer.concat([line, Buffer.from("\n")]));
    }
  }

  async portForward(sandboxId: string, port: number, io: ForwardIo, _signal: AbortSignal): Promise<void> {
    const { name } = this.#sandbox(sandboxId).config;
    await io.output(Buffer.from(`simulated: nothing listens on port ${port} of pod ${name}; no real process runs\n`));
  }

  async *logs(id: string, { follow }: { follow: boolean }, signal: AbortSignal): AsyncIterable<LogLine> {
    const container = this.#container(id);
    const { config, startedAtMs } = container.status;
    if (startedAtMs === 0) return;
    const what = `container ${config.name} (image ${config.image}) on node ${this.#options.node}`;
    const lines = [
      { atMs: 0, line: `simulated: ${what} started; no real process runs` },
      ...container.behaviour.output.map(({ atMs, line }) => ({ atMs, line: `simulated: ${line}` })),
    ];
    for (const { atMs, line } of lines) {
      const timeMs = startedAtMs + atMs;
      if (!(await this.#reaches(container, timeMs, follow, signal))) break;
      yield { timeMs, stream: "stdout", line: Buffer.from(line) };
    }
    if (follow) await this.#untilEnd(container, signal);
    const { state, finishedAtMs, exitCode } = container.status;
    if (state !== "CONTAINER_EXITED" || signal.aborted) return;
    const line = Buffer.from(`simulated: ${what} ended with exit code ${exitCode}`);
    yield { timeMs: finishedAtMs, stream: "stdout", line };
  }

  async containerStats(sandboxId: string): Promise<CriContainerStats[]> {
    const { config, containers } = this.#sandbox(sandboxId);
    const running = [...containers].filter((id) => this.#container(id).status.state === "CONTAINER_RUNNING");
    return running.map((containerId) => {
      const container = this.#container(containerId);
      const { name } = container.status.config;
      const { cpuNanoCores, memoryBytes } = this.#options.usage?.(config, name) ?? defaultUsage(undefined, name);
      container.cpu ??= new CpuClock(container.status.startedAtMs);
      const timeMs = this.#env.clock.now();
      const cpuNanos = container.cpu.count(cpuNanoCores, timeMs);
      return { containerId, cpuNanoCores, cpuNanos, memoryWorkingSetBytes: memoryBytes, writableLayerBytes: 0, timeMs };
    });
  }

  async imageStatus(image: string): Promise<{ id: string; sizeBytes: number } | undefined> {
    const found = this.#images.status(image);
    return found === undefined ? undefined : { id: found.id, sizeBytes: found.sizeBytes };
  }

  async pullImage(image: string): Promise<string> {
    await this.#delay(this.#options.pullLatency ?? { minMs: 50, maxMs: 400 });
    return this.#images.pull(image);
  }

  async listImages(): Promise<{ id: string; names: string[]; sizeBytes: number }[]> {
    return this.#images.list().map(({ id, name, sizeBytes }) => ({ id, names: [name], sizeBytes }));
  }

  async removeImage(image: string): Promise<void> {
    this.#images.remove(image);
  }

  async probe(id: string, kind: ProbeKind): Promise<{ success: boolean; output: string }> {
    const { status, behaviour } = this.#running(id);
    const ageMs = this.#env.clock.now() - status.startedAtMs;
    if (kind === "liveness") {
      const fails = behaviour.livenessFailsAfterMs !== undefined && ageMs >= behaviour.livenessFailsAfterMs;
      return fails
        ? { success: false, output: "simulated: the container is not alive" }
        : { success: true, output: "" };
    }
    if (ageMs >= behaviour.readyAfterMs) return { success: true, output: "" };
    return { success: false, output: `simulated: the container is not ready for ${behaviour.readyAfterMs - ageMs} ms` };
  }

  events(listener: (event: ContainerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #takeAddress(): string {
    try {
      return this.#addresses.take();
    } catch (error) {
      throw new CriError("Internal", `failed to set up the sandbox's network: ${(error as Error).message}`);
    }
  }

  #behaviourOf(sandbox: Sandbox, config: ContainerConfig): Behaviour {
    try {
      return planBehaviour({
        annotation: sandbox.config.annotations[SIMULATE_ANNOTATION],
        container: config.name,
        argv: [...config.command, ...config.args],
        init: config.annotations[CONTAINER_TYPE_ANNOTATION] === "init",
      });
    } catch (error) {
      throw new CriError("InvalidArgument", (error as Error).message);
    }
  }

  #exit(id: string, exitCode: number, reason: string): void {
    const container = this.#containers.get(id);
    if (container === undefined || container.status.state === "CONTAINER_EXITED") return;
    this.#env.timers.clear(container.timer);
    container.timer = undefined;
    const finishedAtMs = this.#env.clock.now();
    container.status = { ...container.status, state: "CONTAINER_EXITED", finishedAtMs, exitCode, reason };
    for (const ended of container.ended) ended();
    container.ended.clear();
    this.#emit(container.sandbox.id, id, "CONTAINER_STOPPED_EVENT");
  }

  /** True once the time has come while the container was alive. */
  async #reaches(container: Container, timeMs: number, follow: boolean, signal: AbortSignal): Promise<boolean> {
    const waitMs = timeMs - this.#env.clock.now();
    if (waitMs > 0 && follow) await this.#untilEnd(container, signal, waitMs);
    const { state, finishedAtMs } = container.status;
    const lastMs = state === "CONTAINER_EXITED" ? finishedAtMs : this.#env.clock.now();
    return timeMs <= lastMs && !signal.aborted;
  }

  /** Resolves when the container has ended, `signal` aborts, or after `ms`. */
  async #untilEnd(container: Container, signal: AbortSignal, ms?: number): Promise<void> {
    if (container.status.state === "CONTAINER_EXITED" || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => resolve();
    container.ended.add(end);
    signal.addEventListener("abort", end, { once: true });
    const timer = ms === undefined ? undefined : this.#env.timers.setTimeout(end, ms);
    await promise;
    this.#env.timers.clear(timer);
    signal.removeEventListener("abort", end);
    container.ended.delete(end);
  }

  #latency({ minMs, maxMs }: LatencyRange): number {
    return maxMs <= minMs ? minMs : minMs + this.#env.random.int(maxMs - minMs + 1);
  }

  async #delay(range: LatencyRange): Promise<void> {
    const ms = this.#latency(range);
    if (ms > 0) await this.#env.timers.sleep(ms);
  }

  #newId(): string {
    return this.#env.random.bytes(32).toString("hex");
  }

  #emit(sandboxId: string, containerId: string, type: ContainerEvent["type"]): void {
    for (const listener of this.#listeners) listener({ sandboxId, containerId, type });
  }

  #sandbox(id: string): Sandbox {
    const found = this.#sandboxes.get(id);
    if (found === undefined) throw new CriError("NotFound", `sandbox ${id} not found`);
    return found;
  }

  #container(id: string): Container {
    const found = this.#containers.get(id);
    if (found === undefined) throw new CriError("NotFound", `container ${id} not found`);
    return found;
  }

  #running(id: string): Container {
    const found = this.#container(id);
    if (found.status.state !== "CONTAINER_RUNNING") {
      throw new CriError("InvalidArgument", `container ${id} is not running`);
    }
    return found;
  }
}

function describeSandbox({ id, config, ready, createdAtMs, ip }: Sandbox): PodSandbox {
  return { id, config, state: ready ? "SANDBOX_READY" : "SANDBOX_NOTREADY", createdAtMs, ip };
}
