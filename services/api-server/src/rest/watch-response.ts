// A watch as a chunked response. Guarantees: the events of one tick are one write, and the same bytes for all who hear the
// same in the same form; a reader that falls too far behind is dropped instead of filling memory; a failure in the middle is
// an ERROR event with a Status, then the end.
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { KindDefinition } from "@coxswain/api";
import type { Status } from "@coxswain/apimachinery";
import type { PipelineWatchEvent, VersionedObject, WatchSink } from "../pipeline/contract.ts";
import type { ProtobufEncoder } from "./encode.ts";
import type { Negotiated } from "./negotiate.ts";
import { JSON_TYPE, PROTOBUF_TYPE } from "./negotiate.ts";
import { SharedBatches } from "./shared-batches.ts";
import type { IncludeObject } from "./table.ts";
import { partialMetadata, tableOf } from "./table.ts";

const MAX_BUFFERED_BYTES = 32 * 1024 * 1024;
const END = Buffer.from("}\n");
const PREFIX = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
  BOOKMARK: Buffer.from('{"type":"BOOKMARK","object":'),
  ERROR: Buffer.from('{"type":"ERROR","object":'),
} as const;

export interface WatchResponseOptions {
  readonly form: Negotiated;
  readonly kind: KindDefinition;
  readonly include: IncludeObject;
  readonly now: () => number;
  readonly protobuf: ProtobufEncoder;
}

type FrameWriter = (type: keyof typeof PREFIX, object: VersionedObject | Status, out: Buffer[]) => void;

const isStatus = (object: VersionedObject | Status): object is Status => "kind" in object && "code" in object;

function jsonFrames(options: WatchResponseOptions): FrameWriter {
  let first = true;
  const transform = (type: keyof typeof PREFIX, object: VersionedObject): Buffer => {
    if (options.form.as === undefined) return object.json;
    const { version } = options.form;
    if (options.form.as !== "Table") {
      return Buffer.from(JSON.stringify(partialMetadata(object.object.metadata, version)));
    }
    const settings = { nowMs: options.now(), include: options.include, withColumns: first, version };
    first = false;
    return Buffer.from(
      JSON.stringify(tableOf(options.kind, [object], { resourceVersion: String(object.rv) }, settings)),
    );
  };
  return (type, object, out) => {
    const bytes = isStatus(object) ? Buffer.from(JSON.stringify(object)) : transform(type, object);
    out.push(PREFIX[type], bytes, END);
  };
}

/** Each event by itself: as JSON text with a line's end, or as the bytes of a protobuf message. */
export function eventMessages(
  options: WatchResponseOptions,
): (type: keyof typeof PREFIX, object: VersionedObject | Status) => string | Buffer {
  if (options.form.encoding === "protobuf") return protobufEvents(options);
  const frame = jsonFrames(options);
  return (type, object) => {
    const out: Buffer[] = [];
    frame(type, object, out);
    return Buffer.concat(out).toString();
  };
}

/** A meta/v1 WatchEvent whose object is itself in protobuf. Negotiation sees to it that there is such a form. */
const protobufEvents =
  ({ form, kind, protobuf }: WatchResponseOptions) =>
  (type: keyof typeof PREFIX, object: VersionedObject | Status): Buffer => {
    const formed = (each: VersionedObject): object =>
      form.as === undefined ? each.object : partialMetadata(each.object.metadata, form.version);
    const bytes = protobuf(isStatus(object) ? object : formed(object));
    if (bytes === undefined) throw new Error(`${kind.kind} has no protobuf form`);
    return Buffer.concat([field(1, Buffer.from(type)), field(2, field(1, bytes))]);
  };

/** Each frame: four bytes of length, big endian, then the event. */
function protobufFrames(options: WatchResponseOptions): FrameWriter {
  const eventOf = protobufEvents(options);
  return (type, object, out) => {
    const event = eventOf(type, object);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(event.length);
    out.push(length, event);
  };
}

/** A length-delimited protobuf field. */
function field(id: number, bytes: Buffer): Buffer {
  const head = [(id << 3) | 2];
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.concat([Buffer.from(head), bytes]);
}

const sharedJson = new SharedBatches();
const sharedProtobuf = new WeakMap<ProtobufEncoder, SharedBatches>();

/** What is the same for all who watch in this form; undefined where each reader's stream is its own. */
function sharedBatches({ form, protobuf }: WatchResponseOptions): SharedBatches | undefined {
  if (form.as !== undefined) return undefined;
  if (form.encoding === "json") return sharedJson;
  const known = sharedProtobuf.get(protobuf) ?? new SharedBatches();
  sharedProtobuf.set(protobuf, known);
  return known;
}

/** As a response writes: with an end that follows at once, it is one write, which closing the connection does not cut in two. */
function writeInTurn(socket: Socket, chunk: Buffer): void {
  socket.cork();
  socket.write(chunk);
  queueMicrotask(() => socket.uncork());
}

/** Opens the response and returns the sink to stream into. `onEnd` is called once, when nothing more will be written. */
export function createWatchSink(
  response: ServerResponse,
  options: WatchResponseOptions,
  onEnd: () => void,
): WatchSink & { open(): void } {
  const protobuf = options.form.encoding === "protobuf";
  const frame = protobuf ? protobufFrames(options) : jsonFrames(options);
  const shared = sharedBatches(options);
  let ended = false;
  const open = (): void => {
    if (response.headersSent || response.destroyed) return;
    response.writeHead(200, { "Content-Type": protobuf ? `${PROTOBUF_TYPE};stream=watch` : JSON_TYPE });
    response.flushHeaders();
  };
  const frames = (events: readonly PipelineWatchEvent[]): Buffer[] => {
    const out: Buffer[] = [];
    for (const event of events) frame(event.type, event.object, out);
    return out;
  };
  return {
    open,
    send(events: readonly PipelineWatchEvent[]) {
      if (ended || response.destroyed) return false;
      open();
      const { socket } = response;
      if (shared !== undefined && response.chunkedEncoding && socket?.writable === true) {
        // The response would put the same chunk together again for each reader.
        const chunk = shared.chunk(events, frames);
        if (chunk.length > 0) writeInTurn(socket, chunk);
      } else response.write(Buffer.concat(frames(events)));
      return response.writableLength <= MAX_BUFFERED_BYTES;
    },
    end(error) {
      if (ended) return;
      ended = true;
      if (!response.destroyed) {
        open();
        const out: Buffer[] = [];
        if (error !== undefined) frame("ERROR", error, out);
        response.end(Buffer.concat(out));
      }
      onEnd();
    },
  };
}
