// The HorizontalPodAutoscaler controller: sets the replicas of anything with a scale subresource by its metrics, every 15 seconds.
// Guarantees: replicas are written with the version of the scale that was judged, or with the newest where somebody else has written
// the target meanwhile, as its rollout does; what could not be judged changes nothing, and the autoscaler says why; a leader that begins anew remembers nothing and so is slower to scale down, never faster.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
import {
  HORIZONTAL_POD_AUTOSCALERS,
  type HorizontalPodAutoscaler,
  type MetricSpec,
  type MetricStatus,
  type Pod,
  type Scale,
} from "@coxswain/api";
import {
  deepEqual,
  isReason,
  objectKey,
  parseApiVersion,
  parseLabelSelector,
  parseQuantity,
  type ResourceRef,
  type Selector,
} from "@coxswain/apimachinery";
import type { AggregatedReader } from "@coxswain/client";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_NAMESPACE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { updateStatus } from "../writes/update-status.ts";
import { createApiVersions } from "./api-versions.ts";
import { AutoscalerMonitor } from "./autoscaler-monitor.ts";
import { createKindResolver, type KindResolver } from "./kind-resolver.ts";
import { MetricFailure, proposeByMetric, type MetricProposal } from "./metric-proposal.ts";
import { createMetricsSource, type MetricsSource } from "./metrics-source.ts";
import * as plan from "./plan-autoscaler.ts";
import { Findings } from "./plan-autoscaler.ts";
import type { CalculatorFacts } from "./replica-calculator.ts";
import { afterScaling, NO_HISTORY, type ScalingHistory } from "./scaling-limits.ts";

export interface PodAutoscalerOptions {
  /** How often each autoscaler is looked at; 15 s where unset. */
  readonly autoscalerSyncMs?: number;
  /** How long a higher recommendation holds back a lower one; 5 min where unset. */
  readonly downscaleStabilizationMs?: number;
  /** 0.1 where unset. */
  readonly autoscalerTolerance?: number;
  /** 5 min where unset. */
  readonly cpuInitializationMs?: number;
  /** 30 s where unset. */
  readonly initialReadinessMs?: number;
}

const DEFAULTS: Required<PodAutoscalerOptions> = {
  autoscalerSyncMs: 15_000,
  downscaleStabilizationMs: 300_000,
  autoscalerTolerance: 0.1,
  cpuInitializationMs: 300_000,
  initialReadinessMs: 30_000,
};
const WORKERS = 5;
const WRITE_ATTEMPTS = 5;
const CONFLICT_PAUSE_MS = 10;

/** Ends a look at an autoscaler; conditions and events say why. */
class CannotScale extends Error {
  override readonly name = "CannotScale";
  readonly found: plan.FoundError;
  constructor(found: plan.FoundError = "internal") {
    super();
    this.found = found;
  }
}

interface Target {
  readonly ref: ResourceRef;
  readonly scale: Scale;
}

export function createPodAutoscaler(
  context: ControllerContext,
  reader: AggregatedReader,
  options: PodAutoscalerOptions = {},
): ManagedController {
  const kinds = createKindResolver(context.informers);
  const source = createMetricsSource(reader, kinds, createApiVersions(context.informers));
  const autoscalers = context.informers.informer<HorizontalPodAutoscaler>(HORIZONTAL_POD_AUTOSCALERS);
  const settings = { ...DEFAULTS, ...options };
  const monitor = new AutoscalerMonitor(context.metrics, context.env.clock);
  const list = () => autoscalers.lister.list();
  const autoscaling = new PodAutoscaling(context, { kinds, source, settings, monitor, list });
  const reconcile = async (key: string): Promise<ReconcileResult | void> => {
    const autoscaler = autoscalers.lister.get(key);
    if (autoscaler === undefined) return autoscaling.forget(key);
    // A failure waits for the next turn like a success: events would flood the cluster otherwise.
    try {
      await autoscaling.look(key, autoscaler);
    } catch (error) {
      context.logger.warn({ err: error, key }, "an autoscaler could not be looked at");
    }
    return { requeueAfterMs: settings.autoscalerSyncMs };
  };
  const spec = { name: "horizontal-pod-autoscaler-controller", workers: WORKERS, reconcile };
  const controller = createController(spec, context);
  autoscalers.addHandler({
    add: (autoscaler) => controller.enqueue(objectKey(autoscaler)),
    update: (autoscaler, old) => {
      if (!deepEqual(autoscaler.spec, old.spec)) controller.enqueue(objectKey(autoscaler));
    },
    delete: (autoscaler) => controller.enqueue(objectKey(autoscaler)),
  });
  autoscalers.addHandler({ add: () => monitor.added(), delete: (autoscaler) => monitor.removed(autoscaler) });
  return { controller };
}

interface Parts {
  readonly kinds: KindResolver;
  readonly source: MetricsSource;
  readonly settings: Required<PodAutoscalerOptions>;
  readonly monitor: AutoscalerMonitor;
  readonly list: () => readonly HorizontalPodAutoscaler[];
}

class PodAutoscaling {
  readonly #context: ControllerContext;
  readonly #parts: Parts;
  readonly #histories = new Map<string, ScalingHistory>();
  /** What each autoscaler's target selects, as it was last seen. */
  readonly #selectors = new Map<string, string>();

  constructor(context: ControllerContext, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
  }

  forget(key: string): void {
    this.#histories.delete(key);
    this.#selectors.delete(key);
  }

  async look(key: string, autoscaler: HorizontalPodAutoscaler): Promise<void> {
    const findings = new Findings(autoscaler, this.#context.env.clock.now());
    await this.#parts.monitor.looked(findings, () => this.#lookFor(key, autoscaler, findings));
  }

  async #lookFor(key: string, autoscaler: HorizontalPodAutoscaler, findings: Findings): Promise<void> {
    let status = autoscaler.status;
    try {
      status = await this.#scale(key, autoscaler, findings, (next) => (status = next));
      this.#parts.monitor.wants(autoscaler, status?.desiredReplicas ?? 0);
    } catch (error) {
      if (!(error instanceof CannotScale)) throw error;
      findings.error = error.found;
      status = { desiredReplicas: 0, ...status, conditions: findings.conditions };
    } finally {
      this.#tell(autoscaler, findings);
    }
    const { client } = this.#context;
    await updateStatus(client, HORIZONTAL_POD_AUTOSCALERS, autoscaler, (one) => ({ ...one, status }));
  }

  #tell({ metadata }: HorizontalPodAutoscaler, { events }: Findings): void {
    const about = { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", metadata };
    for (const { type, reason, message } of events) this.#context.recorder.event(about, type, reason, message);
  }

  /** The status to write; `draft` gets what is known before something fails with CannotScale. */
  async #scale(
    key: string,
    autoscaler: HorizontalPodAutoscaler,
    findings: Findings,
    draft: (status: HorizontalPodAutoscaler["status"]) => void,
  ): Promise<HorizontalPodAutoscaler["status"]> {
    const { env } = this.#context;
    const nowMs = env.clock.now();
    const target = await this.#target(autoscaler, findings);
    const current = target.scale.spec?.replicas ?? 0;
    findings.set(
      "AbleToScale",
      true,
      "SucceededGetScale",
      "the HPA controller was able to get the target's current scale",
    );
    const history = this.#histories.get(key) ?? {
      ...NO_HISTORY,
      recommendations: [{ replicas: current, atMs: nowMs }],
    };
    this.#histories.set(key, history);
    let metrics: readonly MetricStatus[] = [];
    const statusOf = (desired: number, rescaled: boolean) =>
      plan.planStatus(autoscaler, { current, desired, metrics, rescaled, nowMs }, findings);
    const before = autoscaler.status?.desiredReplicas ?? 0;
    let rescale = plan.planByBounds(current, plan.boundsOf(autoscaler), findings);
    if (rescale === undefined) {
      const found = await this.#metrics(key, autoscaler, target, findings);
      metrics = found.statuses;
      if (found.verdict === undefined) {
        draft(statusOf(before, false));
        throw new CannotScale();
      }
      const facts = { history, downscaleStabilizationMs: this.#parts.settings.downscaleStabilizationMs, nowMs };
      const planned = plan.planByMetrics(autoscaler, current, found.verdict, facts, findings);
      this.#histories.set(key, planned.history);
      rescale = planned;
    }
    if (rescale.replicas === current) return statusOf(current, false);
    draft(statusOf(before, false));
    await this.#rescale(target, rescale, findings);
    findings.action = rescale.replicas > current ? "scale_up" : "scale_down";
    const changed = { from: current, to: rescale.replicas, nowMs };
    this.#histories.set(key, afterScaling(this.#histories.get(key) ?? history, autoscaler.spec?.behavior, changed));
    return statusOf(rescale.replicas, true);
  }

  async #target(autoscaler: HorizontalPodAutoscaler, findings: Findings): Promise<Target> {
    const { apiVersion = "", kind = "", name = "" } = autoscaler.spec?.scaleTargetRef ?? {};
    const { namespace = "" } = autoscaler.metadata ?? {};
    const fail = (message: string, found?: plan.FoundError): never => {
      findings.warn("FailedGetScale", message);
      const told = `the HPA controller was unable to get the target's current scale: ${message}`;
      findings.set("AbleToScale", false, "FailedGetScale", told);
      throw new CannotScale(found);
    };
    if (apiVersion.split("/").length > 2) return fail(`unexpected GroupVersion string: ${apiVersion}`, "spec");
    const { group } = parseApiVersion(apiVersion);
    const found = this.#parts.kinds.resolve({ group, kind });
    if (found === undefined) {
      return fail(`no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`);
    }
    try {
      const where = { namespace, name };
      const scale = await this.#context.client.get<Scale>(found.ref, where, { subresource: "scale" });
      return { ref: found.ref, scale };
    } catch (error) {
      return fail((error as Error).message);
    }
  }

  async #rescale({ ref, scale }: Target, { replicas, reason }: plan.Rescale, findings: Findings): Promise<void> {
    try {
      await this.#write(ref, scale, replicas);
    } catch (error) {
      const { message } = error as Error;
      findings.warn("FailedRescale", `New size: ${replicas}; reason: ${reason}; error: ${message}`);
      const told = `the HPA controller was unable to update the target scale: ${message}`;
      findings.set("AbleToScale", false, "FailedUpdateScale", told);
      throw new CannotScale();
    }
    const told = `the HPA controller was able to update the target scale to ${replicas}`;
    findings.set("AbleToScale", true, "SucceededRescale", told);
    findings.say("SuccessfulRescale", `New size: ${replicas}; reason: ${reason}`);
  }

  /** Again with the newest version while others are quicker, a few times. */
  async #write(ref: ResourceRef, scale: Scale, replicas: number): Promise<void> {
    const { client, env } = this.#context;
    const { namespace, name = "" } = scale.metadata ?? {};
    let now = scale;
    for (let attempt = 1; ; attempt++) {
      try {
        await client.update<Scale>(ref, { ...now, spec: { ...now.spec, replicas } }, { subresource: "scale" });
        return;
      } catch (error) {
        if (!isReason(error, "Conflict") || attempt === WRITE_ATTEMPTS) throw error;
      }
      await env.timers.sleep(CONFLICT_PAUSE_MS * (1 + env.random.float()));
      now = await client.get<Scale>(ref, { namespace, name }, { subresource: "scale" });
    }
  }

  async #metrics(
    key: string,
    autoscaler: HorizontalPodAutoscaler,
    { scale }: Target,
    findings: Findings,
  ): Promise<ReturnType<typeof plan.planMetrics>> {
    const { namespace = "" } = autoscaler.metadata ?? {};
    const selector = scale.status?.selector ?? "";
    const pods = this.#selectedPods(key, namespace, selector, findings);
    if (pods === undefined) return { verdict: undefined, statuses: [] };
    const context = {
      source: this.#parts.source,
      namespace,
      selector,
      specReplicas: scale.spec?.replicas ?? 0,
      statusReplicas: scale.status?.replicas ?? 0,
      facts: this.#facts(autoscaler, pods),
    };
    const propose = async (metric: MetricSpec): Promise<MetricProposal | MetricFailure> => {
      try {
        return await proposeByMetric(metric, context);
      } catch (error) {
        if (error instanceof MetricFailure) return error;
        throw error;
      }
    };
    const replicas = autoscaler.status?.currentReplicas ?? 0;
    const outcomes = (autoscaler.spec?.metrics ?? []).map((metric) =>
      this.#parts.monitor.computed(metric, replicas, () => propose(metric)),
    );
    return plan.planMetrics(await Promise.all(outcomes), context.specReplicas, findings);
  }

  #facts({ spec }: HorizontalPodAutoscaler, pods: readonly Pod[]): CalculatorFacts {
    const { autoscalerTolerance, cpuInitializationMs, initialReadinessMs } = this.#parts.settings;
    const tolerance = (text: string | undefined): number =>
      text === undefined ? autoscalerTolerance : Number(parseQuantity(text).nanos) / 1e9;
    const { scaleUp, scaleDown } = spec?.behavior ?? {};
    const tolerances = { up: tolerance(scaleUp?.tolerance), down: tolerance(scaleDown?.tolerance) };
    return { pods, nowMs: this.#context.env.clock.now(), tolerances, cpuInitializationMs, initialReadinessMs };
  }

  /** Undefined, with a condition and events, where the selector selects nobody's pods or several autoscalers'. */
  #selectedPods(key: string, namespace: string, selector: string, findings: Findings): Pod[] | undefined {
    const refuse = (reason: string, event: string, message: string, told = message): undefined => {
      findings.warn(event, message);
      findings.set("ScalingActive", false, reason, told);
      findings.warn("FailedComputeMetricsReplicas", message);
      return undefined;
    };
    if (selector === "") {
      const told = "the HPA target's scale is missing a selector";
      return refuse("InvalidSelector", "SelectorRequired", "selector is required", told);
    }
    let selects: Selector;
    try {
      selects = parseLabelSelector(selector);
    } catch (error) {
      const message = `couldn't convert selector into a corresponding internal selector object: ${(error as Error).message}`;
      return refuse("InvalidSelector", "InvalidSelector", message);
    }
    this.#selectors.set(key, selector);
    const pods = this.#context.caches.pods.lister
      .byIndex(BY_NAMESPACE, namespace)
      .filter((pod) => selects.matches(pod.metadata?.labels));
    const rivals = this.#rivals(namespace, pods);
    if (rivals.length <= 1) return pods;
    const names = rivals.map((name) => `{${name} ${namespace}}`).join(" ");
    const message = `pods by selector ${selector} are controlled by multiple HPAs: [${names}]`;
    return refuse("AmbiguousSelector", "AmbiguousSelector", message);
  }

  /** Autoscalers of the namespace that select any of these pods. */
  #rivals(namespace: string, pods: readonly Pod[]): string[] {
    const names: string[] = [];
    for (const autoscaler of this.#parts.list()) {
      if (autoscaler.metadata?.namespace !== namespace) continue;
      const selector = this.#selectors.get(objectKey(autoscaler));
      if (selector === undefined) continue;
      const selects = parseLabelSelector(selector);
      if (pods.some((pod) => selects.matches(pod.metadata?.labels))) names.push(autoscaler.metadata.name ?? "");
    }
    return names.toSorted();
  }
}
