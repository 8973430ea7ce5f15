// A SPDY/3.1 connection to a runtime's streaming server. Guarantees: data arrive in order, and the next only once the last is
// taken, so that a slow reader slows the sender; writing waits while the socket is full; the end of the connection ends every
// stream. No windows are kept: the streaming servers of container runtimes send and heed none.
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { CriError } from "../contract.ts";
import { encodeData, encodePing, encodeSynStream, SpdyDecoder, type SpdyFrame } from "./spdy-frames.ts";

/** The largest piece of data in one frame. */
const MAX_DATA_BYTES = 32 * 1024;

export interface SpdyStream {
  /** Resolves when more may be written. What comes after either side's end is dropped. */
  write(data: Buffer): Promise<void>;
  /** Closes the writing side. */
  end(): void;
  /** Resolves when the peer has ended the stream, or the connection is gone; rejects with what a taker of data threw. */
  readonly ended: Promise<void>;
}

export type TakeData = (data: Buffer) => Promise<void> | void;

interface OpenStream {
  readonly take: TakeData;
  readonly replied: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<void>;
  writable: boolean;
}

export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #decoder = new SpdyDecoder();
  readonly #streams = new Map<number, OpenStream>();
  #nextId = 1;
  #closed = false;
  /** What a taker of data threw. */
  #failure: { readonly error: unknown } | undefined;

  /** `head` is what came after the upgrade already. */
  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    void this.#run(head);
  }

  /** Resolves when the server has taken the stream; rejects with CriError Unavailable where it does not. */
  async open(headers: Readonly<Record<string, string>>, take: TakeData): Promise<SpdyStream> {
    if (this.#closed) throw connectionLost();
    const id = this.#nextId;
    this.#nextId += 2;
    const stream: OpenStream = {
      take,
      replied: Promise.withResolvers<void>(),
      ended: Promise.withResolvers<void>(),
      writable: true,
    };
    this.#streams.set(id, stream);
    this.#socket.write(encodeSynStream(id, headers, id === 1));
    // Servers drop data for a stream that they have not answered.
    await stream.replied.promise;
    return {
      write: (data) => this.#write(id, stream, data),
      end: () => this.#endWriting(id, stream),
      ended: stream.ended.promise,
    };
  }

  /** Ends the connection at once. */
  close(): void {
    this.#socket.destroy();
    this.#allEnded();
  }

  async #run(head: Buffer): Promise<void> {
    try {
      for (const frame of this.#decoder.push(head)) await this.#handle(frame);
      for await (const chunk of this.#socket) {
        for (const frame of this.#decoder.push(chunk as Buffer)) await this.#handle(frame);
      }
    } catch (error) {
      if (this.#failure === undefined && !isConnectionError(error)) this.#failure = { error };
    } finally {
      this.close();
    }
  }

  async #handle(frame: SpdyFrame): Promise<void> {
    if (frame.kind === "ping") {
      // Odd ones are a client's own.
      if (frame.id % 2 === 0) this.#socket.write(encodePing(frame.id));
      return;
    }
    if (frame.kind === "goaway" || frame.kind === "other") return;
    const stream = this.#streams.get(frame.streamId);
    if (stream === undefined) return;
    if (frame.kind === "reply") stream.replied.resolve();
    if (frame.kind === "data" && frame.data.length > 0) await stream.take(frame.data);
    if (frame.kind === "reset") {
      stream.writable = false;
      stream.replied.reject(new CriError("Unavailable", `the runtime refused a stream (SPDY status ${frame.status})`));
    }
    if (frame.kind === "reset" || frame.fin) stream.ended.resolve();
  }

  async #write(id: number, stream: OpenStream, data: Buffer): Promise<void> {
    for (let at = 0; at < data.length; at += MAX_DATA_BYTES) {
      if (!stream.writable || this.#closed) return;
      const piece = data.subarray(at, at + MAX_DATA_BYTES);
      if (!this.#socket.write(encodeData(id, piece, false))) await this.#drained();
    }
  }

  async #drained(): Promise<void> {
    const stop = new AbortController();
    const { signal } = stop;
    const events = ["drain", "close"].map((event) => once(this.#socket, event, { signal }));
    try {
      if (!this.#socket.destroyed) await Promise.race(events);
    } finally {
      stop.abort();
      await Promise.allSettled(events);
    }
  }

  #endWriting(id: number, stream: OpenStream): void {
    if (!stream.writable || this.#closed) return;
    stream.writable = false;
    this.#socket.write(encodeData(id, Buffer.alloc(0), true));
  }

  #allEnded(): void {
    this.#closed = true;
    for (const stream of this.#streams.values()) {
      stream.writable = false;
      stream.replied.reject(connectionLost());
      // Nobody may be waiting for this one.
      stream.replied.promise.catch(() => undefined);
      if (this.#failure === undefined) stream.ended.resolve();
      else stream.ended.reject(this.#failure.error);
      stream.ended.promise.catch(() => undefined);
    }
    this.#streams.clear();
  }
}

/** Errors of sockets carry the system call's code; a frame that cannot be read is the peer's fault, too. */
function isConnectionError(error: unknown): boolean {
  return error instanceof RangeError || (error instanceof Error && "code" in error);
}

function connectionLost(): CriError {
  return new CriError("Unavailable", "the connection to the runtime's streaming server was lost");
}
