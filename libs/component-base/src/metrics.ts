// The Metrics of real processes, on prom-client, with the process's own figures. Asking twice for one name gives one metric.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Metrics } from "./contract.ts";

export interface MetricsRegistry extends Metrics {
  /** Prometheus text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export function createMetrics(): MetricsRegistry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const once = <T>(name: string, make: () => T): T => (registry.getSingleMetric(name) as T | undefined) ?? make();
  return {
    counter: (name, help, labelNames = []) => {
      const make = (): Counter => new Counter({ name, help, labelNames, registers: [registry] });
      const counter = once(name, make);
      return { inc: (labels = {}, by = 1) => counter.inc(labels, by) };
    },
    gauge: (name, help, labelNames = []) => {
      const make = (): Gauge => new Gauge({ name, help, labelNames, registers: [registry] });
      const gauge = once(name, make);
      return { set: (value, labels = {}) => gauge.set(labels, value), remove: (labels) => gauge.remove(labels) };
    },
    histogram: (name, help, buckets, labelNames = []) => {
      const make = (): Histogram =>
        new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [registry] });
      const histogram = once(name, make);
      return { observe: (value, labels = {}) => histogram.observe(labels, value) };
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
