// The worker of one pod: keeps the runtime as the pod wants it, and the API's status as the runtime has it. Guarantees:
// - One action at a time; every change (of the pod, of a container, of a probe) leads to a new plan.
// - The pod's object goes only after all its containers have ended and their end has been written.
import { sameValue, type Node, type Pod } from "@coxswain/api";
import { AbortError, type TimerHandle } from "@coxswain/env";
import type { ContainerEvent } from "../cri/contract.ts";
import { amounts, dependsOnNode, planAdmission, type Refusal } from "./admission.ts";
import { endedRun } from "./container-end.ts";
import { LifeWatch } from "./life-watch.ts";
import type { NodeContext } from "./node-context.ts";
import { adoptRuntimePod, type Leftovers, type RuntimePod } from "./plan-adoption.ts";
import { earliest, planSync, terminationGrace, type PodAction } from "./plan-sync.ts";
import { PodProbes } from "./pod-probes.ts";
import { PodReport } from "./pod-report.ts";
import { PodResizer } from "./pod-resizer.ts";
import { isRunning, newPodState, type ContainerRecord, type PodState } from "./pod-state.ts";
import {
  createSandbox,
  releaseResources,
  removeSandboxes,
  removeStrangers,
  replaceSandbox,
  stopSandbox,
  takeVolumesIntoUse,
} from "./sandbox-lifecycle.ts";
import { startContainer } from "./start-container.ts";
import { StorageLimits } from "./storage-limits.ts";
import { ContainerStopper } from "./stop-container.ts";
import { VolumeRefresher } from "./volume-refresher.ts";

const RETRY_MS = 5_000;
/** What a pod gets that takes from the node what is not its own. */
const EVICTION_GRACE_SECONDS = 1;
/** Against a plan that never comes to rest: a defect then shows as slowness and a log line, not as a hot loop. */
const MAX_ROUNDS = 1_000;

export class PodWorker {
  readonly state: PodState;
  readonly #context: NodeContext;
  readonly #onDone: (worker: PodWorker) => void;
  readonly #probes: PodProbes;
  readonly #stopper: ContainerStopper;
  readonly #refresher: VolumeRefresher;
  readonly #storage: StorageLimits;
  readonly #report: PodReport;
  readonly #resizer: PodResizer;
  readonly #watch: LifeWatch;
  /** Aborts what is only worth while for a pod that is to live. */
  readonly #life = new AbortController();
  #leftovers: Leftovers | undefined;
  #volumesTold = true;
  #strangers = false;
  #running = false;
  #again = false;
  #admitted = false;
  #closed = false;
  #wake: TimerHandle | undefined;
  /** `found` is what an earlier process left of the pod in the runtime. */
  constructor(context: NodeContext, pod: Pod, onDone: (worker: PodWorker) => void, found?: RuntimePod) {
    this.#context = context;
    this.#onDone = onDone;
    this.state = newPodState(pod, context.env.clock.now());
    this.#probes = new PodProbes(context, this.state, () => this.sync());
    this.#stopper = new ContainerStopper(context, this.state);
    this.#refresher = new VolumeRefresher(context, this.state);
    this.#storage = new StorageLimits(context, this.state, (message) => this.#evict(message));
    this.#report = new PodReport(context, this.state, () => this.orphan());
    this.#resizer = new PodResizer(context, this.state);
    this.#watch = new LifeWatch(context, this.state, {
      ending: (id) => this.#stopper.ended(id),
      over: (record) => {
        this.#probes.stop(record);
        this.sync();
      },
      told: () => this.#report.publish(),
      sandboxLost: () => this.sync(),
      strangers: () => {
        this.#strangers = true;
        this.sync();
      },
    });
    if (found !== undefined) this.adopt(found);
  }

  get key(): string {
    return this.#report.key;
  }

  get uid(): string {
    return this.state.pod.metadata?.uid ?? "";
  }

  /** The pod as it is now: of the API, with this worker's newest status. */
  get pod(): Pod {
    return this.#report.pod;
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

  /** False while it is not known which volumes an earlier process left the pod with. */
  get takenOver(): boolean {
    return this.#volumesTold;
  }

  /** Takes over what an earlier process left, before the first sync. */
  adopt(found: RuntimePod): void {
    const { env, runtimeName } = this.#context;
    this.#volumesTold = false;
    this.#leftovers = adoptRuntimePod({ state: this.state, found, nowMs: env.clock.now(), runtimeName });
    for (const record of this.state.containers) this.#probes.start(record, true);
  }

  /** A new version of the pod. */
  update(pod: Pod): void {
    const { labels, annotations } = this.state.pod.metadata ?? {};
    this.#report.take(pod);
    const now = this.state.pod.metadata ?? {};
    if (!sameValue(labels, now.labels) || !sameValue(annotations, now.annotations)) {
      this.#refresher.soon();
      // The environment and the mounts of a container may come from these.
      for (const record of this.state.containers) {
        if (record.waiting?.reason === "CreateContainerConfigError") record.retryAtMs = 0;
      }
    }
    this.sync();
  }

  /** The API object is gone: what still runs is ended, and nothing is written. */
  orphan(): void {
    this.state.orphaned = true;
    this.#report.forget();
    this.sync();
  }

  /** Ends the worker where it stands; containers are left alone. */
  close(): void {
    this.#closed = true;
    this.#context.env.timers.clear(this.#wake);
    this.#endLife();
    this.#probes.close();
    this.#stopper.close();
    this.#refresher.close();
    this.#storage.close();
    this.#report.close();
    this.#watch.close();
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
    this.#watch.onEvent(event);
  }

  /** What a list of all that the runtime has says of this pod. */
  observe(found: RuntimePod): void {
    this.#watch.observe(found, this.#running);
  }

  #terminating(): void {
    this.state.terminatingSinceMs ??= this.#context.env.clock.now();
    this.#endLife();
    this.#probes.terminating();
    this.#refresher.close();
    this.#storage.close();
  }

  #endLife(): void {
    // The platform makes a new error for each abort without one, even where nothing is left to be aborted.
    if (!this.#life.signal.aborted) this.#life.abort(new AbortError("the pod is not to live"));
  }

  async #run(): Promise<void> {
    let rounds = 0;
    await this.#clearLeftovers();
    const told = await this.#tellVolumes();
    while (this.#again && !this.#closed) {
      this.#again = false;
      if (!this.#admitted) await this.#admit();
      if (this.#strangers) await removeStrangers({ context: this.#context, state: this.state });
      this.#strangers = false;
      if (terminationGrace(this.state) === undefined) await this.#resizer.sync();
      const { actions, wakeAtMs } = planSync(this.state, this.#context.env.clock.now());
      // Containers that are started together find the same images; later ones look again.
      for (const one of this.state.imageVolumes.values()) one.id = undefined;
      for (const action of actions) {
        if (this.#closed) return;
        await this.#perform(action);
        this.#report.publish();
      }
      // Else the last action has told it.
      if (actions.length === 0) this.#report.publish();
      const againMs = told ? undefined : this.#context.env.clock.now() + RETRY_MS;
      this.#wakeAt(earliest(earliest(wakeAtMs, this.#resizer.wakeAtMs()), againMs));
      if (actions.length > 0) this.#again = true;
      if (++rounds >= MAX_ROUNDS) throw new Error(`no rest after ${rounds} plans`);
      if (actions.length === 0 && !this.#again) this.#maybeDone();
    }
  }

  /** What an earlier process left mounted. A pod that runs goes on though nobody says now what its claims stand for. */
  async #tellVolumes(): Promise<boolean> {
    if (this.#volumesTold) return true;
    const { logger, volumesInUse } = this.#context;
    try {
      await takeVolumesIntoUse({ context: this.#context, state: this.state });
    } catch (error) {
      logger.warn({ pod: this.key, err: error }, "the volumes of a pod that runs could not be looked up yet");
      return false;
    }
    this.#volumesTold = true;
    volumesInUse.lookAgain();
    return true;
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
    if (terminationGrace(this.state) === undefined) this.#volumesAreThere();
  }

  #volumesAreThere(): void {
    this.#refresher.start();
    this.#storage.start();
  }

  /** Ends the pod for good, for the node's sake. */
  #evict(message: string): void {
    if (terminationGrace(this.state) !== undefined) return;
    this.state.failure = { reason: "Evicted", message, graceSeconds: EVICTION_GRACE_SECONDS, disrupted: true };
    this.#context.events.pod(this.state.pod, "Warning", "Evicted", message);
    this.sync();
  }

  #maybeDone(): void {
    const { state } = this;
    const idle = state.sandbox === undefined && !state.containers.some(isRunning) && !state.holdsResources;
    if (state.orphaned && idle && state.stoppedSandboxes.length === 0) {
      this.close();
      this.#onDone(this);
    }
  }

  async #admit(): Promise<void> {
    let refusal = this.#refusal(this.#context.nodeObject?.known());
    // A label that the pod was scheduled by may be newer than what is known of the node.
    if (refusal !== undefined && dependsOnNode(refusal))
      refusal = this.#refusal(await this.#context.nodeObject?.fresh());
    this.#admitted = true;
    if (refusal === undefined) return;
    const { reason, message } = refusal;
    this.state.failure = { reason, message: `Pod was rejected: ${message}` };
    this.#context.events.pod(this.state.pod, "Warning", reason, message);
  }

  #refusal(node: Node | undefined): Refusal | undefined {
    const { pod, failure } = this.state;
    // Only what has not begun is looked at; a restarted kubelet finds its pods as admitted.
    const { deletionTimestamp } = pod.metadata ?? {};
    if (failure !== undefined || deletionTimestamp !== undefined || pod.status?.startTime !== undefined)
      return undefined;
    const { allocatable, runtime } = this.#context;
    const others = this.#context.occupants(pod);
    const real = runtime.linux !== undefined;
    return planAdmission({ pod, others, allocatable: amounts(allocatable), node, real });
  }

  async #perform(action: PodAction): Promise<void> {
    if ("name" in action) return this.#performOn(action);
    const { state } = this;
    const input = { context: this.#context, state };
    switch (action.do) {
      case "createSandbox":
        await createSandbox(input);
        return state.sandbox === undefined ? undefined : this.#volumesAreThere();
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
        return this.#report.finish();
    }
  }

  async #performOn(action: Extract<PodAction, { readonly name: string }>): Promise<void> {
    const record = this.state.containers.find((one) => one.name === action.name);
    if (record === undefined) throw new Error(`no container ${action.name}`);
    if (action.do === "stopContainer") this.#stop(record, action.graceSeconds, action.message);
    else if (action.do === "reportPullBackoff") this.#reportPullBackoff(record);
    else if (action.do === "beginPreStop") {
      record.preStopBegun = true;
      this.#stopper.beginPreStop(record, action.graceSeconds);
    } else {
      const input = { context: this.#context, state: this.state, record, signal: this.#life.signal };
      const runs = await startContainer(input, this.#stopper);
      this.#report.lives(record);
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
      (status) => status !== undefined && this.#watch.ended(record, status),
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
    const { volume } = record.waiting ?? {};
    const ofVolume = pod.spec?.volumes?.find(({ name }) => name === volume)?.image?.reference;
    const image = ofVolume ?? record.spec.image ?? "";
    const sinceMs = this.#context.env.clock.now();
    const told = `Back-off pulling image "${image}"`;
    const message = `${told}: ErrImagePull: ${record.waiting?.message ?? ""}`;
    record.waiting = { reason: "ImagePullBackOff", message, sinceMs, volume };
    if (ofVolume === undefined) events.container(pod, record, "Normal", "BackOff", told);
    else events.pod(pod, "Normal", "BackOff", told);
    events.container(pod, record, "Warning", "Failed", "Error: ImagePullBackOff");
  }

  #wakeAt(atMs: number | undefined): void {
    const { env } = this.#context;
    env.timers.clear(this.#wake);
    this.#wake = undefined;
    if (atMs === undefined || this.#closed) return;
    this.#wake = env.timers.setTimeout(() => this.sync(), Math.max(1, atMs - env.clock.now()));
  }
}
