// The scheduler: gives every pod that names this scheduler a node. Guarantees:
// - Decides only while it leads; its writes carry the proof.
// - A decision counts in the snapshot (as assumed) before it is written, so that two pods never get the same room.
// - What it cannot place stays Pending, with the reason as event and condition.
import { isReason } from "@coxswain/apimachinery";
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import type { EventRecorder, InformerFactory, LeaderElector, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort, nextTurn } from "@coxswain/env";
import type { SchedulingQueue } from "./queue/scheduling-queue.ts";
import { createBinder } from "./binder.ts";
import { followFacts } from "./cluster-facts.ts";
import { eventMessage, patchNominated, patchUnschedulable, withNomination } from "./pod-status.ts";
import type { Profile, Rejection } from "./framework/contract.ts";
import { Framework, type Consulted, type ScheduleOptions, type SchedulePlan } from "./framework/plan-schedule.ts";
import { checkProfiles, DEFAULT_PROFILES } from "./framework/registry.ts";
import { countedReasons } from "./framework/fit-error.ts";
import { WaitingPods } from "./framework/waiting-pods.ts";
import type { ExtenderConfiguration, ExtenderTransport } from "./extenders/extender.ts";
import { Extenders } from "./extenders/extenders.ts";
import { pickCandidate } from "./plugins/preemption-candidates.ts";
import { Preemptor, type Preemption } from "./preemptor.ts";
import type { PodInfo } from "./pod-info.ts";
import { SchedulerMetrics, type AttemptResult } from "./scheduler-metrics.ts";
import { schedulerService } from "./scheduler-service.ts";
import { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";
import {
  bindAlone,
  bindsAlone,
  isBoundLater,
  bindTogether,
  reserve,
  unreserveAll,
  type CycleOutcome,
  type Decided,
} from "./binding-cycle.ts";
import { createClaimWriter, followDevices } from "./device-facts.ts";
import { createQueue, followNodes, followPods } from "./event-handlers.ts";
import { createVolumeWriter, followVolumes } from "./volume-facts.ts";

type NotPlaced = Extract<SchedulePlan, { kind: "unschedulable" }>;

/** How long an unanswered binding keeps its room where the informer says nothing. */
const ASSUMED_UNKNOWN_MS = 30_000;

export interface SchedulerOptions {
  readonly profiles?: readonly Profile[];
  /** Asked in this order, through `SchedulerDeps.callExtender`. */
  readonly extenders?: readonly ExtenderConfiguration[];
  /** 0: adaptive, as upstream. */
  readonly percentageOfNodesToScore?: number;
  /** How long a pod waits after its first failed attempt, and at most; 1 s and 10 s where unset. */
  readonly backoff?: { readonly initialBackoffMs?: number; readonly maxBackoffMs?: number };
  /** Decisions in one batch of bindings; 100 where unset. */
  readonly batchSize?: number;
  /** Batches on their way at once; 4 where unset. */
  readonly batchesInFlight?: number;
}

export interface SchedulerDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly elector: LeaderElector;
  readonly recorder: EventRecorder;
  /** Who this process is in elections. */
  readonly identity: string;
  readonly options?: SchedulerOptions;
  /** Needed where the options name extenders. */
  readonly callExtender?: ExtenderTransport;
}

export interface SchedulerParts {
  readonly deps: SchedulerDeps;
  readonly queue: SchedulingQueue;
  readonly snapshot: ClusterSnapshot;
  readonly frameworks: ReadonlyMap<string, Framework>;
  readonly waiting: WaitingPods;
  readonly schedule: ScheduleOptions;
  readonly extenders: Extenders;
}

function extendersOf({ options, callExtender, logger }: SchedulerDeps): Extenders {
  const configured = options?.extenders ?? [];
  const missing: ExtenderTransport = () => Promise.reject(new Error("there is no way to call extenders"));
  if (configured.length > 0 && callExtender === undefined) throw new RangeError("extenders: need callExtender");
  return new Extenders(configured, callExtender ?? missing, logger);
}

/** The scheduler of one process. */
export function createScheduler(deps: SchedulerDeps): ComponentApp {
  const profiles = deps.options?.profiles ?? DEFAULT_PROFILES;
  checkProfiles(profiles);
  const frameworks = new Map(profiles.map((profile) => [profile.schedulerName, new Framework(profile)]));
  const snapshot = new ClusterSnapshot();
  const parts: SchedulerParts = {
    deps,
    queue: createQueue(deps.env, frameworks, snapshot, deps.options?.backoff),
    snapshot,
    frameworks,
    waiting: new WaitingPods(deps.env.timers),
    extenders: extendersOf(deps),
    schedule: {
      random: deps.env.random,
      percentageOfNodesToScore: deps.options?.percentageOfNodesToScore ?? 0,
    },
  };
  const loop = new SchedulingLoop(parts);
  const pods = deps.informers.informer<Pod>(PODS);
  const nodes = deps.informers.informer<Node>(NODES);
  const factsSynced = followFacts(deps.informers, parts.snapshot, (event) => {
    if (parts.queue.moveOn(event) > 0) loop.wake();
  });
  const volumesSynced = followVolumes(deps.informers, parts, () => loop.wake());
  const devicesSynced = followDevices(deps.informers, parts, () => loop.wake());
  followNodes(nodes, parts, () => loop.wake());
  followPods(pods, parts, () => loop.wake());
  const synced = (): boolean =>
    pods.hasSynced() && nodes.hasSynced() && factsSynced() && volumesSynced() && devicesSynced();
  return {
    grpcServices: [schedulerService(parts, pods.lister)],
    checks: { "informer-sync": () => (synced() ? undefined : "informers have not synced") },
    leader: () => deps.elector.isLeader(),
    facts: () => ({
      identity: deps.identity,
      nodes: String(parts.snapshot.size),
      ...stringValues(parts.queue.counts()),
    }),
    async run(signal) {
      deps.informers.start(signal);
      try {
        await deps.informers.waitForSync(signal);
        await deps.elector.run((leading) => loop.run(leading), signal);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      }
      await deps.recorder.flush();
    },
  };
}

function stringValues(counts: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [`queue.${name}`, String(count)]));
}

const resultOf = ({ code }: Rejection): AttemptResult => (code === "Error" ? "error" : "unschedulable");

class SchedulingLoop {
  readonly #parts: SchedulerParts;
  readonly #binder;
  readonly #fenced: ResourceClient;
  readonly #preemptor: Preemptor;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #metrics;
  #wake: (() => void) | undefined;
  #woken = false;
  #batches = 0;
  #batchEnded: (() => void) | undefined;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    const { env, client, elector, metrics } = parts.deps;
    this.#fenced = client.fenced(() => elector.fence());
    this.#binder = createBinder({ env, client: this.#fenced });
    parts.snapshot.volumes.connect(createVolumeWriter(this.#fenced, env.timers));
    const { recorder, logger } = parts.deps;
    parts.snapshot.devices.connect(createClaimWriter(this.#fenced, env.timers, logger));
    const { snapshot, waiting } = parts;
    this.#preemptor = new Preemptor({ env, client: this.#fenced, recorder, logger, snapshot, waiting });
    this.#metrics = new SchedulerMetrics(metrics, env.clock);
  }

  /** There may be something to do. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Schedules until leadership is lost. */
  async run(signal: AbortSignal): Promise<void> {
    const limit = this.#parts.deps.options?.batchesInFlight ?? 4;
    while (!signal.aborted) {
      // Not a race of all that runs beside: preemptions by the thousand may.
      while (this.#batches >= limit) await new Promise<void>((resolve) => (this.#batchEnded = resolve));
      if (signal.aborted) break;
      this.#woken = false;
      const batch = await this.#decideBatch(signal);
      this.#metrics.pending(this.#parts.queue.counts());
      this.#bind(batch, signal);
      if (this.#parts.queue.activeCount === 0 && batch.length === 0) await this.#waitForWork(signal);
      else await nextTurn(this.#parts.deps.env.timers);
    }
    await Promise.all(this.#inFlight);
  }

  /** Runs beside the loop, which ends only after it. */
  #aside(work: () => Promise<void>): void {
    const running: Promise<void> = work().finally(() => {
      this.#inFlight.delete(running);
      this.wake();
    });
    this.#inFlight.add(running);
  }

  /** Pods that wait for plugins hold no batch up. */
  #bind(batch: readonly Decided[], signal: AbortSignal): void {
    const together: Decided[] = [];
    for (const one of batch) {
      if (!bindsAlone(one)) {
        together.push(one);
        continue;
      }
      this.#aside(async () => {
        const nominated = isBoundLater(one) ? this.#nominate(one, signal) : undefined;
        const parts = { binder: this.#binder, waiting: this.#parts.waiting, nominated };
        const outcome = await bindAlone(one, parts, signal);
        await nominated;
        const { info } = one.cycle;
        this.#settle(one, outcome, signal, nominated === undefined ? info : withNomination(info, one.node));
      });
    }
    if (together.length === 0) return;
    this.#batches++;
    this.#aside(async () => {
      try {
        const outcomes = await bindTogether(together, this.#binder, signal);
        for (const [at, outcome] of outcomes.entries()) this.#settle(together[at]!, outcome, signal);
      } finally {
        this.#batches--;
        this.#batchEnded?.();
      }
    });
  }

  /** Others may want to know, as who would take the node away. It is no reason to stop that they cannot be told. */
  async #nominate({ cycle: { info }, node }: Decided, signal: AbortSignal): Promise<void> {
    try {
      await patchNominated(this.#fenced, info.pod, node);
    } catch (error) {
      if (signal.aborted || isReason(error, "NotFound")) return;
      this.#parts.deps.logger.warn({ pod: info.key, node, err: error }, "could not say where a pod is about to go");
    }
  }

  async #waitForWork(signal: AbortSignal): Promise<void> {
    const { env } = this.#parts.deps;
    const next = this.#parts.queue.nextFlushMs();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        env.timers.clear(timer);
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      const timer = next === undefined ? undefined : env.timers.setTimeout(done, Math.max(1, next - env.clock.now()));
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
      if (this.#woken || signal.aborted) done();
    });
  }

  async #decideBatch(signal: AbortSignal): Promise<Decided[]> {
    const { queue, deps, snapshot, extenders } = this.#parts;
    const size = deps.options?.batchSize ?? 100;
    const decided: Decided[] = [];
    let unplaced = 0;
    while (decided.length < size && unplaced < size) {
      const pod = queue.pop();
      if (pod === undefined) break;
      if (snapshot.isAssumed(pod.info.key)) {
        // Its binding is on its way: the informer will take it out of the queue.
        queue.returnFailed(pod.info.key);
        continue;
      }
      if (extenders.decide(pod.info)) {
        const asked = await this.#askAndDecide(pod.info, signal);
        if (asked !== undefined) decided.push(asked);
        // What was decided before must not wait for the next answers.
        break;
      }
      const one = this.#tryDecide(pod.info, signal);
      if (one === undefined) unplaced++;
      else decided.push(one);
    }
    return decided;
  }

  /** A plugin that throws must not stop the others' pods. */
  #tryDecide(info: PodInfo, signal: AbortSignal): Decided | undefined {
    try {
      return this.#decide(info, signal);
    } catch (error) {
      return this.#couldNotDecide(info, error, signal);
    }
  }

  #couldNotDecide(info: PodInfo, error: unknown, signal: AbortSignal): undefined {
    const { queue, deps } = this.#parts;
    const message = error instanceof Error ? error.message : String(error);
    deps.logger.error({ pod: info.key, err: error }, "could not decide for a pod");
    this.#metrics.attempted("error", queue.get(info.key));
    queue.returnFailed(info.key);
    this.#reject(info, message, "SchedulerError", signal, "");
  }

  /** Asks extenders, then decides on what is there by then. */
  async #askAndDecide(info: PodInfo, signal: AbortSignal): Promise<Decided | undefined> {
    const { queue, snapshot, frameworks, schedule, extenders } = this.#parts;
    const framework = frameworks.get(info.pod.spec?.schedulerName ?? "")!;
    const consult = (all: boolean): Promise<Consulted> => {
      const names = framework.findNodes(info, snapshot, schedule, all);
      return extenders.consult(
        info,
        names.map((name) => snapshot.nodes[snapshot.rowOf(name)]!),
      );
    };
    try {
      let consulted: Consulted = { verdicts: new Map(), scores: new Map() };
      if (!info.terminating) {
        consulted = await consult(false);
        const passes = [...consulted.verdicts.values()].includes(undefined);
        if (!passes && snapshot.nominations.nodeOf(info.key) !== undefined) consulted = await consult(true);
      }
      // The pod may have changed meanwhile, or have gone.
      const now = queue.get(info.key);
      if (now?.queue !== "in-flight" || now.info.uid !== info.uid) return undefined;
      if (!signal.aborted) return this.#decide(now.info, signal, consulted);
      queue.returnFailed(info.key);
      return undefined;
    } catch (error) {
      return this.#couldNotDecide(info, error, signal);
    }
  }

  #decide(info: PodInfo, signal: AbortSignal, consulted?: Consulted): Decided | undefined {
    const { queue, deps, snapshot, frameworks, schedule, extenders } = this.#parts;
    const { key } = info;
    if (info.terminating) {
      deps.recorder.event(info.pod, "Warning", "FailedScheduling", `skip schedule deleting pod: ${key}`);
      queue.delete(key);
      return undefined;
    }
    const queued = queue.get(key)!;
    const framework = frameworks.get(info.pod.spec?.schedulerName ?? "")!;
    const plan = framework.planSchedule(info, snapshot, schedule, consulted);
    if (plan.kind === "unschedulable") {
      this.#metrics.attempted("unschedulable", queued);
      if (framework.at("postFilter").length > 0) this.#metrics.triedToPreempt();
      if (consulted === undefined || plan.candidates.length === 0) this.#notPlaced(info, plan, signal);
      else this.#aside(() => this.#askWhomToPreempt(info, plan, signal));
      return undefined;
    }
    snapshot.assume(info, plan.node);
    snapshot.nominations.remove(key);
    const bound = extenders.binds(info) ? { extenders } : {};
    const reserved = reserve(framework, plan.cycle, plan.node);
    if ("waits" in reserved) return { queued, cycle: plan.cycle, node: plan.node, framework, ...reserved, ...bound };
    this.#metrics.attempted(resultOf(reserved.rejection), queued);
    unreserveAll(framework, plan.cycle, plan.node);
    this.#giveUp(info, reserved.plugin, reserved.rejection, signal);
    return undefined;
  }

  #notPlaced(info: PodInfo, plan: NotPlaced, signal: AbortSignal): void {
    const { message, nominated, plugins, victims, carryOut } = plan;
    this.#reject(info, message, "Unschedulable", signal, nominated);
    if (carryOut !== undefined) this.#aside(() => this.#carryOut(info, plan, carryOut));
    else if (victims.length === 0) this.#parts.queue.returnUnschedulable(info.key, plugins);
    else this.#preempt({ preemptor: info, node: nominated!, victims }, plugins);
  }

  /** The pod stays in flight until that is done, so that no event of it is lost. */
  async #carryOut(
    info: PodInfo,
    { nominated, plugins, victims }: NotPlaced,
    todo: readonly (() => Promise<void>)[],
  ): Promise<void> {
    const { queue, deps } = this.#parts;
    const outcomes = await Promise.allSettled(todo.map(async (one) => one()));
    const failed = outcomes.filter((outcome) => outcome.status === "rejected");
    for (const { reason } of failed) {
      deps.logger.warn({ pod: info.key, err: reason as Error }, "could not do what would let a pod be placed");
    }
    if (queue.get(info.key)?.info.uid !== info.uid) return;
    if (failed.length > 0) queue.returnFailed(info.key);
    else if (victims.length > 0) this.#preempt({ preemptor: info, node: nominated!, victims }, plugins);
    else queue.returnUnschedulable(info.key, plugins);
  }

  async #askWhomToPreempt(info: PodInfo, plan: NotPlaced, signal: AbortSignal): Promise<void> {
    const { extenders, snapshot, queue } = this.#parts;
    try {
      const left = await extenders.preempt(info, plan.candidates, snapshot);
      if (queue.get(info.key)?.info.uid !== info.uid) return;
      if (left.length > 0) {
        const { node, victims } = pickCandidate(left);
        this.#notPlaced(info, { ...plan, nominated: node, victims }, signal);
        return;
      }
      const { nominated: _, ...rest } = plan;
      const message = `${plan.message} preemption: no candidate node for preemption`;
      this.#notPlaced(info, { ...rest, message, victims: [] }, signal);
    } catch (error) {
      this.#couldNotDecide(info, error, signal);
    }
  }

  /** The pod stays in flight until its victims are on their way, so that no event of theirs is lost. */
  #preempt(preemption: Preemption, plugins: ReadonlySet<string>): void {
    const { queue, logger } = { ...this.#parts, ...this.#parts.deps };
    const { preemptor, node, victims } = preemption;
    this.#metrics.preempted(victims.length);
    logger.info({ pod: preemptor.key, node, victims: victims.map((victim) => victim.key) }, "preempting pods");
    this.#aside(async () => {
      const done = await this.#preemptor.preempt(preemption);
      if (queue.get(preemptor.key)?.info.uid !== preemptor.uid) return;
      if (done) queue.returnUnschedulable(preemptor.key, plugins);
      else queue.returnFailed(preemptor.key);
    });
  }

  /** A plugin turned a pod down that had a node: its room is free again, for others too. */
  #giveUp(info: PodInfo, plugin: string, rejection: Rejection, signal: AbortSignal): void {
    const { queue, snapshot } = this.#parts;
    snapshot.forget(info.key, info.uid);
    queue.returnUnschedulable(info.key, new Set([plugin]));
    this.#freed(info);
    const message = countedReasons(1, rejection);
    this.#reject(info, message, rejection.code === "Error" ? "SchedulerError" : "Unschedulable", signal, "");
  }

  #freed(info: PodInfo): void {
    const event = { resource: "AssignedPod" as const, actions: new Set(["Delete"] as const), oldPod: info.pod };
    if (this.#parts.queue.moveOn(event, (other) => other.key !== info.key) > 0) this.wake();
  }

  #reject(
    info: PodInfo,
    message: string,
    reason: "Unschedulable" | "SchedulerError",
    signal: AbortSignal,
    nominated?: string,
  ): void {
    const { deps, snapshot } = this.#parts;
    const { pod } = info;
    deps.recorder.event(pod, "Warning", "FailedScheduling", eventMessage(message));
    if (nominated === "") snapshot.nominations.remove(info.key);
    else if (nominated !== undefined) snapshot.nominations.add(info, nominated);
    const status = {
      nowMs: deps.env.clock.now(),
      pod,
      message,
      reason,
      ...(nominated === undefined ? {} : { nominated }),
    };
    patchUnschedulable({ client: this.#fenced, ...status }).catch((error: unknown) => {
      if (signal.aborted || isReason(error, "NotFound")) return;
      deps.logger.warn({ pod: pod.metadata?.name, err: error }, "could not set the status of a pod that has no node");
    });
  }

  /** `info`: the pod as others see it by now. */
  #settle(one: Decided, outcome: CycleOutcome, signal: AbortSignal, info = one.cycle.info): void {
    const { deps, queue, snapshot } = this.#parts;
    const { queued, cycle, node, framework } = one;
    // A pod of the same name may have taken its place meanwhile.
    const mine = queue.get(info.key)?.info.uid === info.uid;
    if (outcome.kind === "bound") {
      this.#metrics.attempted("scheduled", queued);
      if (mine) queue.delete(info.key);
      for (const plugin of framework.at("postBind")) plugin.postBind?.(cycle, node);
      deps.recorder.event(info.pod, "Normal", "Scheduled", `Successfully assigned ${info.key} to ${node}`);
      return;
    }
    const message = outcome.kind === "rejected" ? outcome.rejection.reasons.join(", ") : outcome.message;
    this.#metrics.attempted(outcome.kind === "rejected" ? resultOf(outcome.rejection) : "error", queued);
    deps.logger.info({ pod: info.key, node, outcome: outcome.kind, reason: message }, "not bound");
    // A pod that is gone from the queue with an unknown outcome was bound, or the informer will tell that it is gone.
    if (mine || outcome.kind !== "unknown") unreserveAll(framework, cycle, node);
    if (!mine) return;
    if (outcome.kind === "rejected") return this.#giveUp(info, outcome.plugin, outcome.rejection, signal);
    queue.returnFailed(info.key);
    if (outcome.kind === "unknown") {
      // It may be bound: its room stays taken until the informer tells, or for a while at most.
      deps.env.timers.setTimeout(() => {
        snapshot.forget(info.key, info.uid);
        this.wake();
      }, ASSUMED_UNKNOWN_MS);
      return;
    }
    snapshot.forget(info.key, info.uid);
    this.#freed(info);
    if (outcome.kind === "failed" && !signal.aborted) this.#reject(info, message, "SchedulerError", signal, "");
  }
}
