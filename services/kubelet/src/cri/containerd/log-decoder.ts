// The log format of the Container Runtime Interface: a line is `<RFC 3339 time> <stdout|stderr> <P|F> <text>`. Pure. Guarantees:
// the pieces (P) of a line come out as one, streams do not mix, and no line grows without bound.
import type { LogLine } from "../contract.ts";

/** A longer line comes out in parts. */
const MAX_LINE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const SPACE = 0x20;

interface Pending {
  readonly first: LogLine;
  readonly pieces: Buffer[];
  bytes: number;
}

/** Milliseconds, and the nanoseconds beyond them; undefined where the text is no time. */
function parseMoment(text: string): { timeMs: number; nanos: number } | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const fraction = (match[2] ?? "").padEnd(9, "0");
  const seconds = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(seconds)) return undefined;
  return { timeMs: seconds + Number(fraction.slice(0, 3)), nanos: Number(fraction.slice(3)) };
}

/** One stored line without its line break; undefined where it is none. */
export function parseLogLine(stored: Buffer): LogLine | undefined {
  const first = stored.indexOf(SPACE);
  const second = stored.indexOf(SPACE, first + 1);
  const third = stored.indexOf(SPACE, second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  const moment = parseMoment(stored.toString("latin1", 0, first));
  const stream = stored.toString("latin1", first + 1, second);
  if (moment === undefined || (stream !== "stdout" && stream !== "stderr")) return undefined;
  // Tags are separated by colons; the first says whether the line goes on.
  const partial = stored[second + 1] === 0x50;
  const line = stored.subarray(third + 1);
  return { ...moment, stream, line, ...(partial ? { partial } : {}) };
}

/** Bytes of a log file in, lines out. */
export class LogDecoder {
  #rest: Buffer = Buffer.alloc(0);
  readonly #pending = new Map<LogLine["stream"], Pending>();

  *push(chunk: Buffer): Iterable<LogLine> {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    for (let to = data.indexOf(NEWLINE); to >= 0; to = data.indexOf(NEWLINE, from)) {
      const stored = parseLogLine(data.subarray(from, to));
      from = to + 1;
      if (stored === undefined) continue;
      const line = this.#join(stored);
      if (line !== undefined) yield line;
    }
    this.#rest = Buffer.from(data.subarray(from));
  }

  /** What is left of lines that never ended. */
  *end(): Iterable<LogLine> {
    for (const pending of this.#pending.values()) yield joined(pending, true);
    this.#pending.clear();
    this.#rest = Buffer.alloc(0);
  }

  #join(line: LogLine): LogLine | undefined {
    const pending = this.#pending.get(line.stream);
    if (pending === undefined && line.partial !== true) return line;
    const all = pending ?? { first: line, pieces: [], bytes: 0 };
    all.pieces.push(line.line);
    all.bytes += line.line.length;
    const goesOn = line.partial === true;
    if (goesOn && all.bytes < MAX_LINE_BYTES) {
      this.#pending.set(line.stream, all);
      return undefined;
    }
    this.#pending.delete(line.stream);
    return joined(all, goesOn);
  }
}

function joined({ first, pieces }: Pending, partial: boolean): LogLine {
  const { partial: _, ...rest } = first;
  return { ...rest, line: Buffer.concat(pieces), ...(partial ? { partial } : {}) };
}
