// The compressed header blocks of a SPDY/3.1 connection. Guarantee: one compression state a direction for the whole
// connection, so blocks are read and written strictly in the order of their frames.
import { constants, createDeflate, createInflate } from "node:zlib";
import type { Deflate, Inflate } from "node:zlib";
import { SPDY_DICTIONARY } from "./spdy-dictionary.ts";

const MAX_BLOCK_BYTES = 256 * 1024;

/** Names in lower case. Throws RangeError where the block contradicts itself. */
function parseBlock(block: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  let at = 4;
  const text = (): string => {
    const end = at + 4 + block.readUInt32BE(at);
    if (end > block.length) throw new RangeError("a header is longer than its block");
    const value = block.toString("utf8", at + 4, end);
    at = end;
    return value;
  };
  for (let left = block.readUInt32BE(0); left > 0; left--) {
    const name = text();
    headers.set(name.toLowerCase(), text());
  }
  return headers;
}

function encodeBlock(headers: ReadonlyMap<string, string>): Buffer {
  const number = (value: number): Buffer => {
    const out = Buffer.alloc(4);
    out.writeUInt32BE(value);
    return out;
  };
  const text = (value: string): Buffer[] => [number(Buffer.byteLength(value)), Buffer.from(value)];
  const pairs = [...headers].flatMap(([name, value]) => [...text(name), ...text(value)]);
  return Buffer.concat([number(headers.size), ...pairs]);
}

/** Sends `bytes` through; resolves with all that came out. Rejects where the stream is broken, or gives too much. */
function through(stream: Deflate | Inflate, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    let size = 0;
    const settle = (error?: Error): void => {
      stream.off("data", take).off("error", settle);
      if (error === undefined) resolve(Buffer.concat(out));
      else reject(error);
    };
    const take = (chunk: Buffer): void => {
      out.push(chunk);
      size += chunk.length;
      if (size > MAX_BLOCK_BYTES) stream.destroy(new RangeError(`headers of more than ${MAX_BLOCK_BYTES} bytes`));
    };
    stream.on("data", take).once("error", settle);
    stream.write(bytes);
    stream.flush(constants.Z_SYNC_FLUSH, () => settle());
  });
}

export class HeaderCodec {
  readonly #inflate = createInflate({ dictionary: SPDY_DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
  readonly #deflate = createDeflate({ dictionary: SPDY_DICTIONARY });

  /** Not before the previous call has settled. Rejects with RangeError or zlib's error: the connection is beyond repair. */
  async read(block: Buffer): Promise<ReadonlyMap<string, string>> {
    return parseBlock(await through(this.#inflate, block));
  }

  /** Not before the previous call has settled. */
  write(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    return through(this.#deflate, encodeBlock(headers));
  }

  close(): void {
    this.#inflate.close();
    this.#deflate.close();
  }
}
