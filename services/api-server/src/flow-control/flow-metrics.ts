// The figures of flow control under upstream's names. Counters and times are kept as things happen, gauges when they are read.
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#metrics
import type { Metrics } from "@coxswain/component-base";
import type { PriorityLevel } from "./priority-level.ts";

const BUCKETS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

export interface FlowMetrics {
  /** `waitedS` undefined: of an exempt level, whose waits are not kept. */
  dispatched(schema: string, level: string, waitedS: number | undefined): void;
  refused(schema: string, level: string, reason: string): void;
  executed(schema: string, level: string, seconds: number): void;
  measure(levels: readonly PriorityLevel[]): void;
}

export function createFlowMetrics(metrics: Metrics): FlowMetrics {
  const name = (end: string): string => `apiserver_flowcontrol_${end}`;
  const both = ["flow_schema", "priority_level"];
  const dispatched = metrics.counter(name("dispatched_requests_total"), "Requests that were let in.", both);
  const rejected = metrics.counter(name("rejected_requests_total"), "Requests that were refused.", [...both, "reason"]);
  const wait = metrics.histogram(name("request_wait_duration_seconds"), "Time in a queue.", BUCKETS, [
    ...both,
    "execute",
  ]);
  const execution = metrics.histogram(name("request_execution_seconds"), "Time with a seat.", BUCKETS, both);
  const gauge = (end: string, help: string) => metrics.gauge(name(end), help, ["priority_level"]);
  const gauges: readonly [ReturnType<typeof gauge>, (level: PriorityLevel) => number][] = [
    [gauge("current_inqueue_requests", "Requests that wait."), ({ queues }) => queues.waitingCount],
    [gauge("current_inqueue_seats", "Seats that they wait for."), ({ queues }) => queues.waitingSeats],
    [gauge("current_executing_requests", "Requests with seats."), ({ queues }) => queues.executingCount],
    [gauge("current_executing_seats", "Seats in use."), ({ queues }) => queues.seatsInUse],
    [gauge("nominal_limit_seats", "Seats by shares."), ({ limits }) => limits.nominal],
    [gauge("lower_limit_seats", "Seats that are never lent."), ({ limits }) => limits.lower],
    [gauge("upper_limit_seats", "Seats with all that may be borrowed."), ({ limits }) => limits.upper],
    [gauge("current_limit_seats", "Seats at the moment."), ({ queues }) => queues.limit],
    [gauge("demand_seats_smoothed", "Seats that are reckoned to be wanted."), ({ smooth }) => smooth],
  ];
  return {
    dispatched(flow_schema, priority_level, waitedS) {
      dispatched.inc({ flow_schema, priority_level });
      if (waitedS !== undefined) wait.observe(waitedS, { flow_schema, priority_level, execute: "true" });
    },
    refused: (flow_schema, priority_level, reason) => rejected.inc({ flow_schema, priority_level, reason }),
    executed: (flow_schema, priority_level, seconds) => execution.observe(seconds, { flow_schema, priority_level }),
    measure(levels) {
      for (const level of levels)
        for (const [one, read] of gauges) one.set(read(level), { priority_level: level.name });
    },
  };
}
