// Kubernetes' protobuf (application/vnd.kubernetes.protobuf): four magic bytes and an envelope that names the kind.
// kubectl's typed clients send it; answers may be JSON.
import { apiVersionOf, type KubeObject } from "@coxswain/apimachinery";
import { model, type ModelType } from "../schema/model.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import { encodePartialMetadata } from "./partial-metadata.ts";
import { malformed, WireReader } from "./reader.ts";
import { WireWriter } from "./writer.ts";

const MAGIC = Buffer.from("k8s\0", "latin1");

let byKind: Map<string, ModelType> | undefined;

/** The schema name of a kind; undefined where it is not known. Options kinds are found under every apiVersion. */
export function schemaNameOf(apiVersion: string, kind: string): string | undefined {
  if (byKind === undefined) {
    byKind = new Map();
    for (const type of model().values()) {
      if (type.gvk === undefined) continue;
      const [group, version, name] = type.gvk;
      const options = type.name.includes(".meta.v1.");
      byKind.set(options ? `*/${name}` : `${apiVersionOf({ group, version })}/${name}`, type);
    }
  }
  return (byKind.get(`${apiVersion}/${kind}`) ?? byKind.get(`*/${kind}`))?.name;
}

/** True for a body in Kubernetes' protobuf. */
export function isProtobuf(bytes: Buffer): boolean {
  return bytes.length >= MAGIC.length && bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

/** The object in its JSON form, apiVersion and kind first. Throws a BadRequest StatusError. */
export function decodeProtobuf(bytes: Buffer): KubeObject & Record<string, unknown> {
  if (!isProtobuf(bytes)) throw malformed("it doesn't start with k8s and a zero byte");
  const envelope = readEnvelope(bytes);
  if (envelope.encoding !== "") throw malformed(`content encoding ${envelope.encoding} is not supported`);
  const { apiVersion, kind } = envelope;
  const schemaName = schemaNameOf(apiVersion, kind);
  if (schemaName === undefined) throw malformed(`no kind "${kind}" is registered for version "${apiVersion}"`);
  return { apiVersion, kind, ...decodeMessage(envelope.raw, schemaName) };
}

/** The object in Kubernetes' protobuf; `apiVersion` and `kind` must be set and known. */
export function encodeProtobuf(object: KubeObject): Buffer {
  const { apiVersion = "", kind = "" } = object;
  const schemaName = schemaNameOf(apiVersion, kind);
  const raw =
    schemaName === undefined
      ? encodePartialMetadata(apiVersion, kind, object)
      : encodeMessage(object as Record<string, unknown>, schemaName);
  if (raw === undefined) throw malformed(`no kind "${kind}" is registered for version "${apiVersion}"`);
  const typeMeta = new WireWriter();
  typeMeta.text(1, apiVersion);
  typeMeta.text(2, kind);
  const envelope = new WireWriter();
  envelope.block(1, typeMeta.finish());
  envelope.block(2, raw);
  envelope.text(3, "");
  envelope.text(4, "");
  return Buffer.concat([MAGIC, envelope.finish()]);
}

interface Envelope {
  apiVersion: string;
  kind: string;
  raw: Buffer;
  encoding: string;
}

function readEnvelope(bytes: Buffer): Envelope {
  const envelope: Envelope = { apiVersion: "", kind: "", raw: Buffer.alloc(0), encoding: "" };
  const reader = new WireReader(bytes, MAGIC.length);
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (wireType !== 2) reader.skip(wireType);
    else if (number === 1) readTypeMeta(reader.block(), envelope);
    else if (number === 2) envelope.raw = reader.block();
    else if (number === 3) envelope.encoding = reader.block().toString("utf8");
    else reader.block();
  }
  return envelope;
}

function readTypeMeta(bytes: Buffer, envelope: Envelope): void {
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (wireType !== 2) reader.skip(wireType);
    else if (number === 1) envelope.apiVersion = reader.block().toString("utf8");
    else if (number === 2) envelope.kind = reader.block().toString("utf8");
    else reader.block();
  }
}
