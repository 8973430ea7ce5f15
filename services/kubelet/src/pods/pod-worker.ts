// The worker of one pod: keeps the runtime as the pod wants it, and the API's status as the runtime has it. Guarantees:
// - One action at a time; every change (of the pod, of a container, of a probe) leads to a new plan.
// - The pod's object goes only after all its containers have ended and their end has been written.
import type { Pod, PodCondition, PodStatus } from "@coxswain/api";
import { PODS, sameValue } from "@coxswain/api";
import { compareResourceVersions, objectKey } from "@coxswain/apimachinery";
import type { BatchOperation } from "@coxswain/client";
import type { TimerHandle } from "@coxswain/env";
import type { ContainerEvent, ContainerStatus as CriContainerStatus } from "../cri/contract.ts";
import { amounts, planAdmission } from "./admission.ts";
import { goDuration } from "./backoff.ts";
import { endedRun } from "./container-end.ts";
import type { NodeContext } from "./node-context.ts";
import { adoptRuntimePod, UNKNOWN_STATUS, type Leftovers, type RuntimePod } from "./plan-adoption.ts";
import { planStatus, podLogName } from "./plan-status.ts";
import { crashBackoffUntil, planSync, terminationGrace, type PodAction } from "./plan-sync.ts";
import { PodProbes } from "./pod-probes.ts";
import { addEphemeral, exitCodeOf, isRunning, newPodState, type ContainerRecord, type PodState } from "./pod-state.ts";
import {
  createSandbox,
  releaseResources,
  removeSandboxes,
  removeStrangers,
  replaceSandbox,
  stopSandbox,
} from "./sandbox-lifecycle.ts";
import { startContainer } from "./start-container.ts";
import { statusPatch } from "./status-patch.ts";
import type { StatusSource, WriteOutcome } from "./status-writer.ts";
import { ContainerStopper } from "./stop-container.ts";
import { VolumeRefresher } from "./volume-refresher.ts";

const RETRY_MS = 5_000;
/** Against a plan that never comes to rest: a defect then shows as slowness and a log line, not as a hot loop. */
const MAX_ROUNDS = 1_000;

export class PodWorker implements StatusSource {
  readonly key: string;
  readonly state: PodState;
  readonly #context: NodeContext;
  readonly #onDone: (worker: PodWorker) => void;
  readonly #probes: PodProbes;
  readonly #stopper: ContainerStopper;
  readonly #refresher: VolumeRefresher;
  /** Aborts what is only worth while for a pod that is to live. */
  readonly #life = new AbortController();
  #leftovers: Leftovers | undefined;
  #strangers = false;
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
  /** Lives whose end is being noted. */
  readonly #ending = new Set<string>();
  /** Lives and sandboxes that the runtime's latest list did not have. */
  #missing: ReadonlySet<string> = new Set();

  /** `found` is what an earlier process left of the pod in the runtime. */
  constructor(context: NodeContext, pod: Pod, onDone: (worker: PodWorker) => void, found?: RuntimePod) {
    this.#context = context;
    this.#onDone = onDone;
    this.#server = pod;
    this.key = objectKey(pod);
    this.state = newPodState(pod, context.env.clock.now());
    this.#probes = new PodProbes(context, this.state, () => this.sync());
    this.#stopper = new ContainerStopper(context, this.state);
    this.#refresher = new VolumeRefresher(context, this.state);
    if (found !== undefined) this.adopt(found);
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

  /** Takes over what an earlier process left, before the first sync. */
  adopt(found: RuntimePod): void {
    const { env, runtimeName } = this.#context;
    this.#leftovers = adoptRuntimePod({ state: this.state, found, nowMs: env.clock.now(), runtimeName });
    for (const record of this.state.containers) this.#probes.start(record, true);
  }

  /** A new version of the pod. */
  update(pod: Pod): void {
    const { labels, annotations } = this.state.pod.metadata ?? {};
    this.#take(pod);
    const now = this.state.pod.metadata ?? {};
    if (!sameValue(labels, now.labels) || !sameValue(annotations, now.annotations)) this.#refresher.soon();
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
    this.#life.abort();
    this.#probes.close();
    this.#stopper.close();
    this.#refresher.close();
    this.#context.writer.forget(this);
  }

  /** Plans again, soon. */
  sync(): void {
    if (this.#closed || !this.#context.open()) return;
    if (terminationGrace(this.state) !== undefined) this.#terminating();
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    void this.#runToRest();
  }

  async #runToRest(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      this.#context.logger.error({ pod: this.key, err: error }, "a pod could not be synced");
      this.#again = false;
      this.#wakeAt(this.#context.env.clock.now() + RETRY_MS);
    }
    this.#running = false;
    // What came when the last plan was done, but before this.
    if (this.#again) this.sync();
  }

  onRuntimeEvent(event: ContainerEvent): void {
    const record = this.state.containers.find((one) => one.run?.id === event.containerId);
    if (record === undefined || event.type !== "CONTAINER_STOPPED_EVENT") return;
    this.#context.cri.containerStatus(event.containerId).then(
      (status) => this.#ended(record, status),
      (error: unknown) => this.#context.logger.warn({ pod: this.key, err: error }, "a container's end is not known"),
    );
  }

  /** What a list of all that the runtime has says of this pod. What is missing twice in a row is gone. */
  observe({ sandboxes, containers }: RuntimePod): void {
    const { state } = this;
    const missing = new Set<string>();
    const byId = new Map(containers.map((one) => [one.id, one]));
    for (const record of state.containers) {
      const { run } = record;
      const status = byId.get(run?.id ?? "");
      if (run?.state === "exited") this.#noteReason(record, status);
      if (run?.state !== "running") continue;
      if (status === undefined) missing.add(run.id);
      else if (status.state === "CONTAINER_EXITED" || status.state === "CONTAINER_UNKNOWN") this.#ended(record, status);
      if (status === undefined && this.#missing.has(run.id)) this.#vanished(record);
    }
    const { sandbox } = state;
    if (sandbox !== undefined && !sandboxes.some((one) => one.id === sandbox.id && one.state === "SANDBOX_READY")) {
      missing.add(sandbox.id);
      if (this.#missing.has(sandbox.id) && terminationGrace(state) === undefined && !sandbox.lost) {
        sandbox.lost = true;
        this.sync();
      }
    }
    const known = new Set([sandbox?.id, ...state.stoppedSandboxes]);
    for (const { id } of sandboxes) {
      if (known.has(id)) continue;
      missing.add(id);
      if (!this.#missing.has(id) || this.#running) continue;
      this.#strangers = true;
      this.sync();
    }
    this.#missing = missing;
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
    addEphemeral(this.state);
  }

  #terminating(): void {
    this.state.terminatingSinceMs ??= this.#context.env.clock.now();
    this.#life.abort();
    this.#probes.terminating();
    this.#refresher.close();
  }

  async #run(): Promise<void> {
    let rounds = 0;
    await this.#clearLeftovers();
    while (this.#again && !this.#closed) {
      this.#again = false;
      if (!this.#admitted) this.#admit();
      if (this.#strangers) await removeStrangers({ context: this.#context, state: this.state });
      this.#strangers = false;
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

  async #clearLeftovers(): Promise<void> {
    if (this.#leftovers === undefined) return;
    const { cri } = this.#context;
    for (const id of this.#leftovers.containers) await cri.removeContainer(id);
    for (const id of this.#leftovers.sandboxes) {
      await cri.stopPodSandbox(id);
      await cri.removePodSandbox(id);
    }
    this.#leftovers = undefined;
    for (const record of this.state.containers) {
      if (record.run?.state !== "exited" || record.run.message !== "") continue;
      const status = await cri.containerStatus(record.run.id);
      record.run = await endedRun({ context: this.#context, state: this.state, record }, status);
    }
    if (terminationGrace(this.state) === undefined) this.#refresher.start();
  }

  #maybeDone(): void {
    const { state } = this;
    const idle = state.sandbox === undefined && !state.containers.some(isRunning) && !state.holdsResources;
    if (state.orphaned && idle && state.stoppedSandboxes.length === 0) {
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
    if ("name" in action) return this.#performOn(action);
    const { state } = this;
    const input = { context: this.#context, state };
    switch (action.do) {
      case "createSandbox":
        await createSandbox(input);
        return state.sandbox === undefined ? undefined : this.#refresher.start();
      case "replaceSandbox":
        for (const record of state.containers) this.#probes.stop(record);
        return replaceSandbox(input);
      case "stopSandbox":
        return stopSandbox(input);
      case "removeSandboxes":
        return removeSandboxes(input);
      case "release":
        return releaseResources(input);
      case "fail":
        state.failure = { reason: action.reason, message: action.message };
        this.#context.events.pod(state.pod, "Normal", action.reason, action.message);
        return this.#terminating();
      case "finishDeletion":
        // Logs go with the pod. The informer tells when the object is gone.
        await removeSandboxes(input);
        state.finishing = true;
        return this.#context.writer.touch(this);
    }
  }

  async #performOn(action: Extract<PodAction, { readonly name: string }>): Promise<void> {
    const record = this.state.containers.find((one) => one.name === action.name);
    if (record === undefined) throw new Error(`no container ${action.name}`);
    if (action.do === "stopContainer") this.#stop(record, action.graceSeconds, action.message);
    else if (action.do === "reportPullBackoff") this.#reportPullBackoff(record);
    else {
      const input = { context: this.#context, state: this.state, record, signal: this.#life.signal };
      const runs = await startContainer(input, this.#stopper);
      this.#told.delete(record.name);
      if (runs) this.#probes.start(record);
      this.#context.lookAgain();
    }
  }

  /** In the background: other containers may have to end at the same time. */
  #stop(record: ContainerRecord, graceSeconds: number, message: string): void {
    const { env, events, logger } = this.#context;
    if (record.stoppingUntilMs === undefined) events.container(this.state.pod, record, "Normal", "Killing", message);
    record.stoppingUntilMs = env.clock.now() + graceSeconds * 1000;
    if (record.mustRestart !== undefined) this.#probes.stop(record);
    this.#stopper.stop(record, graceSeconds).then(
      (status) => status !== undefined && this.#ended(record, status),
      (error: unknown) => {
        logger.warn({ pod: this.key, container: record.name, err: error }, "could not stop a container");
        record.stoppingUntilMs = undefined;
        this.#wakeAt(env.clock.now() + RETRY_MS);
      },
    );
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

  /** Notes the end of a life, once, with what the container had to say. */
  #ended(record: ContainerRecord, status: CriContainerStatus): void {
    if (record.run?.id !== status.id || record.run.state === "exited" || this.#ending.has(status.id)) return;
    if (status.state !== "CONTAINER_EXITED" && status.state !== "CONTAINER_UNKNOWN") return;
    this.#ending.add(status.id);
    this.#stopper.ended(status.id);
    void this.#noteEnd(record, status);
  }

  async #noteEnd(record: ContainerRecord, status: CriContainerStatus): Promise<void> {
    const run = await endedRun({ context: this.#context, state: this.state, record }, status);
    this.#ending.delete(status.id);
    if (run === undefined || record.run?.id !== run.id || this.#closed) return;
    record.run = run;
    this.#over(record);
  }

  #over(record: ContainerRecord): void {
    Object.assign(record, { stoppingUntilMs: undefined, started: false, ready: false });
    this.#probes.stop(record);
    this.sync();
  }

  #vanished(record: ContainerRecord): void {
    if (record.run === undefined || this.#ending.has(record.run.id)) return;
    record.run = { ...record.run, state: "exited", finishedAtMs: this.#context.env.clock.now(), ...UNKNOWN_STATUS };
    this.#over(record);
  }

  /** A runtime may learn a moment later that it was for lack of memory. */
  #noteReason(record: ContainerRecord, status: CriContainerStatus | undefined): void {
    if (record.run === undefined || status?.reason !== "OOMKilled" || record.run.reason === status.reason) return;
    record.run = { ...record.run, reason: status.reason };
    this.#publish();
  }

  /** Makes the status anew and has it written where it differs from the server's. */
  #publish(): void {
    const { state } = this;
    if (state.orphaned || this.#closed) return;
    const { env, hostIp, runtimeName } = this.#context;
    const nowMs = env.clock.now();
    this.#tellCrashLoops(nowMs);
    this.#desired = planStatus({ state, nowMs, hostIp, runtimeName });
    state.conditions = new Map((this.#desired.conditions ?? []).map((one): [string, PodCondition] => [one.type, one]));
    if (statusPatch(this.#server.status ?? {}, this.#desired) !== undefined) this.#context.writer.touch(this);
  }

  /** Once for each wait. */
  #tellCrashLoops(nowMs: number): void {
    for (const record of this.state.containers) {
      if (exitCodeOf(record) === undefined || this.#told.has(record.name)) continue;
      if (crashBackoffUntil(this.state.pod, record, nowMs) === undefined || terminationGrace(this.state) !== undefined)
        continue;
      this.#told.add(record.name);
      // From here on the loop is the news, not how the last life failed.
      record.waiting = undefined;
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
