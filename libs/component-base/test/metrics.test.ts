// Figures as Prometheus reads them, however they are counted.
import { expect, test } from "vitest";
import { createMetrics } from "../src/metrics.ts";

const linesOf = async (metrics: ReturnType<typeof createMetrics>, name: string): Promise<string[]> =>
  (await metrics.text()).split("\n").filter((line) => line.includes(name) && !line.startsWith("#"));

test("a histogram tells for each bound how much lies below, the sum and the count, for each series", async () => {
  const metrics = createMetrics();
  const histogram = metrics.histogram("took_seconds", "Time.", [0.1, 1], ["verb"]);
  histogram.observe(0.1, { verb: "GET" });
  const kept = histogram.of({ verb: "GET" });
  for (const value of [0.5, 3]) kept.observe(value);
  histogram.observe(2, { verb: "PUT" });
  expect(await metrics.text()).toContain("# TYPE took_seconds histogram");
  expect(await linesOf(metrics, "took_seconds")).toEqual([
    'took_seconds_bucket{le="0.1",verb="GET"} 1',
    'took_seconds_bucket{le="1",verb="GET"} 2',
    'took_seconds_bucket{le="+Inf",verb="GET"} 3',
    'took_seconds_sum{verb="GET"} 3.6',
    'took_seconds_count{verb="GET"} 3',
    'took_seconds_bucket{le="0.1",verb="PUT"} 0',
    'took_seconds_bucket{le="1",verb="PUT"} 0',
    'took_seconds_bucket{le="+Inf",verb="PUT"} 1',
    'took_seconds_sum{verb="PUT"} 2',
    'took_seconds_count{verb="PUT"} 1',
  ]);
  expect(() => histogram.observe(1, { noun: "x" })).toThrow("took_seconds has no label noun");
  expect(metrics.histogram("took_seconds", "Time.", [0.1, 1], ["verb"]).of({ verb: "GET" })).toBe(kept);
});

test("a histogram without labels is told before anything happens", async () => {
  const metrics = createMetrics();
  metrics.histogram("idle_seconds", "Time.", [1]);
  expect(await linesOf(metrics, "idle_seconds")).toEqual([
    'idle_seconds_bucket{le="1"} 0',
    'idle_seconds_bucket{le="+Inf"} 0',
    "idle_seconds_sum 0",
    "idle_seconds_count 0",
  ]);
});

test("counters and gauges count by series that are kept as by labels, each time that somebody asks", async () => {
  const metrics = createMetrics();
  const counter = metrics.counter("done_total", "Done.", ["verb"]);
  const gauge = metrics.gauge("open", "Open.", ["verb"]);
  const [done, open] = [counter.of({ verb: "GET" }), gauge.of({ verb: "GET" })];
  expect(await linesOf(metrics, "done_total")).toEqual([]);
  done.inc();
  done.inc(2);
  counter.inc({ verb: "GET" });
  open.set(5);
  expect(await linesOf(metrics, "done_total")).toEqual(['done_total{verb="GET"} 4']);
  done.inc();
  open.set(4);
  expect(await linesOf(metrics, "done_total")).toEqual(['done_total{verb="GET"} 5']);
  expect(await linesOf(metrics, "open{")).toEqual(['open{verb="GET"} 4']);
});
