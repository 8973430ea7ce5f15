// The events of etcd's WatchResponse, of which each change of the cluster is one: read from the bytes, and no more of them than is
// wanted.
import type { MethodDefinition } from "@grpc/grpc-js";
import type { RawEvent } from "./encoding.ts";
import { readKeyValue } from "./group-message.ts";
import { WATCH, type WatchRequest } from "./rpc.ts";
import { Reader } from "./wire.ts";

export interface WatchAnswer {
  readonly created: boolean;
  readonly canceled: boolean;
  /** 0 where nothing that was asked for is compacted. */
  readonly compactRevision: bigint;
  readonly cancelReason: string;
  /** The next response goes on where this one ends, be it within a revision. */
  readonly fragment: boolean;
  readonly events: readonly RawEvent[];
}

export function decodeWatchAnswer(bytes: Buffer): WatchAnswer {
  const reader = new Reader(bytes);
  const events: RawEvent[] = [];
  let [created, canceled, fragment, compactRevision, cancelReason] = [false, false, false, 0n, ""];
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 3) created = reader.flag();
    else if (field === 4) canceled = reader.flag();
    else if (field === 5) compactRevision = reader.int64();
    else if (field === 6) cancelReason = reader.data().toString();
    else if (field === 7) fragment = reader.flag();
    else if (field === 11) events.push(readEvent(reader.message()));
    else reader.skip();
  }
  return { created, canceled, compactRevision, cancelReason, fragment, events };
}

function readEvent(reader: Reader): RawEvent {
  let deleted = false;
  let kv: ReturnType<typeof readKeyValue> | undefined;
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 1) deleted = reader.flag();
    else if (field === 2) kv = readKeyValue(reader.message());
    else reader.skip();
  }
  if (kv === undefined) throw new Error("etcd sent an event of no key");
  return { type: deleted ? "Delete" : "Put", key: kv.key, value: kv.value, revision: kv.revision };
}

export const WATCH_CHANGES: MethodDefinition<WatchRequest, WatchAnswer> = {
  ...WATCH,
  responseSerialize: () => {
    throw new Error("nobody answers this here");
  },
  responseDeserialize: decodeWatchAnswer,
};
