// Patches for the in-memory double: RFC 6902, RFC 7386, and a strategic merge that merges lists by their usual key.
// The double's strategic merge knows no schema: a list of objects that all carry one of the usual merge keys is merged
// by it, any other list is replaced.
import type { PatchType } from "../resource-client.ts";
import { badRequest } from "./api-errors.ts";

type Json = Record<string, unknown>;
const isMap = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const result: Json = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

const MERGE_KEYS: Readonly<Record<string, readonly string[]>> = {
  conditions: ["type"],
  containers: ["name"],
  initContainers: ["name"],
  env: ["name"],
  volumes: ["name"],
  volumeMounts: ["mountPath"],
  ports: ["containerPort", "port"],
  ownerReferences: ["uid"],
  addresses: ["type"],
  podIPs: ["ip"],
  hostIPs: ["ip"],
  imagePullSecrets: ["name"],
  secrets: ["name"],
  readinessGates: ["conditionType"],
};

function mergeList(field: string, target: unknown, patch: unknown[]): unknown[] {
  const current = Array.isArray(target) ? (target as unknown[]) : [];
  if (field === "finalizers") return [...new Set([...current, ...patch])];
  const key = MERGE_KEYS[field]?.find((key) =>
    [...current, ...patch].every((item) => isMap(item) && (key in item || "$patch" in item)),
  );
  if (key === undefined) return patch;
  if (patch.some((item) => (item as Json)["$patch"] === "replace")) {
    return patch.filter((item) => (item as Json)["$patch"] !== "replace");
  }
  const result = current.map((item) => item as Json);
  for (const item of patch as Json[]) {
    const at = result.findIndex((present) => present[key] === item[key]);
    if (item["$patch"] === "delete") {
      if (at >= 0) result.splice(at, 1);
    } else if (at >= 0) result[at] = strategicMerge(result[at], item) as Json;
    else result.push(item);
  }
  return result;
}

function strategicMerge(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  if (patch["$patch"] === "replace")
    return Object.fromEntries(Object.entries(patch).filter(([key]) => key !== "$patch"));
  const result: Json = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$setElementOrder/") || key === "$retainKeys") continue;
    if (key.startsWith("$deleteFromPrimitiveList/")) {
      const field = key.slice("$deleteFromPrimitiveList/".length);
      const gone = new Set(value as unknown[]);
      if (Array.isArray(result[field])) result[field] = (result[field] as unknown[]).filter((item) => !gone.has(item));
    } else if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = mergeList(key, result[key], value);
    else result[key] = strategicMerge(result[key], value);
  }
  return result;
}

interface Operation {
  op: string;
  path: string;
  from?: string;
  value?: unknown;
}

const steps = (pointer: string): string[] =>
  pointer === ""
    ? []
    : pointer
        .slice(1)
        .split("/")
        .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));

function readAt(root: unknown, pointer: string): unknown {
  let at = root;
  for (const step of steps(pointer)) at = (at as Json | undefined)?.[step];
  return at;
}

function missing(operation: Operation): Error {
  return badRequest(`${operation.op} operation does not apply: doc is missing path: ${operation.path}: missing value`);
}

function setAt(root: unknown, operation: Operation, path: string, value: unknown, insert: boolean): unknown {
  const way = steps(path);
  const last = way.pop();
  if (last === undefined) return value;
  let at = root;
  for (const step of way) at = (at as Json | undefined)?.[step];
  if (Array.isArray(at)) {
    const index = last === "-" ? at.length : Number(last);
    if (!(index <= at.length)) throw missing(operation);
    at.splice(index, insert ? 0 : 1, value);
  } else if (isMap(at)) at[last] = value;
  else throw missing(operation);
  return root;
}

function removeAt(root: unknown, operation: Operation, path: string): void {
  const way = steps(path);
  const last = way.pop() ?? "";
  const parent = readAt(root, path.slice(0, path.lastIndexOf("/")));
  if (Array.isArray(parent) && Number(last) < parent.length) parent.splice(Number(last), 1);
  else if (isMap(parent) && last in parent) delete parent[last];
  else throw missing(operation);
}

function jsonPatch(target: unknown, operations: readonly Operation[]): unknown {
  let root = structuredClone(target);
  for (const operation of operations) {
    const { op, path, value, from } = operation;
    const present = readAt(root, path) !== undefined;
    if (op === "test") {
      if (JSON.stringify(readAt(root, path)) !== JSON.stringify(value)) {
        throw badRequest(`testing value ${path} failed: test failed`);
      }
    } else if (op === "remove") removeAt(root, operation, path);
    else if (op === "add") root = setAt(root, operation, path, structuredClone(value), true);
    else if (op === "replace") {
      if (!present) throw missing(operation);
      root = setAt(root, operation, path, structuredClone(value), false);
    } else if ((op === "move" || op === "copy") && from !== undefined) {
      const taken = structuredClone(readAt(root, from));
      if (taken === undefined) throw missing(operation);
      if (op === "move") removeAt(root, operation, from);
      root = setAt(root, operation, path, taken, true);
    } else throw badRequest(`Unexpected kind: ${op}`);
  }
  return root;
}

/** The patched object, a fresh copy; throws BadRequest where the patch does not apply. */
export function applyPatch<T>(target: T, type: PatchType, patch: unknown): T {
  const copy = structuredClone(target);
  if (type === "application/json-patch+json") {
    if (!Array.isArray(patch)) throw badRequest("error decoding patch: json patch must be an array");
    return jsonPatch(copy, patch as Operation[]) as T;
  }
  if (type === "application/merge-patch+json") return mergePatch(copy, structuredClone(patch)) as T;
  return strategicMerge(copy, structuredClone(patch)) as T;
}
