// Log lines as a reader asked for them: the last n, since a time, with timestamps, up to so many bytes; then, where asked,
// what follows. Pure over the runtime's lines.
import { parseTime } from "@coxswain/apimachinery";

export interface LogLine {
  readonly timeMs: number;
  /** The nanoseconds of the moment's millisecond. */
  readonly nanos?: number;
  readonly line: Buffer;
  /** The container wrote no line break after it. */
  readonly partial?: boolean;
}

export interface LogSelection {
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** Undefined: all. */
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  readonly sinceSeconds: number | undefined;
  /** RFC 3339; "" for none. */
  readonly sinceTime: string;
}

function sinceMs(selection: LogSelection, nowMs: number): number {
  if (selection.sinceSeconds !== undefined) return nowMs - selection.sinceSeconds * 1000;
  return parseTime(selection.sinceTime) ?? Number.NEGATIVE_INFINITY;
}

/** RFC 3339 with nanoseconds. */
function stamp({ timeMs, nanos = 0 }: LogLine): string {
  return new Date(timeMs).toISOString().replace("Z", `${String(nanos).padStart(6, "0")}Z `);
}

/** `read` gives the lines from the first one on; without following it ends after the present ones. */
export async function* selectLogLines(
  read: (follow: boolean) => AsyncIterable<LogLine>,
  selection: LogSelection,
  nowMs: number,
): AsyncIterable<Buffer> {
  const since = sinceMs(selection, nowMs);
  let skip = 0;
  let wanted = Number.POSITIVE_INFINITY;
  if (selection.tailLines !== undefined) {
    let present = 0;
    for await (const { timeMs } of read(false)) if (timeMs >= since) present++;
    skip = Math.max(0, present - selection.tailLines);
    // What is written between counting and reading is not among the last lines that were counted.
    if (!selection.follow) wanted = present - skip;
    if (wanted === 0) return;
  }
  let left = selection.limitBytes ?? Number.POSITIVE_INFINITY;
  let midLine = false;
  for await (const one of read(selection.follow)) {
    if (one.timeMs < since || skip-- > 0) continue;
    const head = selection.timestamps && !midLine ? stamp(one) : "";
    midLine = one.partial === true;
    const text = Buffer.concat([Buffer.from(head), one.line, Buffer.from(midLine ? "" : "\n")]);
    yield text.length > left ? text.subarray(0, left) : text;
    left -= text.length;
    if (left <= 0 || --wanted <= 0) return;
  }
}
