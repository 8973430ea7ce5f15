// Results of the pipeline as bytes. Guarantees: a stored object leaves as the bytes that the cache holds, a list as those
// bytes joined, without parsing, in turns with other work where it is large; other forms (Table, PartialObjectMetadata,
// YAML, protobuf, pretty) are made on demand.
import type { KindDefinition } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import { apiVersionOf, newNotAcceptable, StatusError } from "@coxswain/apimachinery";
import type { KubeObject, ListMeta } from "@coxswain/apimachinery";
import type { ApiResult, VersionedObject } from "../pipeline/contract.ts";
import { writeYaml } from "../registry/yaml.ts";
import { CachedObject } from "../watch-cache/cached-object.ts";
import { storedHead } from "../watch-cache/stored-form.ts";
import type { Encoding, Negotiated } from "./negotiate.ts";
import { JSON_TYPE, PROTOBUF_TYPE, YAML_TYPE } from "./negotiate.ts";
import type { IncludeObject } from "./table.ts";
import { partialMetadata, partialMetadataList, tableOf, type TableOptions } from "./table.ts";

/** An object in Kubernetes protobuf with its envelope; undefined where its kind has no such form. */
export type ProtobufEncoder = (document: object) => Buffer | undefined;

export interface EncodeOptions {
  readonly pretty: boolean;
  readonly protobuf: ProtobufEncoder;
  readonly include: IncludeObject;
  readonly nowMs: number;
  /** Lets other work have its turn between the chunks of a large list. */
  readonly pause: () => Promise<void>;
}

/**
 * `parts` are written one after another; a large list is made while it is written, in memory that is used again: a part of it
 * is valid until the one after the next is asked for.
 */
export interface Encoded {
  readonly contentType: string;
  readonly parts: readonly Buffer[] | AsyncIterable<Buffer>;
  readonly length: number;
}

export const CONTENT_TYPES: Readonly<Record<Encoding, string>> = {
  json: JSON_TYPE,
  yaml: YAML_TYPE,
  protobuf: PROTOBUF_TYPE,
};

const one = (contentType: string, bytes: Buffer): Encoded => ({ contentType, parts: [bytes], length: bytes.length });

/** Any document in the encoding asked for. */
export function encodeDocument(
  document: object,
  encoding: Encoding,
  options: Pick<EncodeOptions, "pretty" | "protobuf">,
): Encoded {
  return one(CONTENT_TYPES[encoding], documentBytes(document, encoding, options));
}

/** @throws StatusError NotAcceptable where the document has no such form */
export function documentBytes(
  document: object,
  encoding: Encoding,
  options: Pick<EncodeOptions, "pretty" | "protobuf">,
): Buffer {
  if (encoding === "yaml") return Buffer.from(writeYaml(document));
  if (encoding === "protobuf") return toProtobuf(document, options.protobuf);
  return Buffer.from(options.pretty ? JSON.stringify(document, undefined, 2) : JSON.stringify(document));
}

function toProtobuf(document: object, encode: ProtobufEncoder): Buffer {
  const bytes = encode(document);
  if (bytes === undefined) throw newNotAcceptable([JSON_TYPE, YAML_TYPE]);
  return bytes;
}

function listMeta(result: Extract<ApiResult, { type: "list" }>): ListMeta {
  const metadata: ListMeta = { resourceVersion: result.resourceVersion };
  if (result.continue !== "") metadata.continue = result.continue;
  if (result.remainingItemCount !== undefined) metadata.remainingItemCount = result.remainingItemCount;
  return metadata;
}

const COMMA = Buffer.from(",");
const COMMA_BYTE = 0x2c;
const OPEN = Buffer.from("{");
const OPEN_BYTE = 0x7b;
const METADATA_HEAD = '{"metadata":{';
const LIST_END = Buffer.from("]}\n");
const EMPTY = Buffer.alloc(0);
/** What TLS sends at once: a chunk that is no multiple of it ends in a record that costs as much as a full one. */
const RECORD_BYTES = 16 * 1024;
const CHUNK_BYTES = 8 * RECORD_BYTES;

function spliceList(
  kind: KindDefinition,
  items: readonly VersionedObject[],
  metadata: ListMeta,
  pause: () => Promise<void>,
): Encoded {
  const head = { kind: kind.listKind, apiVersion: apiVersionOf(kind), metadata };
  const start = Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`);
  const cut = typeBytes(kind, items);
  let length = start.length + LIST_END.length + Math.max(0, items.length - 1);
  for (const item of items) length += jsonLength(item) - cut;
  if (length > CHUNK_BYTES) return { contentType: JSON_TYPE, parts: listChunks(start, items, cut, pause), length };
  const pieces: Buffer[] = [start];
  for (const item of items) {
    if (pieces.length > 1) pieces.push(COMMA);
    pieces.push(OPEN, item.json.subarray(1 + cut));
  }
  return one(JSON_TYPE, Buffer.concat([...pieces, LIST_END], length));
}

/** Bytes of the kind and apiVersion that each item begins with and a list leaves out, as its own imply them; 0 where they stay. */
function typeBytes(kind: KindDefinition, items: readonly VersionedObject[]): number {
  if (kind.custom !== undefined) return 0;
  const head = storedHead(kind);
  const opens = (item: VersionedObject): boolean =>
    item instanceof CachedObject ? item.kind === kind : item.json.subarray(0, head.length).equals(head);
  return items.every(opens) ? head.length - METADATA_HEAD.length : 0;
}

function jsonLength(item: VersionedObject): number {
  return item instanceof CachedObject ? item.jsonLength : item.json.length;
}

/** There must be items. New memory for every chunk would cost more than filling it. */
async function* listChunks(
  start: Buffer,
  items: readonly VersionedObject[],
  cut: number,
  pause: () => Promise<void>,
): AsyncGenerator<Buffer> {
  let [chunk, other] = [EMPTY, EMPTY];
  let before = start;
  for (let from = 0, to = 0; from < items.length; from = to) {
    [chunk, other] = [other, chunk];
    // Each item, and the comma before the next or the bracket.
    let length = before.length;
    do length += jsonLength(items[to++]!) - cut + 1;
    while (to < items.length && length < CHUNK_BYTES);
    const room = length + LIST_END.length;
    if (chunk.length < room) chunk = Buffer.allocUnsafeSlow(Math.max(room, CHUNK_BYTES + CHUNK_BYTES / 16));
    let at = before.copy(chunk);
    for (let next = from; next < to; next++) {
      const item = items[next]!;
      chunk[at++] = OPEN_BYTE;
      if (item instanceof CachedObject) item.copyJson(chunk, at, 1 + cut);
      else item.json.copy(chunk, at, 1 + cut);
      at += jsonLength(item) - 1 - cut;
      chunk[at++] = COMMA_BYTE;
    }
    const last = to === items.length;
    if (last) at += LIST_END.copy(chunk, at - 1) - 1;
    const end = last ? at : at - (at % RECORD_BYTES);
    before = chunk.subarray(end, at);
    yield chunk.subarray(0, end);
    await pause();
  }
}

function tableOptions(form: Negotiated, { nowMs, include }: EncodeOptions): TableOptions {
  return { nowMs, include, withColumns: true, version: form.version };
}

/** The type as upstream names it in messages: its internal one. */
function goType(kind: KindDefinition, name: string): string {
  if (kind.custom !== undefined) return `*unstructured.Unstructured${name === kind.listKind ? "List" : ""}`;
  const [folder = ""] = storedKindOf(kind).group.split(".");
  return `*${folder === "" ? "core" : folder}.${name}`;
}

function wrongShape(as: string, why: string): StatusError {
  return new StatusError("NotAcceptable", 406, `you requested ${as}, but the requested object ${why}`);
}

function withoutType({ kind: _kind, apiVersion: _apiVersion, ...rest }: KubeObject): KubeObject {
  return rest;
}

function encodeList(result: Extract<ApiResult, { type: "list" }>, form: Negotiated, options: EncodeOptions): Encoded {
  const { kind, items } = result;
  const metadata = listMeta(result);
  if (form.as === "Table") {
    return encodeDocument(tableOf(kind, items, metadata, tableOptions(form, options)), form.encoding, options);
  }
  if (form.as === "PartialObjectMetadataList") {
    return encodeDocument(partialMetadataList(items, metadata, form.version), form.encoding, options);
  }
  if (form.as !== undefined) throw wrongShape(form.as, `is a list (${goType(kind, kind.listKind)})`);
  if (form.encoding === "json" && !options.pretty) return spliceList(kind, items, metadata, options.pause);
  const document = {
    kind: kind.listKind,
    apiVersion: apiVersionOf(kind),
    metadata,
    items: items.map(({ object }) => (kind.custom === undefined ? withoutType(object) : object)),
  };
  return encodeDocument(document, form.encoding, options);
}

function encodeObject(
  kind: KindDefinition,
  object: VersionedObject,
  form: Negotiated,
  options: EncodeOptions,
): Encoded {
  if (form.as === "Table") {
    const metadata = { resourceVersion: String(object.rv) };
    return encodeDocument(tableOf(kind, [object], metadata, tableOptions(form, options)), form.encoding, options);
  }
  if (form.as === "PartialObjectMetadata") {
    return encodeDocument(partialMetadata(object.object.metadata, form.version), form.encoding, options);
  }
  if (form.as !== undefined) throw wrongShape(form.as, `is not a list (${goType(kind, kind.kind)})`);
  if (form.encoding === "json" && !options.pretty) return one(JSON_TYPE, object.json);
  return encodeDocument(object.object, form.encoding, options);
}

type DocumentResult = Extract<ApiResult, { type: "document" }>;

/** What is answered without being stored: a scale has the other forms too. */
function encodeAnswer({ kind, document }: DocumentResult, form: Negotiated, options: EncodeOptions): Encoded {
  if (kind === undefined || form.as === undefined) return encodeDocument(document, form.encoding, options);
  if (form.as === "Table") {
    const { resourceVersion } = document.metadata ?? {};
    const metadata = resourceVersion === undefined ? {} : { resourceVersion };
    const table = tableOf(kind, [{ object: document }], metadata, tableOptions(form, options));
    return encodeDocument(table, form.encoding, options);
  }
  if (form.as === "PartialObjectMetadata") {
    return encodeDocument(partialMetadata(document.metadata, form.version), form.encoding, options);
  }
  throw wrongShape(form.as, `is not a list (${goType(kind, kind.kind)})`);
}

/** Throws StatusError NotAcceptable where the kind has no such form. */
export function encodeResult(result: ApiResult, form: Negotiated, options: EncodeOptions): Encoded {
  if (result.type === "object") return encodeObject(result.kind, result.object, form, options);
  if (result.type === "list") return encodeList(result, form, options);
  if (result.type === "document") return encodeAnswer(result, form, options);
  return encodeDocument(result.status, form.encoding, options);
}
