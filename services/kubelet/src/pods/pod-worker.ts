// The worker of one pod: keeps the runtime as the pod wants it, and the API's status as the runtime has it. Guarantees:
// - One action at a time; every change (of the pod, of a container, of a probe) leads to a new plan.
// - The pod's object goes only after all its containers have ended and their end has been written.
import type { Pod, PodCondition, PodStatus } from "@coxswain/api";
import { PODS } from "@coxswain/api";
import { compareResourceVersions, objectKey } from "@coxswain/apimachinery";
import type { BatchOperation } from "@coxswain/client";
import type { TimerHandle } from "@coxswain/env";
import { goDuration } from "./backoff.ts";
import type { ContainerEvent, ContainerStatus as CriContainerStatus, PodSandboxConfig } from "../cri/contract.ts";
import { planAdmission, amounts } from "./admission.ts";
import type { NodeContext } from "./node-context.ts";
import { planStatus, podLogName } from "./plan-status.ts";
import { crashBackoffUntil, planSync, terminationGrace, type PodAction } from "./plan-sync.ts";
import { exitCodeOf, isRunning, newPodState, type ContainerRecord, type PodState } from "./pod-state.ts";
import { missingVolumeSources } from "./pod-volumes.ts";
import { Prober, type ProbeResult } from "./prober.ts";
import { startContainer } from "./start-container.ts";
import { statusPatch } from "./status-patch.ts";
import type { StatusSource, WriteOutcome } from "./status-writer.ts";

const SANDBOX_RETRY_MS = 5_000;
/** Against a plan that never comes to rest: a defect then shows as slowness and a log line, not as a hot loop. */
const MAX_ROUNDS = 1_000;
const PROBE_NAMES = { liveness: "Liveness", readiness: "Readiness", startup: "Startup" } as const;

export class PodWorker implements StatusSource {
  readonly key: string;
  readonly state: PodState;
  readonly #context: NodeContext;
  readonly #onDone: (worker: PodWorker) => void;
  readonly #probers = new Map<ContainerRecord, Prober>();
  #running = false;
  #again = false;
  #admitted = false;
  #closed = false;
  #wake: TimerHandle | undefined;
  /** The pod as the server had it last. */
  #server: Pod;
  #desired: PodStatus | undefined;
  #deletionSent = false;
  readonly #told = new Set<string>();

  constructor(context: NodeContext, pod: Pod, onDone: (worker: PodWorker) => void) {
    this.#context = context;
    this.#onDone = onDone;
    this.#server = pod;
    this.key = objectKey(pod);
    this.state = newPodState(pod, context.env.clock.now());
  }

  get uid(): string {
    return this.state.pod.metadata?.uid ?? "";
  }

  /** The pod as it is now: of the API, with this worker's newest status. */
  get pod(): Pod {
    return { ...this.state.pod, status: { ...this.state.pod.status, ...this.#desired } };
  }

  /** True once it takes no room any more. */
  get over(): boolean {
    return (
      this.state.failure !== undefined ||
      (terminationGrace(this.state) !== undefined && !this.state.containers.some(isRunning))
    );
  }

  /** True where the pod was let in. */
  get admitted(): boolean {
    return this.#admitted;
  }

  /** A new version of the pod. */
  update(pod: Pod): void {
    this.#take(pod);
    this.sync();
  }

  /** The API object is gone: what still runs is ended, and nothing is written. */
  orphan(): void {
    this.state.orphaned = true;
    this.#context.writer.forget(this);
    this.sync();
  }

  /** Ends the worker where it stands; containers are left alone. */
  close(): void {
    this.#closed = true;
    this.#context.env.timers.clear(this.#wake);
    for (const prober of this.#probers.values()) prober.stop();
    this.#probers.clear();
    this.#context.writer.forget(this);
  }

  /** Plans again, soon. */
  sync(): void {
    if (this.#closed || !this.#context.open()) return;
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    this.#run().then(
      () => (this.#running = false),
      (error: unknown) => {
        this.#running = false;
        this.#context.logger.error({ pod: this.key, err: error }, "a pod could not be synced");
        this.#wakeAt(this.#context.env.clock.now() + SANDBOX_RETRY_MS);
      },
    );
  }

  onRuntimeEvent(event: ContainerEvent): void {
    const record = this.state.containers.find((one) => one.run?.id === event.containerId);
    if (record === undefined || event.type !== "CONTAINER_STOPPED_EVENT") return;
    this.#context.cri.containerStatus(event.containerId).then(
      (status) => this.#ended(record, status),
      (error: unknown) => this.#context.logger.warn({ pod: this.key, err: error }, "a container's end is not known"),
    );
  }

  nextWrite(): BatchOperation | undefined {
    const { state } = this;
    if (state.orphaned || this.#closed) return undefined;
    const { namespace = "", name = "", uid = "" } = state.pod.metadata ?? {};
    const target = { namespace, name };
    const patch = this.#desired === undefined ? undefined : statusPatch(this.#server.status ?? {}, this.#desired);
    if (patch !== undefined) {
      const body = { metadata: { uid }, status: patch };
      const type = "application/strategic-merge-patch+json";
      return { op: "patch", ref: PODS, target, type, patch: body, subresource: "status" };
    }
    if (!state.finishing || this.#deletionSent) return undefined;
    return { op: "delete", ref: PODS, target, options: { gracePeriodSeconds: 0, preconditions: { uid } } };
  }

  written(outcome: WriteOutcome): void {
    if (this.#closed) return;
    if ("error" in outcome) {
      this.orphan();
      return;
    }
    const { pod, deleted } = outcome;
    // Where finalizers hold the object, whoever set them ends it: it is not deleted again.
    if (deleted) this.#deletionSent = true;
    if (pod?.metadata?.uid === this.uid) this.#take(pod);
    if (this.nextWrite() !== undefined) this.#context.writer.touch(this);
  }

  /** Keeps the newest version that is known; a feed may be behind what a write has answered. */
  #take(pod: Pod): void {
    const known = this.#server.metadata?.resourceVersion ?? "";
    if (compareResourceVersions(pod.metadata?.resourceVersion ?? "", known) < 0) return;
    this.#server = pod;
    this.state.pod = pod;
  }

  async #run(): Promise<void> {
    let rounds = 0;
    while (this.#again && !this.#closed) {
      this.#again = false;
      if (!this.#admitted) this.#admit();
      const { actions, wakeAtMs } = planSync(this.state, this.#context.env.clock.now());
      for (const action of actions) {
        if (this.#closed) return;
        await this.#perform(action);
        this.#publish();
      }
      this.#publish();
      this.#wakeAt(wakeAtMs);
      if (actions.length > 0) this.#again = true;
      if (++rounds >= MAX_ROUNDS) throw new Error(`no rest after ${rounds} plans`);
      if (actions.length === 0 && !this.#again) this.#maybeDone();
    }
  }

  #maybeDone(): void {
    const idle = this.state.sandbox === undefined && !this.state.containers.some(isRunning);
    if (this.state.orphaned && idle) {
      this.close();
      this.#onDone(this);
    }
  }

  #admit(): void {
    this.#admitted = true;
    const { pod, failure } = this.state;
    // Only what has not begun is looked at; a restarted kubelet finds its pods as admitted.
    if (failure !== undefined || pod.metadata?.deletionTimestamp !== undefined || pod.status?.startTime !== undefined)
      return;
    const refusal = planAdmission(pod, this.#context.activePods(pod), amounts(this.#context.allocatable));
    if (refusal === undefined) return;
    this.state.failure = { reason: refusal.reason, message: `Pod was rejected: ${refusal.message}` };
    this.#context.events.pod(pod, "Warning", refusal.reason, refusal.message);
  }

  async #perform(action: PodAction): Promise<void> {
    const { state } = this;
    if (action.do === "createSandbox") return this.#createSandbox();
    if (action.do === "stopSandbox") return this.#stopSandbox();
    if (action.do === "fail") {
      state.failure = { reason: action.reason, message: action.message };
      this.#context.events.pod(state.pod, "Normal", action.reason, action.message);
      return undefined;
    }
    if (action.do === "finishDeletion") {
      // Logs go with the pod. The informer tells when the object is gone.
      await this.#removeSandboxes();
      state.finishing = true;
      this.#context.writer.touch(this);
      return undefined;
    }
    const record = state.containers.find((one) => one.name === action.name);
    if (record === undefined) throw new Error(`no container ${action.name}`);
    if (action.do === "stopContainer") this.#stop(record, action.graceSeconds, action.message);
    else if (action.do === "reportPullBackoff") this.#reportPullBackoff(record);
    else if (await startContainer({ context: this.#context, state, record })) this.#begun(record);
    return undefined;
  }

  async #createSandbox(): Promise<void> {
    const { state } = this;
    const { cri, env, events, objects } = this.#context;
    const missing = await missingVolumeSources(state.pod, objects);
    for (const message of missing) events.pod(state.pod, "Warning", "FailedMount", message);
    if (missing.length > 0) {
      state.sandboxRetryAtMs = env.clock.now() + SANDBOX_RETRY_MS;
      return;
    }
    try {
      const id = await cri.runPodSandbox(this.#sandboxConfig());
      const { ip } = await cri.podSandboxStatus(id);
      state.sandbox = { id, ip };
      state.lastIp = state.pod.spec?.hostNetwork ? this.#context.hostIp : ip;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      events.pod(state.pod, "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${message}`);
      state.sandboxRetryAtMs = env.clock.now() + SANDBOX_RETRY_MS;
    }
    state.attempts++;
  }

  #sandboxConfig(): PodSandboxConfig {
    const { metadata = {}, spec } = this.state.pod;
    const { name = "", namespace = "", uid = "", labels = {}, annotations = {} } = metadata;
    return {
      name,
      namespace,
      uid,
      attempt: this.state.attempts,
      hostname: spec?.hostname ?? name,
      logDirectory: `/var/log/pods/${namespace}_${name}_${uid}`,
      labels,
      annotations,
      hostNetwork: spec?.hostNetwork ?? false,
    };
  }

  async #stopSandbox(): Promise<void> {
    const id = this.state.sandbox?.id ?? "";
    await this.#context.cri.stopPodSandbox(id);
    // A finished pod keeps its containers, whose logs can be read, until it is deleted.
    this.state.sandbox = undefined;
    this.state.stoppedSandboxes.push(id);
    if (this.state.pod.metadata?.deletionTimestamp !== undefined || this.state.orphaned) await this.#removeSandboxes();
  }

  async #removeSandboxes(): Promise<void> {
    for (const id of this.state.stoppedSandboxes.splice(0)) await this.#context.cri.removePodSandbox(id);
  }

  /** In the background: the container's end comes as an event. */
  #stop(record: ContainerRecord, graceSeconds: number, message: string): void {
    const { env, cri, events, logger } = this.#context;
    const id = record.run?.id ?? "";
    if (record.stoppingUntilMs === undefined) events.container(this.state.pod, record, "Normal", "Killing", message);
    record.stoppingUntilMs = env.clock.now() + graceSeconds * 1000;
    this.#probers.get(record)?.stop();
    cri.stopContainer(id, graceSeconds).catch((error: unknown) => {
      logger.warn({ pod: this.key, container: record.name, err: error }, "could not stop a container");
      record.stoppingUntilMs = undefined;
      this.#wakeAt(env.clock.now() + SANDBOX_RETRY_MS);
    });
  }

  #reportPullBackoff(record: ContainerRecord): void {
    const { events } = this.#context;
    const { pod } = this.state;
    const image = record.spec.image ?? "";
    const sinceMs = this.#context.env.clock.now();
    const told = record.waiting?.message ?? "";
    const message = `Back-off pulling image "${image}": ErrImagePull: ${told}`;
    record.waiting = { reason: "ImagePullBackOff", message, sinceMs };
    events.container(pod, record, "Normal", "BackOff", `Back-off pulling image "${image}"`);
    events.container(pod, record, "Warning", "Failed", "Error: ImagePullBackOff");
  }

  #begun(record: ContainerRecord): void {
    this.#told.delete(record.name);
    if (!isRunning(record)) return;
    const { spec } = record;
    if (!spec.startupProbe && !spec.livenessProbe && !spec.readinessProbe) return;
    const prober = new Prober(spec, {
      env: this.#context.env,
      run: (kind) => this.#probe(record, kind),
      changed: (kind, success) => this.#probed(record, kind, success),
      failed: (kind, output) => {
        const message = `${PROBE_NAMES[kind]} probe failed: ${output}`;
        this.#context.events.container(this.state.pod, record, "Warning", "Unhealthy", message);
      },
    });
    this.#probers.get(record)?.stop();
    this.#probers.set(record, prober);
    prober.start();
  }

  async #probe(record: ContainerRecord, kind: "startup" | "liveness" | "readiness"): Promise<ProbeResult> {
    const { cri } = this.#context;
    if (cri.probe === undefined) throw new Error("this runtime answers no probes");
    return cri.probe(record.run?.id ?? "", kind);
  }

  #probed(record: ContainerRecord, kind: "startup" | "liveness" | "readiness", success: boolean): void {
    if (kind === "readiness") record.ready = success;
    else if (success) record.started = true;
    else record.mustRestart = `Container ${record.name} failed ${kind} probe, will be restarted`;
    this.sync();
  }

  #ended(record: ContainerRecord, status: CriContainerStatus): void {
    if (record.run?.id !== status.id || record.run.state === "exited") return;
    const { finishedAtMs, exitCode, reason, message } = status;
    Object.assign(record.run, { state: "exited", finishedAtMs, exitCode, reason, message });
    record.stoppingUntilMs = undefined;
    record.started = false;
    record.ready = false;
    this.#probers.get(record)?.stop();
    this.#probers.delete(record);
    this.sync();
  }

  /** Makes the status anew and has it written where it differs from the server's. */
  #publish(): void {
    const { state } = this;
    if (state.orphaned || this.#closed) return;
    const { env, hostIp, runtimeName } = this.#context;
    const nowMs = env.clock.now();
    this.#desired = planStatus({ state, nowMs, hostIp, runtimeName });
    state.conditions = new Map((this.#desired.conditions ?? []).map((one): [string, PodCondition] => [one.type, one]));
    this.#tellCrashLoops(nowMs);
    if (statusPatch(this.#server.status ?? {}, this.#desired) !== undefined) this.#context.writer.touch(this);
  }

  /** Once for each wait. */
  #tellCrashLoops(nowMs: number): void {
    for (const record of this.state.containers) {
      if (exitCodeOf(record) === undefined || this.#told.has(record.name)) continue;
      if (crashBackoffUntil(this.state.pod, record, nowMs) === undefined || terminationGrace(this.state) !== undefined)
        continue;
      this.#told.add(record.name);
      const message = `Back-off restarting failed container ${record.name} in pod ${podLogName(this.state.pod)}`;
      this.#context.events.container(this.state.pod, record, "Warning", "BackOff", message);
      const delay = goDuration(record.crashBackoff?.delayMs ?? 0);
      this.#context.logger.debug(
        { pod: this.key, container: record.name, delay },
        "a container crashes again and again",
      );
    }
  }

  #wakeAt(atMs: number | undefined): void {
    const { env } = this.#context;
    env.timers.clear(this.#wake);
    this.#wake = undefined;
    if (atMs === undefined || this.#closed) return;
    this.#wake = env.timers.setTimeout(() => this.sync(), Math.max(1, atMs - env.clock.now()));
  }
}
