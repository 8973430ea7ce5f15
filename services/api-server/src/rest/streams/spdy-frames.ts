// SPDY/3.1 frames as bytes and as values. Pure. Guarantee: a parser gives the frames of a byte stream however it is cut.
// https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/

const VERSION = 3;
const HEADER_BYTES = 8;
const STREAM_ID = 0x7fffffff;
const FIN = 1;
/** What one data frame may carry, so that streams take turns. */
const MAX_DATA_BYTES = 32 * 1024;

const TYPE = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7, headers: 8 } as const;

export type SpdyFrame =
  | { readonly type: "data"; readonly stream: number; readonly fin: boolean; readonly data: Buffer }
  | { readonly type: "synStream"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "headers"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "rstStream"; readonly stream: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goAway" }
  /** Settings, windows and what else changes nothing here. */
  | { readonly type: "ignored" };

/** Throws RangeError for a frame that cannot be: the connection is beyond repair. */
function decode(head: Buffer, payload: Buffer): SpdyFrame {
  const fin = ((head[4] ?? 0) & FIN) !== 0;
  const word = head.readUInt32BE(0);
  if (word <= STREAM_ID) return { type: "data", stream: word, fin, data: payload };
  const version = (word >>> 16) & 0x7fff;
  if (version !== VERSION) throw new RangeError(`SPDY version ${version} is not supported`);
  const idAt = (offset: number): number => payload.readUInt32BE(offset) & STREAM_ID;
  switch (word & 0xffff) {
    case TYPE.synStream:
      return { type: "synStream", stream: idAt(0), fin, block: payload.subarray(10) };
    case TYPE.headers:
    case TYPE.synReply:
      return { type: "headers", stream: idAt(0), fin, block: payload.subarray(4) };
    case TYPE.rstStream:
      return { type: "rstStream", stream: idAt(0) };
    case TYPE.ping:
      return { type: "ping", id: payload.readUInt32BE(0) };
    case TYPE.goAway:
      return { type: "goAway" };
    default:
      return { type: "ignored" };
  }
}

/** Cuts a byte stream into frames. */
export class SpdyParser {
  #chunks: Buffer[] = [];
  #size = 0;
  #needed = HEADER_BYTES;

  /** The frames that are complete with `chunk`. Throws RangeError where the bytes are no SPDY/3. */
  push(chunk: Buffer): SpdyFrame[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#needed) return [];
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const frames: SpdyFrame[] = [];
    for (;;) {
      this.#needed = bytes.length < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + bytes.readUIntBE(5, 3);
      if (bytes.length < this.#needed) break;
      frames.push(decode(bytes.subarray(0, HEADER_BYTES), bytes.subarray(HEADER_BYTES, this.#needed)));
      bytes = bytes.subarray(this.#needed);
    }
    this.#chunks = bytes.length === 0 ? [] : [bytes];
    this.#size = bytes.length;
    return frames;
  }
}

function control(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function words(...values: number[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) out.writeUInt32BE(value, index * 4);
  return out;
}

/** `data` in frames of limited size, at least one; with `fin` the last one closes this side of the stream. */
export function dataFrames(stream: number, data: Buffer, fin: boolean): Buffer[] {
  const frames: Buffer[] = [];
  const last = Math.max(0, Math.ceil(data.length / MAX_DATA_BYTES) - 1);
  for (let index = 0; index <= last; index++) {
    const part = data.subarray(index * MAX_DATA_BYTES, (index + 1) * MAX_DATA_BYTES);
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt32BE(stream, 0);
    head.writeUInt8(fin && index === last ? FIN : 0, 4);
    head.writeUIntBE(part.length, 5, 3);
    frames.push(head, part);
  }
  return frames;
}

export function synReplyFrame(stream: number, block: Buffer): Buffer {
  return control(TYPE.synReply, 0, Buffer.concat([words(stream), block]));
}

/** `status`: 1 protocol error, 3 refused, 5 cancelled. */
export function resetFrame(stream: number, status: number): Buffer {
  return control(TYPE.rstStream, 0, words(stream, status));
}

export function pingFrame(id: number): Buffer {
  return control(TYPE.ping, 0, words(id));
}

export function goAwayFrame(lastStream: number): Buffer {
  return control(TYPE.goAway, 0, words(lastStream, 0));
}
