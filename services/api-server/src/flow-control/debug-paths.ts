// /debug/api_priority_and_fairness/dump_*: what flow control holds at the moment, as tables that a person reads.
import type { PathHandler } from "../rest/deps.ts";
import type { FlowControl } from "./flow-control.ts";
import type { FlowRequest } from "./flow-request.ts";
import type { PriorityLevel } from "./priority-level.ts";
import type { Ticket } from "./queue-set.ts";

const ROOT = "/debug/api_priority_and_fairness/";

type Row = readonly (string | number | boolean)[];

/** Columns as wide as their widest cell, cells parted by commas. */
function tableText(rows: readonly Row[]): string {
  const texts = rows.map((row) => row.map(String));
  const widths = texts[0]!.map((_, column) => Math.max(...texts.map((row) => row[column]!.length)) + 2);
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === row.length - 1 ? cell : `${cell},`.padEnd(widths[at]!))).join("");
  return `${texts.map(line).join("\n")}\n`;
}

function levelRow({ name, queues, counts }: PriorityLevel): Row {
  const idle = queues.waitingCount === 0 && queues.executingCount === 0;
  const { waitingCount, executingCount } = queues;
  const { dispatched, rejected, timedOut, cancelled } = counts;
  return [
    name,
    queues.activeQueues,
    idle,
    false,
    waitingCount,
    executingCount,
    dispatched,
    rejected,
    timedOut,
    cancelled,
  ];
}

const LEVEL_HEAD = [
  "PriorityLevelName",
  "ActiveQueues",
  "IsIdle",
  "IsQuiescing",
  "WaitingRequests",
  "ExecutingRequests",
  "DispatchedRequests",
  "RejectedRequests",
  "TimedoutRequests",
  "CancelledRequests",
];
const QUEUE_HEAD = [
  "PriorityLevelName",
  "Index",
  "PendingRequests",
  "ExecutingRequests",
  "SeatsInUse",
  "NextDispatchR",
  "InitialSeatsSum",
];

function queueRows({ name, queues }: PriorityLevel): Row[] {
  return queues
    .queues()
    .map(({ index, waiting, executing, seats, nextDispatchR, waitingSeats }) => [
      name,
      index,
      waiting.length,
      executing,
      seats,
      `${nextDispatchR.toFixed(8)}ss`,
      waitingSeats,
    ]);
}

const REQUEST_HEAD = [
  "PriorityLevelName",
  "FlowSchemaName",
  "QueueIndex",
  "RequestIndexInQueue",
  "FlowDistingsher",
  "Waited",
  "InitialSeats",
];
const DETAIL_HEAD = ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];

function requestRow(level: string, ticket: Ticket, place: number, nowMs: number, detailed: boolean): Row {
  const { schema, distinguisher, attributes } = ticket.request as FlowRequest;
  const waited = `${((nowMs - ticket.arrivedMs) / 1000).toFixed(3)}s`;
  const row = [level, schema, ticket.queue, place, distinguisher, waited, ticket.width];
  if (!detailed) return row;
  const { user, verb, path = "", namespace, name, version = "", resource, subresource } = attributes;
  return [...row, user.username, verb, path, namespace, name, version, resource, subresource];
}

/** Executing requests have the place -1. */
function requestRows({ name, queues }: PriorityLevel, nowMs: number, detailed: boolean): Row[] {
  const executing = [...queues.executing].map((ticket) => requestRow(name, ticket, -1, nowMs, detailed));
  const waiting = queues
    .queues()
    .flatMap((queue) => queue.waiting.map((ticket, at) => requestRow(name, ticket, at, nowMs, detailed)));
  return [...executing, ...waiting];
}

export function createFlowDebugPaths(flow: FlowControl, nowMs: () => number): PathHandler {
  return ({ path, query }) => {
    if (!path.startsWith(ROOT)) return undefined;
    const detailed = query.get("includeRequestDetails") === "1" || query.get("includeRequestDetails") === "true";
    const levels = flow.levels();
    const tables: Readonly<Record<string, () => readonly Row[]>> = {
      dump_priority_levels: () => [LEVEL_HEAD, ...levels.map(levelRow)],
      dump_queues: () => [QUEUE_HEAD, ...levels.flatMap(queueRows)],
      dump_requests: () => [
        detailed ? [...REQUEST_HEAD, ...DETAIL_HEAD] : REQUEST_HEAD,
        ...levels.flatMap((level) => requestRows(level, nowMs(), detailed)),
      ],
    };
    const name = path.slice(ROOT.length);
    const table = Object.hasOwn(tables, name) ? tables[name] : undefined;
    if (table === undefined) return undefined;
    const headers = { "X-Content-Type-Options": "nosniff" };
    return { code: 200, contentType: "text/plain; charset=utf-8", body: Buffer.from(tableText(table())), headers };
  };
}
