// The seats that requests of the REST front take of flow control.
import type { ServerResponse } from "node:http";
import type { UserInfo } from "@coxswain/component-base";
import type { Seat } from "../flow-control/flow-control.ts";
import { requestWidth } from "../flow-control/request-width.ts";
import type { RestDeps } from "./deps.ts";
import { readOptions, type RequestInfo } from "./request-info.ts";

/** Throws, or rejects with, TooBusyError where there is none to be had. */
export function seatFor(deps: RestDeps, info: RequestInfo, user: UserInfo, signal: AbortSignal): Seat | Promise<Seat> {
  const flow = deps.flow!;
  if (info.type === "path") {
    const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
    return flow.admit({ user, verb: info.verb, path: info.path, ...nothing }, () => 1, signal);
  }
  const { verb, group, version, resource, subresource, namespace, name, query } = info;
  const stored = (): number => deps.countOf?.(group, resource) ?? 0;
  const width = (max: number): number => requestWidth({ verb, name, options: readOptions(query) }, stored, max);
  return flow.admit({ user, verb, group, version, resource, subresource, namespace, name }, width, signal);
}

/** By these a client finds out which objects decided. */
export function tellSeat(response: ServerResponse, seat: Seat): void {
  response.setHeader("X-Kubernetes-PF-FlowSchema-UID", seat.schemaUid);
  response.setHeader("X-Kubernetes-PF-PriorityLevel-UID", seat.levelUid);
}
