// managedFields in stored bytes. Sets of fields make up half of many objects, are odd to parse, and are the same in
// thousands of objects that differ otherwise. So they stand at a fixed place, are not parsed with their object, and equal
// texts are one shared set. Guarantee: what comes out equals what JSON.parse would give.
import type { KubeObject, ManagedFieldsEntry } from "@coxswain/apimachinery";
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
  const text = json.toString();
  const from = managedAt(text);
  const to = from < 0 ? -1 : text.indexOf(CLOSE, from);
  if (to < 0) return JSON.parse(text) as KubeObject;
  const object = JSON.parse(text.slice(0, from) + text.slice(to + 2)) as KubeObject;
  const managedFields = parseEntries(text.slice(from + OPEN.length, to));
  if (managedFields === undefined) return JSON.parse(text) as KubeObject;
  object.metadata!.managedFields = managedFields;
  return object;
}

/** Where the member begins; negative where it is not at its place. */
function managedAt(text: string): number {
  let at = text.indexOf(METADATA) + METADATA.length;
  if (at < METADATA.length) return -1;
  if (text.startsWith(VERSION, at)) at = text.indexOf('",', at + VERSION.length) + 2;
  return text.startsWith(OPEN, at) ? at : -1;
}

function parseEntries(text: string): ManagedFieldsEntry[] | undefined {
  const entries: ManagedFieldsEntry[] = [];
  for (let at = 0; at < text.length;) {
    const next = text.indexOf(NEXT, at);
    const end = next < 0 ? text.length : next + 1;
    const fields = text.indexOf(FIELDS, at);
    if (fields < 0 || fields > end) return undefined;
    const entry = JSON.parse(`${text.slice(at, fields)}}`) as ManagedFieldsEntry;
    entry.fieldsV1 = sharedSet(text.slice(fields + FIELDS.length, end - 1));
    entries.push(entry);
    at = end + 1;
  }
  return entries;
}
