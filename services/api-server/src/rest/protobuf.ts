// Kubernetes protobuf for answers, as the fronts ask for it.
import { encodeProtobuf, schemaNameOf } from "@coxswain/api/wire/index";
import type { KubeObject } from "@coxswain/apimachinery";

/** Undefined where the kind has no protobuf form (Table, PartialObjectMetadata). */
export function toKubernetesProtobuf(document: object): Buffer | undefined {
  const object = document as KubeObject;
  return schemaNameOf(object.apiVersion ?? "", object.kind ?? "") === undefined ? undefined : encodeProtobuf(object);
}
