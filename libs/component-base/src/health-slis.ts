// Service level indicators of a process's health: what each check said last, and how often it said so, as /metrics/slis tells it.
// https://kubernetes.io/docs/reference/instrumentation/slis/
import { Counter, Gauge, Registry } from "prom-client";

export type HealthEndpoint = "healthz" | "livez" | "readyz";

export class HealthSlis {
  readonly #registry = new Registry();
  readonly #last = new Gauge({
    name: "kubernetes_healthcheck",
    help: "[STABLE] What a health check said last: 1 for health.",
    labelNames: ["name", "type"],
    registers: [this.#registry],
  });
  readonly #total = new Counter({
    name: "kubernetes_healthchecks_total",
    help: "[STABLE] How often a health check said what.",
    labelNames: ["name", "status", "type"],
    registers: [this.#registry],
  });

  /** A check has answered to a call of the endpoint. */
  observe(type: HealthEndpoint, name: string, ok: boolean): void {
    this.#last.set({ name, type }, ok ? 1 : 0);
    this.#total.inc({ name, status: ok ? "success" : "error", type });
  }

  /** In Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
