// The server's side of a SPDY/3.1 connection over any duplex: a TLS socket after an upgrade, or a WebSocket that tunnels
// it. Guarantees: streams are told in the order in which the client opened them; a stream that is not read holds up the
// connection and not the memory (clients of Kubernetes know no flow control windows); when the connection ends, so does
// every stream.
import type { Duplex } from "node:stream";
import { ByteQueue } from "./byte-queue.ts";
import { dataFrames, goAwayFrame, pingFrame, resetFrame, SpdyParser, synReplyFrame } from "./spdy-frames.ts";
import type { SpdyFrame } from "./spdy-frames.ts";
import { HeaderCodec } from "./spdy-headers.ts";

const STREAM_LIMIT_BYTES = 1024 * 1024;
const MAX_STREAMS = 10_000;
const REFUSED = 3;
const CANCELLED = 5;

export interface SpdyStream {
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** What the client sends, up to its end of this direction, a reset, or the end of the connection. */
  readonly input: AsyncIterable<Buffer>;
  /** Aborts when the client has reset the stream, or the connection is gone. */
  readonly gone: AbortSignal;
  /** Resolves when more can be taken. Writes after the end are dropped. */
  write(data: Buffer): Promise<void>;
  /** Closes this side's direction; what the client still sends is dropped. */
  end(): void;
  reset(): void;
}

type Send = (frames: readonly Buffer[]) => Promise<void>;

class Stream implements SpdyStream {
  readonly headers: ReadonlyMap<string, string>;
  readonly input = new ByteQueue(STREAM_LIMIT_BYTES);
  readonly #abort = new AbortController();
  readonly #send: Send;
  readonly #forget: () => void;
  readonly #id: number;
  #ended = false;
  #clientEnded = false;

  constructor(id: number, headers: ReadonlyMap<string, string>, send: Send, forget: () => void) {
    this.#id = id;
    this.headers = headers;
    this.#send = send;
    this.#forget = forget;
  }

  get gone(): AbortSignal {
    return this.#abort.signal;
  }

  async write(data: Buffer): Promise<void> {
    if (!this.#ended) await this.#send(dataFrames(this.#id, data, false));
  }

  end(): void {
    this.input.close();
    if (this.#ended) return;
    this.#ended = true;
    void this.#send(dataFrames(this.#id, Buffer.alloc(0), true));
    if (this.#clientEnded) this.#forget();
  }

  reset(): void {
    this.input.close();
    if (this.#ended) return;
    this.#ended = true;
    void this.#send([resetFrame(this.#id, CANCELLED)]);
    this.#forget();
  }

  /** The client closes its direction. */
  clientEnd(): void {
    this.#clientEnded = true;
    this.input.end();
    if (this.#ended) this.#forget();
  }

  /** The client, or the connection, is done with it. */
  cut(): void {
    this.#ended = true;
    this.input.close();
    this.#abort.abort();
    this.#forget();
  }
}

export class SpdyConnection {
  readonly #transport: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #codec = new HeaderCodec();
  readonly #streams = new Map<number, Stream>();
  #lastStream = 0;
  #open = true;
  #drained: Promise<void> | undefined;

  constructor(transport: Duplex, onStream: (stream: SpdyStream) => void) {
    this.#transport = transport;
    this.#onStream = onStream;
  }

  /** Serves until the client goes away or `close`. Never rejects: a client that sends rubbish is cut off. */
  async run(): Promise<void> {
    const transport = this.#transport;
    const parser = new SpdyParser();
    const closed = new Promise<void>((resolve) => transport.once("close", () => resolve()));
    // It closes as well, which is what counts.
    transport.on("error", () => undefined);
    void closed.then(() => this.#cut());
    try {
      for await (const chunk of transport.iterator({ destroyOnReturn: false })) {
        for (const frame of parser.push(chunk as Buffer)) await this.#onFrame(frame);
      }
      transport.end();
    } catch {
      transport.destroy();
    }
    await closed;
  }

  /** Tells the client that no more comes, and ends the connection. */
  close(): void {
    if (!this.#open) return;
    void this.#send([goAwayFrame(this.#lastStream)]);
    this.#transport.end();
    this.#open = false;
    // The client's own end is waited for only as long as it has nothing more to say.
    this.#transport.resume();
  }

  #cut(): void {
    this.#open = false;
    for (const stream of this.#streams.values()) stream.cut();
    this.#codec.close();
  }

  async #onFrame(frame: SpdyFrame): Promise<void> {
    switch (frame.type) {
      case "synStream":
        await this.#accept(frame.stream, frame.block);
        if (frame.fin) this.#streams.get(frame.stream)?.clientEnd();
        return;
      case "headers":
        // Read all the same: the compression state goes on.
        await this.#codec.read(frame.block);
        if (frame.fin) this.#streams.get(frame.stream)?.clientEnd();
        return;
      case "data": {
        const stream = this.#streams.get(frame.stream);
        stream?.input.push(frame.data);
        if (frame.fin) stream?.clientEnd();
        else await stream?.input.room();
        return;
      }
      case "rstStream":
        this.#streams.get(frame.stream)?.cut();
        return;
      case "ping":
        // Odd ones are the client's.
        if (frame.id % 2 === 1) await this.#send([pingFrame(frame.id)]);
        return;
      case "goAway":
      case "ignored":
    }
  }

  async #accept(id: number, block: Buffer): Promise<void> {
    const headers = await this.#codec.read(block);
    if (!this.#open || this.#streams.has(id)) return;
    if (this.#streams.size >= MAX_STREAMS) {
      await this.#send([resetFrame(id, REFUSED)]);
      return;
    }
    const send: Send = (frames) => this.#send(frames);
    const stream = new Stream(id, headers, send, () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    this.#lastStream = id;
    await this.#send([synReplyFrame(id, await this.#codec.write(new Map()))]);
    this.#onStream(stream);
  }

  /** Resolves when the transport takes more, or is gone. */
  async #send(frames: readonly Buffer[]): Promise<void> {
    const transport = this.#transport;
    if (!this.#open || !transport.writable) return;
    let room = true;
    transport.cork();
    for (const frame of frames) room = transport.write(frame);
    transport.uncork();
    if (room) return;
    this.#drained ??= new Promise<void>((resolve) => {
      const settle = (): void => {
        transport.off("drain", settle).off("close", settle);
        this.#drained = undefined;
        resolve();
      };
      transport.on("drain", settle).on("close", settle);
    });
    await this.#drained;
  }
}
