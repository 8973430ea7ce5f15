// Chunks of bytes that have arrived and wait to be read, as an async iterable. Guarantees: order, and each chunk as it came;
// `room` resolves when little is
// waiting, or nobody reads any longer; after `close` what still waits is dropped and the reader is at the end.

export class ByteQueue {
  readonly #limitBytes: number;
  #chunks: Buffer[] = [];
  #size = 0;
  #ended = false;
  #closed = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  push(chunk: Buffer): void {
    if (this.#ended || chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#wakeReader?.();
  }

  get full(): boolean {
    return this.#size >= this.#limitBytes && !this.#closed;
  }

  async room(): Promise<void> {
    while (this.full) await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
  }

  /** Nothing more comes; what waits is still read. */
  end(): void {
    this.#ended = true;
    this.#wakeReader?.();
  }

  close(): void {
    this.#closed = true;
    this.#take();
    this.end();
  }

  #take(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#size = 0;
    const waiting = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const wake of waiting) wake();
    return chunks;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Buffer> {
    for (;;) {
      if (this.#chunks.length > 0) yield* this.#take();
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }
}
