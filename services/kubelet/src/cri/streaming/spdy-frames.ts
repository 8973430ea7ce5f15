// SPDY/3.1 frames, as far as a client of container runtimes needs them: pure encoding and decoding. Header blocks are sent as
// stored, not compressed, deflate blocks, which every decompressor reads; those that come in carry nothing that a client needs.

export type SpdyFrame =
  | { readonly kind: "data"; readonly streamId: number; readonly data: Buffer; readonly fin: boolean }
  | { readonly kind: "reply"; readonly streamId: number; readonly fin: boolean }
  | { readonly kind: "reset"; readonly streamId: number; readonly status: number }
  | { readonly kind: "ping"; readonly id: number }
  | { readonly kind: "goaway" }
  /** Settings, windows, headers: of no meaning to this client. */
  | { readonly kind: "other" };

const VERSION = 3;
const FRAME_HEADER_BYTES = 8;
const FLAG_FIN = 1;
const TYPE = { synStream: 1, synReply: 2, resetStream: 3, ping: 6, goAway: 7 } as const;
const ZLIB_HEADER = Buffer.from([0x78, 0x01]);
/** An empty stored block: makes a decompressor hand out what it holds. */
const FLUSH = Buffer.from([0x00, 0x00, 0x00, 0xff, 0xff]);

function control(type: number, flags: number, body: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEADER_BYTES);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(body.length, 4);
  head.writeUInt8(flags, 4);
  return Buffer.concat([head, body]);
}

function uint32(...values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) out.writeUInt32BE(value, at * 4);
  return out;
}

function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  const parts = entries.flatMap(([name, value]) =>
    [name, value].flatMap((text) => [uint32(Buffer.byteLength(text)), Buffer.from(text)]),
  );
  return Buffer.concat([uint32(entries.length), ...parts]);
}

/** One deflate block that is not compressed. Throws RangeError beyond 65,535 bytes. */
function storedBlock(data: Buffer): Buffer {
  if (data.length > 0xffff) throw new RangeError(`headers of ${data.length} bytes are too long`);
  const head = Buffer.alloc(5);
  head.writeUInt16LE(data.length, 1);
  head.writeUInt16LE(~data.length & 0xffff, 3);
  return Buffer.concat([head, data]);
}

/** `first` says whether it is the connection's first header block: all of them are one zlib stream. */
export function encodeSynStream(streamId: number, headers: Readonly<Record<string, string>>, first: boolean): Buffer {
  const block = storedBlock(headerBlock(headers));
  const slot = Buffer.alloc(2);
  const body = Buffer.concat([uint32(streamId, 0), slot, ...(first ? [ZLIB_HEADER] : []), block, FLUSH]);
  return control(TYPE.synStream, 0, body);
}

export function encodeData(streamId: number, data: Buffer, fin: boolean): Buffer {
  const head = uint32(streamId, data.length);
  head.writeUInt8(fin ? FLAG_FIN : 0, 4);
  return data.length === 0 ? head : Buffer.concat([head, data]);
}

export function encodePing(id: number): Buffer {
  return control(TYPE.ping, 0, uint32(id));
}

function decode(bytes: Buffer): SpdyFrame {
  const fin = (bytes.readUInt8(4) & FLAG_FIN) !== 0;
  const body = bytes.subarray(FRAME_HEADER_BYTES);
  if ((bytes.readUInt8(0) & 0x80) === 0) return { kind: "data", streamId: bytes.readUInt32BE(0), data: body, fin };
  const type = bytes.readUInt16BE(2);
  const idAt = (at: number): number => body.readUInt32BE(at) & 0x7fffffff;
  if (type === TYPE.synReply) return { kind: "reply", streamId: idAt(0), fin };
  if (type === TYPE.resetStream) return { kind: "reset", streamId: idAt(0), status: body.readUInt32BE(4) };
  if (type === TYPE.ping) return { kind: "ping", id: body.readUInt32BE(0) };
  return { kind: type === TYPE.goAway ? "goaway" : "other" };
}

/** Bytes in, whole frames out. */
export class SpdyDecoder {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** So many bytes make the next step possible. */
  #needed = FRAME_HEADER_BYTES;

  /** Throws RangeError where a frame is shorter than its kind. */
  *push(chunk: Buffer): Iterable<SpdyFrame> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // A large frame comes in many chunks: they are put together once, when the last one is there.
    while (this.#bytes >= this.#needed) {
      const all = this.#whole();
      const length = FRAME_HEADER_BYTES + (all.readUInt32BE(4) & 0xffffff);
      this.#needed = length;
      if (all.length < length) return;
      this.#needed = FRAME_HEADER_BYTES;
      this.#chunks = [all.subarray(length)];
      this.#bytes -= length;
      yield decode(all.subarray(0, length));
    }
  }

  /** What there is, in one piece. */
  #whole(): Buffer {
    const [first = Buffer.alloc(0), ...more] = this.#chunks;
    if (more.length === 0) return first;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}
