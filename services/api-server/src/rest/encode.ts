// Results of the pipeline as bytes. Guarantees: a stored object leaves as the bytes that the cache holds, a list as those
// bytes joined, without parsing; other forms (Table, PartialObjectMetadata, YAML, protobuf, pretty) are made on demand.
import type { KindDefinition } from "@coxswain/api";
import { apiVersionOf, newNotAcceptable } from "@coxswain/apimachinery";
import type { ListMeta } from "@coxswain/apimachinery";
import { stringify as toYaml } from "yaml";
import type { ApiResult, VersionedObject } from "../pipeline/contract.ts";
import type { Encoding, Negotiated } from "./negotiate.ts";
import { JSON_TYPE, PROTOBUF_TYPE, YAML_TYPE } from "./negotiate.ts";
import type { IncludeObject } from "./table.ts";
import { partialMetadata, partialMetadataList, tableOf } from "./table.ts";

/** An object in Kubernetes protobuf with its envelope; undefined where its kind has no such form. */
export type ProtobufEncoder = (document: object) => Buffer | undefined;

export interface EncodeOptions {
  readonly pretty: boolean;
  readonly protobuf: ProtobufEncoder;
  readonly include: IncludeObject;
  readonly nowMs: number;
}

/** `parts` are written one after another; several only where a list is large. */
export interface Encoded {
  readonly contentType: string;
  readonly parts: readonly Buffer[];
  readonly length: number;
}

const CONTENT_TYPES: Readonly<Record<Encoding, string>> = {
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
  const contentType = CONTENT_TYPES[encoding];
  if (encoding === "yaml") return one(contentType, Buffer.from(toYaml(document)));
  if (encoding === "protobuf") return one(contentType, toProtobuf(document, options.protobuf));
  const text = options.pretty ? `${JSON.stringify(document, undefined, 2)}\n` : JSON.stringify(document);
  return one(contentType, Buffer.from(text));
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
const LIST_END = Buffer.from("]}\n");
const CHUNK_BYTES = 256 * 1024;

function spliceList(kind: KindDefinition, items: readonly VersionedObject[], metadata: ListMeta): Encoded {
  const head = { kind: kind.listKind, apiVersion: apiVersionOf(kind), metadata };
  const start = Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`);
  const parts: Buffer[] = [];
  let chunk: Buffer[] = [start];
  let chunkBytes = start.length;
  let length = 0;
  const flush = (): void => {
    parts.push(Buffer.concat(chunk, chunkBytes));
    length += chunkBytes;
    chunk = [];
    chunkBytes = 0;
  };
  items.forEach((item, index) => {
    if (index > 0) {
      chunk.push(COMMA);
      chunkBytes += 1;
    }
    chunk.push(item.json);
    chunkBytes += item.json.length;
    if (chunkBytes >= CHUNK_BYTES) flush();
  });
  chunk.push(LIST_END);
  chunkBytes += LIST_END.length;
  flush();
  return { contentType: JSON_TYPE, parts, length };
}

function encodeList(result: Extract<ApiResult, { type: "list" }>, form: Negotiated, options: EncodeOptions): Encoded {
  const { kind, items } = result;
  const metadata = listMeta(result);
  if (form.as === "Table") {
    const table = tableOf(kind, items, metadata, { nowMs: options.nowMs, include: options.include, withColumns: true });
    return encodeDocument(table, form.encoding, options);
  }
  if (form.as === "PartialObjectMetadataList") {
    return encodeDocument(partialMetadataList(items, metadata), form.encoding, options);
  }
  if (form.as === "PartialObjectMetadata") throw newNotAcceptable([JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE]);
  if (form.encoding === "json" && !options.pretty) return spliceList(kind, items, metadata);
  const document = {
    kind: kind.listKind,
    apiVersion: apiVersionOf(kind),
    metadata,
    items: items.map((item) => item.object),
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
    const settings = { nowMs: options.nowMs, include: options.include, withColumns: true };
    return encodeDocument(tableOf(kind, [object], metadata, settings), form.encoding, options);
  }
  if (form.as === "PartialObjectMetadata") {
    return encodeDocument(partialMetadata(object.object.metadata), form.encoding, options);
  }
  if (form.as !== undefined) throw newNotAcceptable([JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE]);
  if (form.encoding === "json" && !options.pretty) return one(JSON_TYPE, object.json);
  return encodeDocument(object.object, form.encoding, options);
}

/** Throws StatusError NotAcceptable where the kind has no such form. */
export function encodeResult(result: ApiResult, form: Negotiated, options: EncodeOptions): Encoded {
  if (result.type === "object") return encodeObject(result.kind, result.object, form, options);
  if (result.type === "list") return encodeList(result, form, options);
  return encodeDocument(result.type === "status" ? result.status : result.document, form.encoding, options);
}
