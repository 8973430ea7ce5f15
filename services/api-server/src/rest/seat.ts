// The seats that requests of the REST front take of flow control.
import type { UserInfo } from "@coxswain/component-base";
import type { Seat } from "../flow-control/flow-control.ts";
import { requestWidth } from "../flow-control/request-width.ts";
import type { RestDeps } from "./deps.ts";
import type { Flight } from "./flight.ts";
import { readOptions, type RequestInfo } from "./request-info.ts";

/** Throws, or rejects with, TooBusyError where there is none to be had. */
export function seatFor(
  deps: RestDeps,
  info: RequestInfo,
  call: { readonly user: UserInfo; readonly signal: AbortSignal },
): Seat | Promise<Seat> {
  const flow = deps.flow!;
  const { user } = call;
  if (info.type === "path") {
    const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
    return flow.admit({ user, verb: info.verb, path: info.path, ...nothing }, () => 1, call);
  }
  const { verb, group, version, resource, subresource, namespace, name, query } = info;
  const stored = (): number => deps.countOf?.(group, resource) ?? 0;
  const width = (max: number): number => requestWidth({ verb, name, options: readOptions(query) }, stored, max);
  return flow.admit({ user, verb, group, version, resource, subresource, namespace, name }, width, call);
}

/** By these a client finds out which objects decided. */
export function tellSeat(flight: Flight, seat: Seat): void {
  flight.tell("X-Kubernetes-PF-FlowSchema-UID", seat.schemaUid);
  flight.tell("X-Kubernetes-PF-PriorityLevel-UID", seat.levelUid);
}
