// How values and places lie in etcd.
// - A value is a header of 4 bytes (format 1, place as 16 bits, 0) and the user's bytes.
// - A commit record lies under one internal key and names the place of each delete of its revision: a delete carries
//   no value that could. A commit whose only mutation is one delete, at place 0, needs none.
// - Internal keys start with a NUL byte after the prefix; users' keys never do.
import { makeResourceVersion } from "@coxswain/apimachinery";
import type { StorageEvent, StoredValue } from "../contract.ts";
import type { KeyValue, WatchResponse } from "./rpc.ts";

const FORMAT = 1;
const HEADER_BYTES = 4;

export interface Keyspace {
  encode(key: string): Buffer;
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
    decode: (key) => {
      if (key.length <= start.length || key[start.length] === 0) return undefined;
      if (key.compare(start, 0, start.length, 0, start.length) !== 0) return undefined;
      return key.toString("utf8", start.length);
    },
    commitRecord: Buffer.from(`${prefix}\0commit`),
    election: (name) => Buffer.from(`${prefix}\0election/${name}`),
  };
}

export function encodeValue(place: number, value: Buffer): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES + value.length);
  out[0] = FORMAT;
  out.writeUInt16BE(place, 1);
  out[3] = 0;
  value.copy(out, HEADER_BYTES);
  return out;
}

/** Undefined where the bytes were not written by this store. */
export function decodeStored(key: string, kv: KeyValue): StoredValue | undefined {
  if (kv.value.length < HEADER_BYTES || kv.value[0] !== FORMAT || kv.value[3] !== 0) return undefined;
  const place = kv.value.readUInt16BE(1);
  if (place >= 1023) return undefined;
  return { key, value: kv.value.subarray(HEADER_BYTES), rv: makeResourceVersion(BigInt(kv.mod_revision), place) };
}

export function encodeRecord(deletes: readonly { readonly key: string; readonly place: number }[]): Buffer {
  return Buffer.from(JSON.stringify(Object.fromEntries(deletes.map(({ key, place }) => [key, place]))));
}

/** The users' events of one revision, by place. `onForeign` hears of values that another program wrote. */
export function decodeRevision(
  keyspace: Keyspace,
  events: WatchResponse["events"],
  onForeign: (key: string) => void,
): StorageEvent[] {
  const record = events.find(({ kv, type }) => type === "Put" && kv.key.equals(keyspace.commitRecord));
  const places = record === undefined ? {} : (JSON.parse(record.kv.value.toString()) as Record<string, number>);
  let unplaced = 0;
  const decoded: StorageEvent[] = [];
  for (const { type, kv } of events) {
    const key = keyspace.decode(kv.key);
    if (key === undefined) continue;
    if (type === "Delete") {
      // Deletes that no record names are one alone, or another program's: those are numbered as they come.
      const place = Object.hasOwn(places, key) ? places[key]! : Math.min(unplaced++, 1022);
      const rv = makeResourceVersion(BigInt(kv.mod_revision), place);
      decoded.push({ type: "delete", key, value: undefined, rv });
      continue;
    }
    const stored = decodeStored(key, kv);
    if (stored === undefined) onForeign(key);
    else decoded.push({ type: "put", ...stored });
  }
  return decoded.toSorted((a, b) => (a.rv < b.rv ? -1 : a.rv > b.rv ? 1 : 0));
}
