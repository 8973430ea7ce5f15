// Where objects lie in storage, and in what form.
// Guarantee: the stored JSON of a kind always opens with the same bytes, `{"kind":…,"apiVersion":…,"metadata":{`, and never
// holds a resourceVersion, so that putting one in is a single concatenation.
import type { KindDefinition } from "@coxswain/api";
import { storedResource } from "@coxswain/api/scheme";
import { apiVersionOf, type KubeObject } from "@coxswain/apimachinery";
import { managedMembers } from "./managed-form.ts";

const ROOT = "/registry/";
const RV_OPEN = '"resourceVersion":"';

type KindIdentity = Pick<KindDefinition, "group" | "version" | "kind">;
type ResourceIdentity = { readonly group: string; readonly resource: string };

/** All objects of a resource lie under it; ends with a slash. */
export function resourcePrefix(ref: ResourceIdentity): string {
  const { group, resource } = storedResource(ref);
  return `${ROOT}${group === "" ? "core" : group}/${resource}/`;
}

/** All objects of a namespace ("" for cluster-scoped ones) lie under it; ends with a slash. */
export function namespacePrefix(ref: ResourceIdentity, namespace: string): string {
  return `${resourcePrefix(ref)}${namespace === "" ? "_" : namespace}/`;
}

export function storageKey(ref: ResourceIdentity, namespace: string, name: string): string {
  return namespacePrefix(ref, namespace) + name;
}

export interface ParsedKey extends ResourceIdentity {
  readonly namespace: string;
  readonly name: string;
}

/** Undefined where the key is not an object's: allocations, fences. */
export function parseStorageKey(key: string): ParsedKey | undefined {
  if (!key.startsWith(ROOT)) return undefined;
  const [group, resource, namespace, ...name] = key.slice(ROOT.length).split("/");
  if (group === undefined || resource === undefined || namespace === undefined || name.length === 0) return undefined;
  return {
    group: group === "core" ? "" : group,
    resource,
    namespace: namespace === "_" ? "" : namespace,
    name: name.join("/"),
  };
}

export const REGISTRY_ROOT = ROOT;

function headOf(kind: KindIdentity): string {
  return `{"kind":"${kind.kind}","apiVersion":"${apiVersionOf(kind)}","metadata":{`;
}

const heads = new Map<string, Buffer>();

/** The constant opening of a kind's stored JSON. */
export function storedHead(kind: KindIdentity): Buffer {
  const id = `${kind.group}/${kind.version}/${kind.kind}`;
  let head = heads.get(id);
  if (head === undefined) {
    head = Buffer.from(headOf(kind));
    heads.set(id, head);
  }
  return head;
}

/** The bytes to store: constant opening first, no resourceVersion. `specText` is the JSON of the spec where it is known. */
export function encodeStored(kind: KindIdentity, object: KubeObject, specText?: string): Buffer {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _version, selfLink: _link, managedFields, uid, ...meta } = metadata ?? {};
  const restJson = specText === undefined ? JSON.stringify(rest) : withSpec(rest, specText);
  const tail = restJson === "{}" ? "}" : `,${restJson.slice(1)}`;
  if (managedFields === undefined || uid === undefined) {
    return Buffer.from(headOf(kind) + JSON.stringify({ managedFields, uid, ...meta }).slice(1) + tail);
  }
  const members = managedMembers(managedFields, uid);
  const metaJson = JSON.stringify(meta);
  return Buffer.from(`${headOf(kind)}${members}${metaJson === "{}" ? "}" : `,${metaJson.slice(1)}`}${tail}`);
}

/** JSON of `object` with that text for its spec. */
function withSpec(object: Record<string, unknown>, specText: string): string {
  let text = "";
  for (const [name, value] of Object.entries(object)) {
    const json = name === "spec" ? specText : JSON.stringify(value);
    if (json !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${json}`;
  }
  return `{${text}}`;
}

/** The JSON to serve: `stored` with metadata.resourceVersion in place. Begins at the start of `target` where one is given and has room. */
export function spliceVersion(kind: KindIdentity, stored: Buffer, rv: bigint, target?: Buffer): Buffer {
  const head = storedHead(kind);
  if (stored.length <= head.length || stored.compare(head, 0, head.length, 0, head.length) !== 0) {
    const object = JSON.parse(stored.toString()) as KubeObject;
    return spliceVersion(kind, encodeStored(kind, object), rv);
  }
  const empty = stored[head.length] === 0x7d;
  const version = `${RV_OPEN}${rv}"${empty ? "" : ","}`;
  const length = stored.length + version.length;
  const fits = target !== undefined && length <= target.length;
  const out = fits ? target.subarray(0, length) : Buffer.allocUnsafe(length);
  head.copy(out, 0);
  out.write(version, head.length, "latin1");
  stored.copy(out, head.length + version.length, head.length);
  return out;
}

/** `json` as spliceVersion made it, at another version: what a deleted object carries. */
export function respliceVersion(kind: KindIdentity, json: Buffer, rv: bigint): Buffer {
  return spliceVersion(kind, stripVersion(kind, json), rv);
}

/** `json` as spliceVersion made it, back in the form to store. */
export function stripVersion(kind: KindIdentity, json: Buffer): Buffer {
  const head = storedHead(kind);
  let end = json.indexOf(0x22, head.length + RV_OPEN.length) + 1;
  if (json[end] === 0x2c) end++;
  return Buffer.concat([head, json.subarray(end)]);
}
