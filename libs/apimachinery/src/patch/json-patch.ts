// JSON Patch (RFC 6902). All operations apply or none; the document given is never changed.
import jsonPatch, { type Operation } from "fast-json-patch";
import { deepClone, deepEqual, isJsonObject } from "../deep.ts";
import { newBadRequest, newRequestEntityTooLarge } from "../status-factories.ts";
import { StatusError } from "../status-error.ts";

const MAX_OPERATIONS = 10_000;
const KINDS = ["add", "remove", "replace", "move", "copy", "test"];

/**
 * Returns the patched copy. Throws StatusError: BadRequest where the patch is no patch, Invalid (422, upstream's general
 * wording, with the particular one as `cause`) where it does not apply.
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  const operations = checkedOperations(patch);
  let current = deepClone(document);
  for (const operation of operations) current = applyOne(current, operation);
  return current;
}

function applyOne(document: unknown, operation: Operation): unknown {
  const { op, path } = operation;
  if (op === "test") return testOne(document, path, operation.value);
  // Only own members are followed: the library would walk into Object.prototype.
  if (op === "move" || op === "copy") {
    // The whole document has no place that it could be taken from, as upstream sees it, and nothing goes into itself.
    const within = operation.from === "" || (op === "move" && path.startsWith(`${operation.from}/`));
    if (within || !resolves(document, operation.from, true)) throw notApplicable(missingText(op, operation.from));
  }
  if (!resolves(document, path, op === "remove" || op === "replace")) throw notApplicable(missingText(op, path));
  try {
    return jsonPatch.applyOperation(document, operation, true, true, true).newDocument;
  } catch (error) {
    const reason = error instanceof Error ? error.name : String(error);
    throw notApplicable(`${op} operation does not apply: ${path}: ${reason}`);
  }
}

/** Compared semantically, and an absent member equals null, as upstream has it. */
function testOne(document: unknown, path: string, value: unknown): unknown {
  if (!resolves(document, path, false)) {
    throw notApplicable(`test operation does not apply: is missing path: ${path}: missing value`);
  }
  const actual = resolves(document, path, true) ? (jsonPatch.getValueByPointer(document, path) as unknown) : null;
  if (!deepEqual(actual ?? null, value ?? null)) throw notApplicable(`testing value ${path} failed: test failed`);
  return document;
}

/** True where the container that `pointer` speaks of exists and, with `last`, the member itself too. */
function resolves(document: unknown, pointer: string, last: boolean): boolean {
  const tokens = pointer
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
  let current = document;
  for (const [index, token] of tokens.entries()) {
    if (typeof current !== "object" || current === null) return false;
    if (index === tokens.length - 1 && !last) return true;
    if (Array.isArray(current) ? !/^(0|[1-9]\d*)$/.test(token) : false) return false;
    if (!Object.hasOwn(current, token)) return false;
    current = (current as Record<string, unknown>)[token];
  }
  return true;
}

function missingText(op: string, path: string): string {
  if (op === "add") return `add operation does not apply: doc is missing path: "${path}": missing value`;
  return `${op} operation does not apply: doc is missing ${op === "replace" ? "key" : "path"}: ${path}: missing value`;
}

function notApplicable(text: string): StatusError {
  const message = "the server rejected our request due to an error in our request";
  return new StatusError("Invalid", 422, message, {}, { cause: new Error(text) });
}

function checkedOperations(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) {
    throw newBadRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch");
  }
  if (patch.length > MAX_OPERATIONS) {
    const text = `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`;
    throw newRequestEntityTooLarge(text);
  }
  for (const operation of patch as unknown[]) {
    const known = isJsonObject(operation) && KINDS.includes(operation["op"] as string);
    if (!known) {
      const kind = isJsonObject(operation) ? operation["op"] : operation;
      throw notApplicable(`Unexpected kind: ${typeof kind === "string" ? kind : "unknown"}`);
    }
    checkPointer(operation["path"], "path");
    const op = operation["op"] as string;
    if (op === "move" || op === "copy") checkPointer(operation["from"], "from");
    if ((op === "add" || op === "replace") && !Object.hasOwn(operation, "value")) operation["value"] = null;
  }
  return deepClone(patch) as Operation[];
}

function checkPointer(pointer: unknown, name: string): void {
  if (typeof pointer !== "string") throw notApplicable(`failed to decode ${name}: missing value`);
  if (pointer !== "" && !pointer.startsWith("/")) throw notApplicable(`doc is missing path: ${pointer}: missing value`);
  if (pointer.split("/").includes("__proto__")) {
    throw notApplicable(`doc is missing path: ${pointer}: missing value`);
  }
}
