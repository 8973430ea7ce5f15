// The pipeline behind gRPC under flow control: its calls take seats and wait like the same requests over REST.
import type { ApiRequest, Pipeline } from "../pipeline/contract.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import type { FlowControl, Seat } from "./flow-control.ts";
import { requestWidth } from "./request-width.ts";

/** Throws, or rejects with, TooBusyError. */
export function seatFor(flow: FlowControl, source: ObjectSource, request: ApiRequest): Seat | Promise<Seat> {
  const { user, verb, group, version, resource, subresource, namespace, name } = request;
  const attributes = { user, verb, group, version, resource, subresource, namespace, name };
  const stored = (): number => source.count?.({ group, resource }) ?? 0;
  return flow.admit(attributes, (max) => requestWidth(request, stored, max), request);
}

export function controlledPipeline(inner: Pipeline, flow: FlowControl, source: ObjectSource): Pipeline {
  return {
    async handle(request) {
      const seat = seatFor(flow, source, request);
      const held = seat instanceof Promise ? await seat : seat;
      try {
        return await inner.handle(request);
      } finally {
        held.release();
      }
    },
    async watch(request, sink) {
      const seat = seatFor(flow, source, request);
      const held = seat instanceof Promise ? await seat : seat;
      try {
        // A watch that stands costs its readers, and no seat.
        return await inner.watch(request, sink);
      } finally {
        held.release();
      }
    },
    connect: (request, options) => inner.connect(request, options),
  };
}
