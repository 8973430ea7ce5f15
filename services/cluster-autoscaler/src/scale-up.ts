// Makes groups larger, and mends what has become of earlier requests: the executor of planScaleUp and groupState.
import type { Pod } from "@coxswain/api";
import type { EventRecorder } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import { afterFailure, isResting, type BackoffState } from "./backoff.ts";
import type { AutoscalerMetrics } from "./autoscaler-metrics.ts";
import type { CloudProvider, Instance } from "./cloud-provider.ts";
import { providerInstance, type GroupFacts, type GroupState } from "./group-state.ts";
import { podKey } from "./pod-facts.ts";
import type { AutoscalerOptions } from "./options.ts";
import type { NodeTemplate, Placement } from "./placement.ts";
import { IN_BACKOFF, NO_TEMPLATE, planScaleUp, type GroupOffer, type ScaleUpPlan } from "./plan-scale-up.ts";
import type { StatusMap } from "./status-map.ts";

export interface ScaleUpDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly recorder: EventRecorder;
  readonly provider: CloudProvider;
  readonly placement: Placement;
  readonly status: StatusMap;
  readonly metrics: AutoscalerMetrics;
  readonly options: AutoscalerOptions;
}

export interface Observed {
  readonly facts: GroupFacts;
  readonly state: GroupState;
}

/** The same event about a pod is told again after this long. */
const REPEAT_MS = 300_000;

export class ScaleUp {
  readonly #deps: ScaleUpDeps;
  readonly #backoff = new Map<string, BackoffState>();
  readonly #told = new Map<string, { readonly message: string; readonly atMs: number }>();
  /** When a group was last made larger, by this process. */
  lastAddMs: number | undefined;

  constructor(deps: ScaleUpDeps) {
    this.#deps = deps;
  }

  resting(group: string): boolean {
    return isResting(this.#backoff.get(group), this.#deps.env.clock.now());
  }

  /** Gives up machines that failed, or did not become nodes in time. Says whether it did anything: then the picture is old. */
  async mend(observed: readonly Observed[]): Promise<boolean> {
    let acted = false;
    for (const { facts, state } of observed) {
      const { id } = facts.group;
      if (state.failed.length > 0) {
        const { code = "", message = "" } = state.failed[0]?.error ?? {};
        this.#failed(
          id,
          "cloudProviderError",
          `Scale-up failed for group ${id}: ${code}: ${message}`,
          "FailedToScaleUpGroup",
        );
        await this.#giveUp(id, state.failed);
        acted = true;
      }
      // Machines that were given up must not take the group below its minimum.
      const late = state.longUnregistered.slice(0, Math.max(0, facts.targetSize - facts.group.minSize));
      if (late.length > 0) {
        const seconds = this.#deps.options.maxNodeProvisionMs / 1000;
        this.#failed(
          id,
          "timeout",
          `Nodes added to group ${id} failed to register within ${seconds}s`,
          "ScaleUpTimedOut",
        );
        await this.#giveUp(id, late);
        acted = true;
      }
      if (state.unfulfilled > 0) {
        await this.#deps.provider.decreaseTargetSize(id, -state.unfulfilled);
        this.#deps.logger.warn({ group: id, by: state.unfulfilled }, "took back requests for nodes that never came");
        acted = true;
      }
    }
    return acted;
  }

  #failed(group: string, reason: string, message: string, event: string): void {
    const { env, recorder, status, metrics, options, logger } = this.#deps;
    this.#backoff.set(group, afterFailure(this.#backoff.get(group), env.clock.now(), options));
    recorder.event(status.object, "Warning", event, message);
    metrics.failedScaleUps.inc({ reason });
    logger.warn({ group, reason }, message);
  }

  async #giveUp(group: string, instances: readonly Instance[]): Promise<void> {
    const { provider, recorder, status } = this.#deps;
    await provider.deleteNodes(group, instances.map(providerInstance));
    for (const { id } of instances)
      recorder.event(status.object, "Normal", "DeleteUnregistered", `Removed unregistered node ${id}`);
  }

  /** Brings nodes for the pods. Resolves with whether it asked for any, or some are on their way. */
  async run(pods: readonly Pod[], observed: readonly Observed[], daemons: readonly Pod[]): Promise<boolean> {
    this.#forget(pods);
    const upcoming = observed.some(({ state }) => state.upcoming > 0);
    if (pods.length === 0) return upcoming;
    const offers = await this.#offers(pods, observed, daemons);
    const { env, options } = this.#deps;
    const plan = planScaleUp(pods, offers, options.expander, env.random);
    if (offers.length > 0) for (const { pod, message } of plan.unhelped) this.#tell(pod, message);
    if (plan.grow === undefined) return upcoming;
    await this.#grow(plan.grow, plan.triggered);
    return true;
  }

  async #offers(pods: readonly Pod[], observed: readonly Observed[], daemons: readonly Pod[]): Promise<GroupOffer[]> {
    const addNodes = observed.flatMap(({ facts: { template }, state }): NodeTemplate[] =>
      template === undefined || state.upcoming === 0 ? [] : [{ node: template, copies: state.upcoming }],
    );
    const keys = pods.map(podKey);
    return Promise.all(
      observed.map(async ({ facts: { group, targetSize, template } }): Promise<GroupOffer> => {
        const offer = { group, targetSize, template };
        if (template === undefined) return { ...offer, skipped: NO_TEMPLATE };
        const resting = this.resting(group.id);
        const copies = resting ? 0 : Math.max(0, group.maxSize - targetSize);
        const spare = { node: template, copies };
        const answer = await this.#deps.placement.ask({ addNodes, spare, daemonPods: daemons, pods: keys });
        return { ...offer, answer, ...(resting ? { skipped: IN_BACKOFF } : {}) };
      }),
    );
  }

  async #grow(grow: NonNullable<ScaleUpPlan["grow"]>, triggered: readonly Pod[]): Promise<void> {
    const { env, logger, provider, recorder, status, metrics } = this.#deps;
    const { group, from, to } = grow;
    const sizes = `to ${to} instead of ${from} (max: ${group.maxSize})`;
    recorder.event(status.object, "Normal", "ScaledUpGroup", `Scale-up: setting group ${group.id} size ${sizes}`);
    try {
      await provider.increaseSize(group.id, to - from);
    } catch (error) {
      if (isAbort(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      this.#failed(
        group.id,
        "apiCallError",
        `Scale-up failed for group ${group.id}: ${message}`,
        "FailedToScaleUpGroup",
      );
      for (const pod of triggered) recorder.event(pod, "Warning", "FailedToScaleUp", `Failed to scale up: ${message}`);
      return;
    }
    this.lastAddMs = env.clock.now();
    logger.info({ group: group.id, from, to, pods: triggered.length }, "scaled up");
    metrics.scaledUp.inc({ node_group: group.id }, to - from);
    metrics.lastActivity.set(env.clock.now() / 1000, { activity: "scaleUp" });
    recorder.event(status.object, "Normal", "ScaledUpGroup", `Scale-up: group ${group.id} size set ${sizes}`);
    const what = `pod triggered scale-up: [{${group.id} ${from}->${to} (max: ${group.maxSize})}]`;
    for (const pod of triggered) recorder.event(pod, "Normal", "TriggeredScaleUp", what);
  }

  #tell(pod: Pod, message: string): void {
    const nowMs = this.#deps.env.clock.now();
    const uid = pod.metadata?.uid ?? podKey(pod);
    const last = this.#told.get(uid);
    if (last !== undefined && last.message === message && nowMs - last.atMs < REPEAT_MS) return;
    this.#told.set(uid, { message, atMs: nowMs });
    this.#deps.recorder.event(pod, "Normal", "NotTriggerScaleUp", `pod didn't trigger scale-up: ${message}`);
  }

  #forget(pods: readonly Pod[]): void {
    const present = new Set(pods.map((pod) => pod.metadata?.uid ?? podKey(pod)));
    for (const uid of this.#told.keys()) if (!present.has(uid)) this.#told.delete(uid);
  }
}
