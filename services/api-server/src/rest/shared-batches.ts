// The events of a tick as one chunk of HTTP, made once for all readers that hear the same events. Guarantee: two readers get
// the same bytes only for the very same events in the same order.
import type { PipelineWatchEvent } from "../pipeline/contract.ts";

/** Different sequences of events that a tick may have for as many selections. */
const REMEMBERED = 8;
/** What is larger is rare, and too much to hold on to. */
const MAX_REMEMBERED_BYTES = 1024 * 1024;
const CRLF = Buffer.from("\r\n");
const EMPTY = Buffer.alloc(0);

interface Batch {
  readonly events: readonly PipelineWatchEvent[];
  readonly chunk: Buffer;
}

export class SharedBatches {
  readonly #recent: Batch[] = [];
  #oldest = 0;

  /** The chunk of `events`; empty where `encode` has nothing for any of them, as an empty chunk would end the stream. */
  chunk(
    events: readonly PipelineWatchEvent[],
    encode: (events: readonly PipelineWatchEvent[]) => readonly Buffer[],
  ): Buffer {
    for (const batch of this.#recent) if (isSame(batch.events, events)) return batch.chunk;
    const chunk = chunkOf(encode(events));
    if (chunk.length <= MAX_REMEMBERED_BYTES) {
      this.#recent[this.#oldest] = { events, chunk };
      this.#oldest = (this.#oldest + 1) % REMEMBERED;
    }
    return chunk;
  }
}

function isSame(a: readonly PipelineWatchEvent[], b: readonly PipelineWatchEvent[]): boolean {
  return a.length === b.length && a.every((event, at) => event === b[at]);
}

/** RFC 9112, 7.1. */
function chunkOf(parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return length === 0 ? EMPTY : Buffer.concat([Buffer.from(`${length.toString(16)}\r\n`), ...parts, CRLF]);
}
