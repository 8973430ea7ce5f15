// Events that are not larger than what a receiver takes: from one that is, the objects of request and answer are left out, and
// an annotation says so; one that still is too large is lost. Batches are split by their size.
// https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ (audit-…-truncate-*)
import type { Logger } from "@coxswain/component-base";
import type { SendBatch } from "./delivery.ts";

export interface TruncateOptions {
  /** Bytes of one event, and of all that go at once. */
  readonly maxEventBytes: number;
  readonly maxBatchBytes: number;
}

const TRUNCATED = "audit.k8s.io/truncated";

/** The event, or what is left of it; undefined where even that is too large. Pure. */
export function truncated(event: string, maxBytes: number): string | undefined {
  if (Buffer.byteLength(event) <= maxBytes) return event;
  const { requestObject: _request, responseObject: _response, ...kept } = JSON.parse(event) as Record<string, unknown>;
  if (kept["level"] !== "Request" && kept["level"] !== "RequestResponse") return undefined;
  const annotations = { ...(kept["annotations"] as object | undefined), [TRUNCATED]: "true" };
  const shorter = JSON.stringify({ ...kept, annotations });
  return Buffer.byteLength(shorter) <= maxBytes ? shorter : undefined;
}

/** The events in lists that are not too large; each event alone may be. Pure. */
export function splitBySize(events: readonly string[], maxBytes: number): string[][] {
  const lists: string[][] = [];
  let bytes = 0;
  for (const event of events) {
    const size = Buffer.byteLength(event);
    const last = lists.at(-1);
    if (last === undefined || bytes + size > maxBytes) {
      lists.push([event]);
      bytes = size;
    } else {
      last.push(event);
      bytes += size;
    }
  }
  return lists;
}

export function truncating(send: SendBatch, options: TruncateOptions, logger: Logger): SendBatch {
  return async (events) => {
    const kept = events.map((event) => truncated(event, options.maxEventBytes)).filter((event) => event !== undefined);
    if (kept.length < events.length) {
      const dropped = events.length - kept.length;
      logger.error({ dropped }, "audit events were lost: event is too large even after truncating");
    }
    for (const list of splitBySize(kept, options.maxBatchBytes)) await send(list);
  };
}
