// How values and places lie in etcd.
// - A value is a header of 4 bytes (format 1, place as 16 bits, 0) and the user's bytes.
// - A commit record lies under one internal key and names the place of each delete of its revision: a delete carries
//   no value that could. A commit whose only mutation is one delete, at place 0, needs none.
// - Internal keys start with a NUL byte after the prefix; users' keys never do.
import { makeResourceVersion } from "@coxswain/apimachinery";
import type { StorageEvent, StoredValue } from "../contract.ts";

const FORMAT = 1;
export const HEADER_BYTES = 4;

export interface RawEvent {
  readonly type: "Put" | "Delete";
  readonly key: Buffer;
  /** Shares memory with the message that told it. */
  readonly value: Buffer;
  readonly revision: bigint;
}

export interface Keyspace {
  encode(key: string): Buffer;
  /** The same as text. */
  full(key: string): string;
  /** The user's key; undefined for internal and foreign ones. */
  decode(key: Buffer): string | undefined;
  readonly commitRecord: Buffer;
  /** Whose holder leads. */
  election(name: string): Buffer;
}

export function createKeyspace(prefix: string): Keyspace {
  const start = Buffer.from(prefix);
  return {
    encode: (key) => Buffer.from(prefix + key),
    full: (key) => prefix + key,
    decode: (key) => {
      if (key.length <= start.length || key[start.length] === 0) return undefined;
      if (key.compare(start, 0, start.length, 0, start.length) !== 0) return undefined;
      return key.toString("utf8", start.length);
    },
    commitRecord: Buffer.from(`${prefix}\0commit`),
    election: (name) => Buffer.from(`${prefix}\0election/${name}`),
  };
}

/** What goes in front of a value. */
export function writeHeader(place: number, byte: (value: number) => void): void {
  byte(FORMAT);
  byte(place >> 8);
  byte(place & 0xff);
  byte(0);
}

/** Undefined where the bytes were not written by this store. */
export function decodeStored(key: string, value: Buffer, revision: bigint): StoredValue | undefined {
  if (value.length < HEADER_BYTES || value[0] !== FORMAT || value[3] !== 0) return undefined;
  const place = value.readUInt16BE(1);
  if (place >= 1023) return undefined;
  return { key, value: value.subarray(HEADER_BYTES), rv: makeResourceVersion(revision, place) };
}

export function encodeRecord(deletes: readonly { readonly key: string; readonly place: number }[]): Buffer {
  return Buffer.from(JSON.stringify(Object.fromEntries(deletes.map(({ key, place }) => [key, place]))));
}

/** The users' events of one revision, by place. `onForeign` hears of values that another program wrote. */
export function decodeRevision(
  keyspace: Keyspace,
  events: readonly RawEvent[],
  onForeign: (key: string) => void,
): StorageEvent[] {
  const record = events.find(({ key, type }) => type === "Put" && key.equals(keyspace.commitRecord));
  const places = record === undefined ? {} : (JSON.parse(record.value.toString()) as Record<string, number>);
  let unplaced = 0;
  const decoded: StorageEvent[] = [];
  for (const event of events) {
    const key = keyspace.decode(event.key);
    if (key === undefined) continue;
    if (event.type === "Delete") {
      // Deletes that no record names are one alone, or another program's: those are numbered as they come.
      const place = Object.hasOwn(places, key) ? places[key]! : Math.min(unplaced++, 1022);
      decoded.push({ type: "delete", key, value: undefined, rv: makeResourceVersion(event.revision, place) });
      continue;
    }
    const stored = decodeStored(key, event.value, event.revision);
    if (stored === undefined) onForeign(key);
    else decoded.push({ type: "put", key, value: stored.value, rv: stored.rv });
  }
  return decoded.toSorted((a, b) => (a.rv < b.rv ? -1 : a.rv > b.rv ? 1 : 0));
}
