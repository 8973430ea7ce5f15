// The scheduler: gives every pod that names this scheduler a node. Guarantees:
// - Decides only while it leads; its writes carry the proof.
// - A decision counts in the snapshot (as assumed) before it is written, so that two pods never get the same room.
// - What it cannot place stays Pending, with the reason as event and condition.
import { isReason } from "@coxswain/apimachinery";
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import type { EventRecorder, InformerFactory, LeaderElector, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { SchedulingQueue } from "./queue/scheduling-queue.ts";
import { createBinder, type BindOutcome } from "./binder.ts";
import { followFacts } from "./cluster-facts.ts";
import { patchUnschedulable } from "./pod-status.ts";
import type { Profile } from "./framework/contract.ts";
import { Framework, type ScheduleOptions } from "./framework/plan-schedule.ts";
import { checkProfiles, DEFAULT_PROFILES } from "./framework/registry.ts";
import type { PodInfo } from "./pod-info.ts";
import { schedulerService } from "./scheduler-service.ts";
import { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";
import { bindAll, unreserveAll, type Decided } from "./binding-cycle.ts";
import { createQueue, followNodes, followPods } from "./event-handlers.ts";

/** How long an unanswered binding keeps its room where the informer says nothing. */
const ASSUMED_UNKNOWN_MS = 30_000;

export interface SchedulerOptions {
  readonly profiles?: readonly Profile[];
  /** 0: adaptive, as upstream. */
  readonly percentageOfNodesToScore?: number;
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
}

export interface SchedulerParts {
  readonly deps: SchedulerDeps;
  readonly queue: SchedulingQueue;
  readonly snapshot: ClusterSnapshot;
  readonly frameworks: ReadonlyMap<string, Framework>;
  readonly schedule: ScheduleOptions;
}

/** The scheduler of one process. */
export function createScheduler(deps: SchedulerDeps): ComponentApp {
  const profiles = deps.options?.profiles ?? DEFAULT_PROFILES;
  checkProfiles(profiles);
  const frameworks = new Map(profiles.map((profile) => [profile.schedulerName, new Framework(profile)]));
  const parts: SchedulerParts = {
    deps,
    queue: createQueue(deps.env, frameworks),
    snapshot: new ClusterSnapshot(),
    frameworks,
    schedule: {
      random: deps.env.random,
      percentageOfNodesToScore: deps.options?.percentageOfNodesToScore ?? 0,
    },
  };
  const loop = new SchedulingLoop(parts);
  const pods = deps.informers.informer<Pod>(PODS);
  const nodes = deps.informers.informer<Node>(NODES);
  const factsSynced = followFacts(deps.informers, parts.snapshot);
  followNodes(nodes, parts, () => loop.wake());
  followPods(pods, parts, () => loop.wake());
  const synced = (): boolean => pods.hasSynced() && nodes.hasSynced() && factsSynced();
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

class SchedulingLoop {
  readonly #parts: SchedulerParts;
  readonly #binder;
  readonly #fenced: ResourceClient;
  readonly #attempts;
  readonly #pending;
  #wake: (() => void) | undefined;
  #woken = false;
  #batches = 0;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    const { env, client, elector, metrics } = parts.deps;
    this.#fenced = client.fenced(() => elector.fence());
    this.#binder = createBinder({ env, client: this.#fenced });
    this.#attempts = metrics.counter("scheduler_schedule_attempts_total", "Attempts to schedule pods, by result.", [
      "result",
    ]);
    this.#pending = metrics.gauge("scheduler_pending_pods", "Pending pods, by queue.", ["queue"]);
  }

  /** There may be something to do. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Schedules until leadership is lost. */
  async run(signal: AbortSignal): Promise<void> {
    const inFlight = new Set<Promise<void>>();
    const limit = this.#parts.deps.options?.batchesInFlight ?? 4;
    while (!signal.aborted) {
      if (this.#batches >= limit) {
        await Promise.race(inFlight);
        continue;
      }
      this.#woken = false;
      const batch = this.#decideBatch(signal);
      this.#report();
      if (batch.length > 0) {
        this.#batches++;
        const work: Promise<void> = this.#bindBatch(batch, signal).finally(() => {
          this.#batches--;
          inFlight.delete(work);
        });
        inFlight.add(work);
      }
      if (this.#parts.queue.activeCount === 0 && batch.length === 0) await this.#waitForWork(signal);
      else await new Promise<void>((resolve) => this.#parts.deps.env.timers.defer(resolve));
    }
    await Promise.all(inFlight);
  }

  #report(): void {
    for (const [queue, count] of Object.entries(this.#parts.queue.counts())) this.#pending.set(count, { queue });
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

  #decideBatch(signal: AbortSignal): Decided[] {
    const { queue, deps, snapshot } = this.#parts;
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
      const one = this.#tryDecide(pod.info, signal);
      if (one === undefined) unplaced++;
      else decided.push(one);
    }
    return decided;
  }

  /** A plugin that throws must not stop the others' pods. */
  #tryDecide(info: PodInfo, signal: AbortSignal): Decided | undefined {
    const { queue, deps } = this.#parts;
    try {
      return this.#decide(info, signal);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      deps.logger.error({ pod: info.key, err: error }, "could not decide for a pod");
      this.#attempts.inc({ result: "error" });
      queue.returnFailed(info.key);
      this.#reject(info.pod, message, "SchedulerError", signal);
      return undefined;
    }
  }

  #decide(info: PodInfo, signal: AbortSignal): Decided | undefined {
    const { queue, deps, snapshot, frameworks, schedule } = this.#parts;
    const { key } = info;
    if (info.terminating) {
      deps.recorder.event(info.pod, "Warning", "FailedScheduling", `skip schedule deleting pod: ${key}`);
      queue.delete(key);
      return undefined;
    }
    const framework = frameworks.get(info.pod.spec?.schedulerName ?? "")!;
    const plan = framework.planSchedule(info, snapshot, schedule);
    if (plan.kind === "unschedulable") {
      this.#attempts.inc({ result: "unschedulable" });
      queue.returnUnschedulable(key, plan.plugins);
      this.#reject(info.pod, plan.message, "Unschedulable", signal);
      return undefined;
    }
    snapshot.assume(info, plan.node);
    for (const plugin of framework.plugins) {
      const rejection = plugin.reserve?.(plan.cycle, plan.node);
      if (rejection === undefined) continue;
      unreserveAll(framework, plan.cycle, plan.node);
      snapshot.forget(key, info.uid);
      queue.returnUnschedulable(key, new Set([plugin.name]));
      this.#reject(info.pod, rejection.reasons.join(", "), "Unschedulable", signal);
      return undefined;
    }
    return { cycle: plan.cycle, node: plan.node };
  }

  #reject(pod: Pod, message: string, reason: "Unschedulable" | "SchedulerError", signal: AbortSignal): void {
    const { deps } = this.#parts;
    deps.recorder.event(pod, "Warning", "FailedScheduling", message);
    patchUnschedulable({ client: this.#fenced, nowMs: deps.env.clock.now(), pod, message, reason }).catch(
      (error: unknown) => {
        if (signal.aborted || isReason(error, "NotFound")) return;
        deps.logger.warn({ pod: pod.metadata?.name, err: error }, "could not set the pod's PodScheduled condition");
      },
    );
  }

  async #bindBatch(batch: readonly Decided[], signal: AbortSignal): Promise<void> {
    const { frameworks } = this.#parts;
    const outcomes = await bindAll(batch, frameworks, this.#binder, signal);
    for (const [at, outcome] of outcomes.entries()) this.#settle(batch[at]!, outcome, signal);
    this.wake();
  }

  #settle(one: Decided, outcome: BindOutcome, signal: AbortSignal): void {
    const { deps, queue, snapshot, frameworks } = this.#parts;
    const { info } = one.cycle;
    const framework = frameworks.get(info.pod.spec?.schedulerName ?? "")!;
    // A pod of the same name may have taken its place meanwhile.
    const mine = queue.get(info.key)?.info.uid === info.uid;
    if (outcome.kind === "bound") {
      this.#attempts.inc({ result: "scheduled" });
      if (mine) queue.delete(info.key);
      for (const plugin of framework.plugins) plugin.postBind?.(one.cycle, one.node);
      deps.recorder.event(info.pod, "Normal", "Scheduled", `Successfully assigned ${info.key} to ${one.node}`);
      return;
    }
    this.#attempts.inc({ result: "error" });
    deps.logger.info({ pod: info.key, node: one.node, outcome: outcome.kind, reason: outcome.message }, "not bound");
    if (!mine) return;
    unreserveAll(framework, one.cycle, one.node);
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
    if (outcome.kind === "failed" && !signal.aborted) {
      this.#reject(info.pod, `binding rejected: ${outcome.message}`, "SchedulerError", signal);
    }
  }
}
