// What was written, in the form in which it would be read again. Guarantee: the same as the stored JSON parsed, down to the order of
// members; or undefined, where that is not certain.
import type { KindDefinition } from "@coxswain/api";
import { apiVersionOf, type KubeObject, type ManagedFieldsEntry, type ObjectMeta } from "@coxswain/apimachinery";
import { showWritten } from "./managed-form.ts";

/** `written` as parseStored gives it at version `rv`. What lies below the top and metadata is shared. */
export function parsedForm(kind: KindDefinition, written: KubeObject, rv: bigint): KubeObject | undefined {
  const { kind: _kind, apiVersion: _apiVersion, metadata = {}, ...rest } = written;
  const { resourceVersion: _version, selfLink: _link, managedFields, uid, ...meta } = metadata;
  if (typeof uid !== "string" || !isJson(meta) || !isJson(rest)) return undefined;
  if (managedFields !== undefined && !managedFields.every(isPlainEntry)) return undefined;
  const parsed: ObjectMeta = { resourceVersion: String(rv), uid, ...meta };
  if (managedFields !== undefined) showWritten(parsed, managedFields);
  return { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata: parsed, ...rest };
}

function isPlainEntry({ manager: _manager, fieldsV1: _fields, ...rest }: ManagedFieldsEntry): boolean {
  return isJson(rest);
}

/** True where JSON gives back the very same. */
function isJson(value: unknown): boolean {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value !== "object") return false;
  return Array.isArray(value) ? isJsonList(value) : isJsonMap(value);
}

function isJsonList(list: readonly unknown[]): boolean {
  for (let at = 0; at < list.length; at++) if (!isJson(list[at])) return false;
  return true;
}

function isJsonMap(map: object): boolean {
  if (Object.getPrototypeOf(map) !== Object.prototype) return false;
  // Faster than the list of keys; what Object.prototype has is not enumerable.
  for (const key in map) if (!isJson((map as Record<string, unknown>)[key])) return false;
  return true;
}
