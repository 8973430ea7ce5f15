// Stored JSON as the cache keeps it for long: without the sets of fields of its managedFields, which are the same in thousands
// of objects and make up a fifth of many. Guarantee: unpacking gives the bytes that were packed.
//
// A record: its length, the number of cuts, then of each cut where it is in what follows and what was cut
// out there; then the bytes that are left. Numbers are little-endian, 32 bits.
import { managedPlace } from "./managed-form.ts";

const WORD = 4;
const HEAD_BYTES = 2 * WORD;
const CUT_BYTES = 2 * WORD;

/** Texts that are kept once; shorter ones are not worth it, and what comes when all room is taken stays where it is. */
const MAX_TEXTS = 4_096;
const MIN_TEXT_BYTES = 32;
const MAX_TEXT_BYTES = 8_192;

const numbers = new Map<string, number>();
const texts: Buffer[] = [];

// Neither can lie within a JSON string: its quote would end the string, and no letter may follow.
const FIELDS = ',"fieldsV1":';
const NEXT = '},{"manager":';

interface Cut {
  readonly from: number;
  readonly to: number;
  readonly text: number;
}

function numberOf(text: string): number | undefined {
  const known = numbers.get(text);
  if (known !== undefined) return known;
  if (texts.length === MAX_TEXTS) return undefined;
  const bytes = Buffer.from(text, "latin1");
  // A part of a string keeps all of it in memory: this one is a string of its own.
  numbers.set(bytes.toString("latin1"), texts.length);
  return texts.push(bytes) - 1;
}

function cutsOf(json: Buffer): Cut[] {
  const place = managedPlace(json);
  if (place === undefined) return [];
  // One character a byte, so that places in the text are places in the bytes.
  const managed = json.toString("latin1", place.from, place.to);
  const cuts: Cut[] = [];
  for (let at = managed.indexOf(FIELDS); at >= 0; at = managed.indexOf(FIELDS, at)) {
    const from = at + FIELDS.length;
    const next = managed.indexOf(NEXT, from);
    // Each entry ends with a brace of its own.
    const to = next < 0 ? managed.length - 1 : next;
    at = to;
    if (to - from < MIN_TEXT_BYTES || to - from > MAX_TEXT_BYTES) continue;
    const text = numberOf(managed.slice(from, to));
    if (text !== undefined) cuts.push({ from: place.from + from, to: place.from + to, text });
  }
  return cuts;
}

/** The record of `json`, in `target` from `at` on where it has room; its length, or undefined where it has none. */
export function pack(json: Buffer, target: Buffer, at: number): number | undefined {
  const cuts = cutsOf(json);
  const left = cuts.reduce((bytes, { from, to }) => bytes - (to - from), json.length);
  const length = HEAD_BYTES + cuts.length * CUT_BYTES + left;
  if (at + length > target.length) return undefined;
  target.writeUInt32LE(length, at);
  target.writeUInt32LE(cuts.length, at + WORD);
  let entry = at + HEAD_BYTES;
  const start = entry + cuts.length * CUT_BYTES;
  let out = start;
  let copied = 0;
  for (const { from, to, text } of cuts) {
    json.copy(target, out, copied, from);
    out += from - copied;
    copied = to;
    target.writeUInt32LE(out - start, entry);
    target.writeUInt32LE(text, entry + WORD);
    entry += CUT_BYTES;
  }
  json.copy(target, out, copied);
  return length;
}

/** Bytes of the record at `at`. */
export function recordLength(source: Buffer, at: number): number {
  return source.readUInt32LE(at);
}

/**
 * Writes the JSON that was packed at `at` of `source` to `target` from `out` on, without its first `skip` bytes, of which none
 * was cut out.
 */
export function unpack(source: Buffer, at: number, target: Buffer, out: number, skip = 0): void {
  const cuts = source.readUInt32LE(at + WORD);
  const start = at + HEAD_BYTES + cuts * CUT_BYTES;
  let copied = start + skip;
  let to = out;
  for (let entry = at + HEAD_BYTES; entry < start; entry += CUT_BYTES) {
    const cut = start + source.readUInt32LE(entry);
    to += source.copy(target, to, copied, cut);
    to += texts[source.readUInt32LE(entry + WORD)]!.copy(target, to);
    copied = cut;
  }
  source.copy(target, to, copied, at + recordLength(source, at));
}
