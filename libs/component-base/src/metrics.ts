// The Metrics of real processes, on prom-client, with the process's own figures. Asking twice for one name gives one metric.
import { collectDefaultMetrics, Counter, Gauge, Registry, type Histogram } from "prom-client";
import type { Metrics } from "./contract.ts";
import { BucketHistogram } from "./histogram.ts";

export interface MetricsRegistry extends Metrics {
  /** Prometheus text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export function createMetrics(): MetricsRegistry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const once = <T>(name: string, make: () => T): T => (registry.getSingleMetric(name) as T | undefined) ?? make();
  // What was counted by series since the last time that somebody asked.
  const pending: (() => void)[] = [];
  return {
    counter: (name, help, labelNames = []) => {
      const make = (): Counter => new Counter({ name, help, labelNames, registers: [registry] });
      const counter = once(name, make);
      return {
        inc: (labels = {}, by = 1) => counter.inc(labels, by),
        of(labels) {
          let more = 0;
          pending.push(() => {
            if (more > 0) counter.inc(labels, more);
            more = 0;
          });
          return { inc: (by = 1) => void (more += by) };
        },
      };
    },
    gauge: (name, help, labelNames = []) => {
      const make = (): Gauge => new Gauge({ name, help, labelNames, registers: [registry] });
      const gauge = once(name, make);
      return {
        set: (value, labels = {}) => gauge.set(labels, value),
        remove: (labels) => gauge.remove(labels),
        of(labels) {
          let now: number | undefined;
          pending.push(() => {
            if (now !== undefined) gauge.set(labels, now);
            now = undefined;
          });
          return { set: (value) => void (now = value) };
        },
      };
    },
    histogram: (name, help, buckets, labelNames = []) =>
      once(name, () => {
        const histogram = new BucketHistogram(name, help, buckets, labelNames);
        // The registry asks a metric for its name and for `get`, and takes no more than its own classes by their types.
        registry.registerMetric(histogram as unknown as Histogram);
        return histogram;
      }),
    text() {
      for (const each of pending) each();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}
