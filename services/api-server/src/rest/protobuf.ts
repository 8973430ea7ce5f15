// Kubernetes protobuf for answers, as the fronts ask for it.
import { encodeProtobuf, schemaNameOf } from "@coxswain/api/wire/index";
import type { KubeObject } from "@coxswain/apimachinery";

const PARTIAL = /^PartialObjectMetadata(List)?$/;

/** Undefined where the kind has no protobuf form: Tables, custom resources. */
export function toKubernetesProtobuf(document: object): Buffer | undefined {
  const object = document as KubeObject;
  const { apiVersion = "", kind = "" } = object;
  const known = schemaNameOf(apiVersion, kind) !== undefined;
  return known || (apiVersion.startsWith("meta.k8s.io/") && PARTIAL.test(kind)) ? encodeProtobuf(object) : undefined;
}
