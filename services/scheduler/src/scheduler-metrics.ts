// The scheduler's metrics, named, labelled and counted as upstream's stable ones.
import { doublingBuckets, type Metrics } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import type { QueuedPod } from "./queue/scheduling-queue.ts";

export type AttemptResult = "scheduled" | "unschedulable" | "error";

const name = (suffix: string): string => `scheduler_${suffix}`;

export class SchedulerMetrics {
  readonly #clock: Clock;
  readonly #attempts;
  readonly #attemptSeconds;
  readonly #attemptsOfPods;
  readonly #podSeconds;
  readonly #pending;
  readonly #preemptions;
  readonly #victims;

  constructor(metrics: Metrics, clock: Clock) {
    this.#clock = clock;
    const result = ["result", "profile"];
    this.#attempts = metrics.counter(name("schedule_attempts_total"), "Attempts to schedule pods, by result.", result);
    this.#attemptSeconds = metrics.histogram(
      name("scheduling_attempt_duration_seconds"),
      "Time of an attempt, with the binding.",
      doublingBuckets(0.001, 15),
      result,
    );
    this.#attemptsOfPods = metrics.histogram(
      name("pod_scheduling_attempts"),
      "Attempts that it took to schedule a pod.",
      doublingBuckets(1, 5),
    );
    this.#podSeconds = metrics.histogram(
      name("pod_scheduling_sli_duration_seconds"),
      "Time from a pod's first attempt until it was bound.",
      doublingBuckets(0.01, 20),
      ["attempts"],
    );
    this.#pending = metrics.gauge(name("pending_pods"), "Pending pods, by queue.", ["queue"]);
    this.#preemptions = metrics.counter(name("preemption_attempts_total"), "Attempts to preempt.");
    this.#victims = metrics.histogram(name("preemption_victims"), "Victims of a preemption.", doublingBuckets(1, 7));
  }

  pending(counts: Readonly<Record<string, number>>): void {
    for (const [queue, count] of Object.entries(counts)) this.#pending.set(count, { queue });
  }

  /** `pod`: as the queue gave it; undefined counts nothing, as it has gone meanwhile. */
  attempted(result: AttemptResult, pod: QueuedPod | undefined): void {
    if (pod === undefined) return;
    const now = this.#clock.monotonic();
    const labels = { result, profile: pod.info.pod.spec?.schedulerName ?? "" };
    this.#attempts.inc(labels);
    this.#attemptSeconds.observe((now - pod.poppedAt) / 1000, labels);
    if (result !== "scheduled") return;
    const attempts = pod.attempts >= 15 ? "15+" : String(pod.attempts);
    this.#attemptsOfPods.observe(pod.attempts);
    this.#podSeconds.observe((now - (pod.firstPoppedAt ?? now)) / 1000, { attempts });
  }

  triedToPreempt(): void {
    this.#preemptions.inc();
  }

  preempted(victims: number): void {
    this.#victims.observe(victims);
  }
}
