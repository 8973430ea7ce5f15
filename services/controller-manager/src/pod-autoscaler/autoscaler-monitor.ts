// What the HorizontalPodAutoscaler controller counts, named and labelled as upstream's does.
import type { HorizontalPodAutoscaler, MetricSpec } from "@coxswain/api";
import { doublingBuckets, type Metrics } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import { MetricFailure, type MetricProposal } from "./metric-proposal.ts";
import { errorOf, type Findings } from "./plan-autoscaler.ts";

const name = (suffix: string): string => `horizontal_pod_autoscaler_controller_${suffix}`;
const BUCKETS = doublingBuckets(0.001, 15);

export class AutoscalerMonitor {
  readonly #clock: Clock;
  readonly #looks;
  readonly #lookSeconds;
  readonly #computations;
  readonly #computationSeconds;
  readonly #autoscalers;
  readonly #desired;
  #count = 0;

  constructor(metrics: Metrics, clock: Clock) {
    this.#clock = clock;
    const result = ["action", "error"];
    this.#looks = metrics.counter(name("reconciliations_total"), "Looks at autoscalers.", result);
    const lookSeconds = "Time of a look at an autoscaler.";
    this.#lookSeconds = metrics.histogram(name("reconciliation_duration_seconds"), lookSeconds, BUCKETS, result);
    const ofMetric = [...result, "metric_type"];
    this.#computations = metrics.counter(name("metric_computation_total"), "Metrics that were asked.", ofMetric);
    const seconds = "Time until a metric had its answer.";
    this.#computationSeconds = metrics.histogram(
      name("metric_computation_duration_seconds"),
      seconds,
      BUCKETS,
      ofMetric,
    );
    this.#autoscalers = metrics.gauge(name("num_horizontal_pod_autoscalers"), "Autoscalers that there are.");
    const wanted = "Replicas that an autoscaler wants.";
    this.#desired = metrics.gauge(name("desired_replicas"), wanted, ["namespace", "hpa_name"]);
  }

  /** Counts a look at an autoscaler, by what `findings` says of it in the end. */
  async looked(findings: Findings, work: () => Promise<void>): Promise<void> {
    const began = this.#clock.monotonic();
    try {
      await work();
    } catch (error) {
      if (findings.error === "none") findings.error = "internal";
      throw error;
    } finally {
      const { action, error } = findings;
      this.#looks.inc({ action, error });
      this.#lookSeconds.observe((this.#clock.monotonic() - began) / 1000, { action, error });
    }
  }

  /** Counts what a metric asks for; `replicas` are those of the last status. */
  async computed(
    { type }: MetricSpec,
    replicas: number,
    work: () => Promise<MetricProposal | MetricFailure>,
  ): Promise<MetricProposal | MetricFailure> {
    const began = this.#clock.monotonic();
    const outcome = await work();
    const failed = outcome instanceof MetricFailure;
    const more = failed ? 0 : outcome.replicas - replicas;
    const action = more > 0 ? "scale_up" : more < 0 ? "scale_down" : "none";
    const labels = { action, error: failed ? errorOf(outcome) : "none", metric_type: type };
    this.#computations.inc(labels);
    this.#computationSeconds.observe((this.#clock.monotonic() - began) / 1000, labels);
    return outcome;
  }

  wants({ metadata }: HorizontalPodAutoscaler, replicas: number): void {
    this.#desired.set(replicas, { namespace: metadata?.namespace ?? "", hpa_name: metadata?.name ?? "" });
  }

  added(): void {
    this.#autoscalers.set(++this.#count);
  }

  removed({ metadata }: HorizontalPodAutoscaler): void {
    this.#autoscalers.set(--this.#count);
    this.#desired.remove({ namespace: metadata?.namespace ?? "", hpa_name: metadata?.name ?? "" });
  }
}
