// The metadata of objects by itself, in protobuf. Its messages are of meta.k8s.io and not among the kinds of the model.
import type { ListMeta, ObjectMeta } from "@coxswain/apimachinery";
import { encodeMessage } from "./encode.ts";
import { WireWriter } from "./writer.ts";

const OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

interface Partial {
  readonly metadata?: ObjectMeta;
}

interface PartialList {
  readonly metadata?: ListMeta;
  readonly items?: readonly Partial[];
}

function encodeOne({ metadata = {} }: Partial): Buffer {
  const writer = new WireWriter();
  writer.block(1, encodeMessage(metadata as Record<string, unknown>, OBJECT_META));
  return writer.finish();
}

/** The numbers of a list's fields changed places with the first stable version. */
function encodeList({ metadata = {}, items = [] }: PartialList, version: string): Buffer {
  const [meta, item] = version === "v1beta1" ? [2, 1] : [1, 2];
  const writer = new WireWriter();
  writer.block(meta, encodeMessage(metadata as Record<string, unknown>, LIST_META));
  for (const each of items) writer.block(item, encodeOne(each));
  return writer.finish();
}

/** The message of a PartialObjectMetadata or a list of them; undefined for any other kind. */
export function encodePartialMetadata(apiVersion: string, kind: string, document: object): Buffer | undefined {
  const [group, version = ""] = apiVersion.split("/");
  if (group !== "meta.k8s.io") return undefined;
  if (kind === "PartialObjectMetadata") return encodeOne(document);
  return kind === "PartialObjectMetadataList" ? encodeList(document, version) : undefined;
}
