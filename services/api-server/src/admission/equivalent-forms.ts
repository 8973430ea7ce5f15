// A request's objects in another version or group of its resource, for a webhook or policy that wants that one. Versions that
// differ in their apiVersion alone need nobody; built-in kinds are converted here; for others their webhook is asked. Rejects with StatusError where it cannot answer.
import type { KindDefinition } from "@coxswain/api";
import { convertForm, formsOf, storedKindOf } from "@coxswain/api/scheme";
import { apiVersionOf, type KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes } from "../pipeline/extension.ts";
import type { Asker } from "../pipeline/contract.ts";
import { acceptObject } from "../registry/codec.ts";
import { encodeStored } from "../watch-cache/stored-form.ts";

async function convert(
  from: KindDefinition,
  to: KindDefinition,
  object: KubeObject,
  asker: Asker,
): Promise<KubeObject> {
  if (formsOf(to) !== undefined) return structuredClone(convertForm(from, to, object));
  const { resourceVersion } = object.metadata ?? {};
  const plain = JSON.parse(encodeStored(from, object).toString()) as KubeObject;
  if (resourceVersion !== undefined) plain.metadata = { ...plain.metadata, resourceVersion };
  const [converted] = await to.custom!.convert!([plain], apiVersionOf(to), asker);
  return converted!;
}

/** True where objects of the one have to be converted to be of the other. */
export function needsConversion(a: KindDefinition, b: KindDefinition): boolean {
  if (a.custom === undefined) return a !== b && storedKindOf(a) === storedKindOf(b);
  return a.version !== b.version && b.custom?.convert !== undefined;
}

/** The attributes with objects that are of `kind`. */
export async function attributesIn(
  kind: KindDefinition,
  attributes: AdmissionAttributes,
): Promise<AdmissionAttributes> {
  const { kind: own, object, old, objectKind, request } = attributes;
  if (objectKind !== undefined || !needsConversion(own, kind)) return attributes;
  return {
    ...attributes,
    object: object && (await convert(own, kind, object, request)),
    old: old && (await convert(own, kind, old, request)),
  };
}

/** What `next`, of `kind`, is in the version of the request: with the defaults of its own version, which may say more. */
export async function inOwnVersion(
  kind: KindDefinition,
  { kind: own, request, objectKind }: AdmissionAttributes,
  next: KubeObject,
): Promise<KubeObject> {
  if (objectKind !== undefined) return { ...next, apiVersion: apiVersionOf(objectKind), kind: objectKind.kind };
  if (kind === own) return next;
  const accepted = acceptObject({ kind, fieldValidation: "Ignore", warnings: [] }, next, []);
  kind.defaults(accepted);
  if (needsConversion(kind, own)) return await convert(kind, own, accepted, request);
  return { ...accepted, apiVersion: apiVersionOf(own), kind: own.kind };
}
