// managedFields in stored bytes. Sets of fields make up half of many objects, are odd to parse, and are the same in
// thousands of objects that differ otherwise. So they stand at a fixed place, are not parsed with their object, and equal
// texts are one shared set. Guarantee: what comes out equals what JSON.parse would give.
import type { KubeObject, ManagedFieldsEntry, ObjectMeta } from "@coxswain/apimachinery";
import { EMPTY_SET, type FieldSet, sharedSet, textOfSet } from "@coxswain/apimachinery/managed-fields/index";

const METADATA = '"metadata":{';
const VERSION = '"resourceVersion":"';
const OPEN = '"managedFields":[';
// None of these can lie within a JSON string (its quote would end the string, and no letter may follow), and there are no
// lists within a set.
const CLOSE = '],"uid":"';
const NEXT = '},{"manager":';
const FIELDS = ',"fieldsV1":';

/** The members `"managedFields":[…],"uid":"…"` of the metadata of stored JSON. Freezes the sets: they are values. */
export function managedMembers(entries: readonly ManagedFieldsEntry[], uid: string): string {
  const items = entries.map(({ manager, fieldsV1, ...rest }) => {
    const head = JSON.stringify({ manager: manager ?? "", ...rest });
    return `${head.slice(0, -1)}${FIELDS}${textOfSet((fieldsV1 ?? EMPTY_SET) as FieldSet)}}`;
  });
  return `${OPEN}${items.join(",")}],"uid":${JSON.stringify(uid)}`;
}

/** The object of stored JSON, its version in place or not: one's own, but for the sets of managedFields, which are shared. */
export function parseStored(json: Buffer): KubeObject {
  const place = managedPlace(json);
  const object = parseWithout(json, place);
  if (place !== undefined) {
    const { from, to } = place;
    showLate(object.metadata!, () => parseEntries(json.toString("utf8", from + OPEN.length, to)));
  }
  return object;
}

/** The same JSON without managedFields: what components get, who never look at them and keep many objects. */
export function slimJson(json: Buffer): Buffer {
  const parts = slimParts(json);
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** The same in parts, which share its memory. */
export function slimParts(json: Buffer): readonly Buffer[] {
  const place = managedPlace(json);
  if (place === undefined) return [json];
  return [json.subarray(0, place.from), json.subarray(place.to + "],".length)];
}

/** Of the member managedFields, in bytes: where it begins, and where its list ends. */
export interface ManagedPlace {
  readonly from: number;
  readonly to: number;
}

/** The head of stored JSON is shorter, its version included. */
const HEAD_BYTES = 1024;

/** undefined where the member is not at its place, or there is none. */
export function managedPlace(json: Buffer): ManagedPlace | undefined {
  const head = json.toString("latin1", 0, HEAD_BYTES);
  let from = head.indexOf(METADATA) + METADATA.length;
  if (from < METADATA.length) return undefined;
  if (head.startsWith(VERSION, from)) from = head.indexOf('",', from + VERSION.length) + 2;
  if (!head.startsWith(OPEN, from)) return undefined;
  const to = json.indexOf(CLOSE, from, "latin1");
  return to < 0 ? undefined : { from, to };
}

function parseWithout(json: Buffer, place: ManagedPlace | undefined): KubeObject {
  const text =
    place === undefined
      ? json.toString()
      : json.toString("utf8", 0, place.from) + json.toString("utf8", place.to + "],".length);
  return JSON.parse(text) as KubeObject;
}

/** The entries as they would be read again from what managedMembers makes of them. */
function readAgain(entries: readonly ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  return entries.map(({ manager, fieldsV1, ...rest }) => ({
    manager: manager ?? "",
    ...rest,
    fieldsV1: sharedSet(textOfSet((fieldsV1 ?? EMPTY_SET) as FieldSet)),
  }));
}

/** Gives `metadata` its managedFields as parseStored does, from what was written. */
export function showWritten(metadata: ObjectMeta, entries: readonly ManagedFieldsEntry[]): void {
  showLate(metadata, () => readAgain(entries));
}

/** Most who read an object never look at who manages it. */
function showLate(metadata: ObjectMeta, read: () => ManagedFieldsEntry[]): void {
  const settle = (value: ManagedFieldsEntry[] | undefined): void => {
    Object.defineProperty(metadata, "managedFields", { value, writable: true, enumerable: true, configurable: true });
  };
  Object.defineProperty(metadata, "managedFields", {
    get(): ManagedFieldsEntry[] {
      const entries = read();
      settle(entries);
      return entries;
    },
    set: settle,
    enumerable: true,
    configurable: true,
  });
}

function parseEntries(text: string): ManagedFieldsEntry[] {
  const entries: ManagedFieldsEntry[] = [];
  for (let at = 0; at < text.length;) {
    const next = text.indexOf(NEXT, at);
    const end = next < 0 ? text.length : next + 1;
    const fields = text.indexOf(FIELDS, at);
    if (fields < 0 || fields > end) return JSON.parse(`[${text}]`) as ManagedFieldsEntry[];
    const entry = JSON.parse(`${text.slice(at, fields)}}`) as ManagedFieldsEntry;
    entry.fieldsV1 = sharedSet(text.slice(fields + FIELDS.length, end - 1));
    entries.push(entry);
    at = end + 1;
  }
  return entries;
}
