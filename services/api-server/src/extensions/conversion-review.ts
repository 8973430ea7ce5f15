// ConversionReview: what a conversion webhook is asked, and what its answer means. Pure. The wording is upstream's.
// Guarantee: what comes back is the same object in another version: its name, its owners and its history are its own.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#request
import { isJsonObject, parseApiVersion, validateLabelValue, validateQualifiedName } from "@coxswain/apimachinery";
import type { KubeObject } from "@coxswain/apimachinery";

const GROUP = "apiextensions.k8s.io";
const KNOWN = ["v1", "v1beta1"];

export function conversionReview(
  version: string,
  uid: string,
  objects: readonly KubeObject[],
  desiredAPIVersion: string,
): object {
  return { kind: "ConversionReview", apiVersion: `${GROUP}/${version}`, request: { uid, desiredAPIVersion, objects } };
}

/** The first version that both sides know. */
export function conversionVersion(versions: readonly string[] | undefined): string | undefined {
  return versions?.find((version) => KNOWN.includes(version));
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** As in "stable.example.com/v1, Kind=CronTab". */
export function kindText({ apiVersion = "", kind = "" }: KubeObject): string {
  return `${apiVersion}, Kind=${kind}`;
}

/** The objects of an answer. @throws Error where it is not one to this request, or tells a failure */
export function readConversion(text: string, version: string, uid: string): unknown[] {
  const review: unknown = JSON.parse(text);
  if (!isJsonObject(review)) throw new Error("the answer is no JSON object");
  const expected = `${GROUP}/${version}`;
  if (version === "v1" && (review["apiVersion"] !== expected || review["kind"] !== "ConversionReview")) {
    const got = `${textOf(review["apiVersion"])}, Kind=${textOf(review["kind"])}`;
    throw new Error(`expected webhook response of ${expected}, Kind=ConversionReview, got ${got}`);
  }
  const response = review["response"];
  if (!isJsonObject(response)) throw new Error("no response provided");
  if (version === "v1" && response["uid"] !== uid) {
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"] ?? "")}`);
  }
  const result = isJsonObject(response["result"]) ? response["result"] : {};
  if (result["status"] !== "Success") {
    const status = textOf(result["status"]);
    throw new Error(textOf(result["message"]) || `response.result.status was '${status}', not 'Success'`);
  }
  return Array.isArray(response["convertedObjects"]) ? response["convertedObjects"] : [];
}

/** The converted object with the metadata of the one that was asked about. @throws Error where it is another one */
export function acceptConverted(original: KubeObject, converted: unknown, apiVersion: string): KubeObject {
  if (!isJsonObject(converted)) throw new Error("returned invalid object at index 0: it is no JSON object");
  const object = converted as KubeObject;
  if (object.apiVersion !== apiVersion) {
    const received = groupVersionText(textOf(object.apiVersion));
    const text = `invalid groupVersion (expected ${groupVersionText(apiVersion)}, received ${received})`;
    throw new Error(`returned invalid object at index 0: ${text}`);
  }
  if (object.kind !== original.kind) {
    const text = `invalid kind (expected ${original.kind}, received ${textOf(object.kind)})`;
    throw new Error(`returned invalid object at index 0: ${text}`);
  }
  const changed = changedIdentity(original, object);
  if (changed !== undefined) throw new Error(`returned invalid object: ${changed}`);
  return { ...object, metadata: restoredMeta(original, object) };
}

function groupVersionText(apiVersion: string): string {
  const { group, version } = parseApiVersion(apiVersion);
  return group === "" ? version : `${group}/${version}`;
}

function changedIdentity(original: KubeObject, converted: KubeObject): string | undefined {
  for (const [field, what] of [
    ["name", "name"],
    ["namespace", "namespace"],
    ["uid", "UID"],
  ] as const) {
    const [before, after] = [original, converted].map((each) => textOf(each.metadata?.[field]));
    if (before !== after) return `must have the same ${what}: ${before} != ${after}`;
  }
  return undefined;
}

/** Labels and annotations are the webhook's to change, the rest is not. */
function restoredMeta(original: KubeObject, converted: KubeObject): NonNullable<KubeObject["metadata"]> {
  const given: unknown = converted.metadata;
  if (given === undefined) throw new Error("returned invalid metadata: missing metadata in converted object");
  if (!isJsonObject(given)) throw new Error("returned invalid metadata: invalid metadata in converted object");
  const { labels: _labels, annotations: _annotations, ...meta } = original.metadata ?? {};
  const made: NonNullable<KubeObject["metadata"]> = { ...meta };
  for (const field of ["labels", "annotations"] as const) {
    const value = given[field];
    if (value === undefined || value === null) continue;
    if (!isJsonObject(value))
      throw new Error(`returned invalid metadata: invalid metadata.${field} in converted object`);
    for (const [key, text] of Object.entries(value)) checkPair(field, key, text);
    made[field] = value as Record<string, string>;
  }
  return made;
}

function checkPair(field: "labels" | "annotations", key: string, value: unknown): void {
  if (typeof value !== "string") {
    throw new Error(`returned invalid metadata: metadata.${field}[${key}] must be a string in converted object`);
  }
  const name = field === "labels" ? key : key.toLowerCase();
  const wrong = [...validateQualifiedName(name), ...(field === "labels" ? validateLabelValue(value) : [])];
  if (wrong.length > 0)
    throw new Error(`returned invalid metadata: metadata.${field}: Invalid value: ${JSON.stringify(key)}: ${wrong[0]}`);
}
