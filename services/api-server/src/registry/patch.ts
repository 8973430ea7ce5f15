// The patch types that say how to change an object, applied to one of one's own. Server-side apply is in apply.ts.
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  decodeJson,
  goText,
  isJsonObject,
  newBadRequest,
  newUnsupportedMediaType,
  quote,
  strictProblems,
  type PatchSchema,
} from "@coxswain/apimachinery";
import { converterComplaint, jsonKind, type TypeComplaint } from "@coxswain/api/schema/index";
import { APPLY_TYPE } from "./apply.ts";
import { prefixed } from "./codec.ts";

export const PATCH_TYPES: readonly string[] = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  APPLY_TYPE,
];

export interface DecodedPatch {
  readonly apply: (document: unknown) => unknown;
  readonly duplicates: readonly string[];
  /** What a refusal shows of the patch, or of what it made. */
  readonly shown: (patched: unknown) => string;
  readonly complaint?: TypeComplaint;
}

const OPERATION_FIELDS: ReadonlySet<string> = new Set(["op", "path", "from", "value"]);

/** What operations of a JSON patch say beyond what there is to be said of one. */
function unknownInOperations(operations: unknown): string[] {
  if (!Array.isArray(operations)) return [];
  return operations.flatMap((operation, at) =>
    Object.keys(isJsonObject(operation) ? operation : {})
      .filter((name) => !OPERATION_FIELDS.has(name))
      .map((name) => `unknown field ${quote(`[${at}].${name}`)}`),
  );
}

/** @throws StatusError UnsupportedMediaType, BadRequest */
export function decodePatch(
  contentType: string | undefined,
  body: Buffer | undefined,
  schema: () => PatchSchema,
): DecodedPatch {
  const type = contentType ?? "";
  if (type === APPLY_TYPE || !PATCH_TYPES.includes(type)) throw newUnsupportedMediaType(PATCH_TYPES);
  const strategic = type === "application/strategic-merge-patch+json";
  const patchSchema = strategic ? schema() : undefined;
  const prefix = strategic ? "" : "error decoding patch: ";
  const { value, duplicates } = prefixed(prefix, () => decodeJson(body ?? Buffer.alloc(0), { duplicates: true }));
  const shown = JSON.stringify;
  if (type === "application/json-patch+json") {
    const text = (body ?? Buffer.alloc(0)).toString("utf8");
    const unknown = unknownInOperations(value);
    const problems = unknown.length === 0 ? duplicates : strictProblems(text, unknown);
    const told = problems.map((each) => `json patch ${each}`);
    return { apply: (document) => applyJsonPatch(document, value), duplicates: told, shown };
  }
  if (!isJsonObject(value)) {
    throw newBadRequest(
      `${prefix}json: cannot unmarshal ${jsonKind(value)} into Go value of type map[string]interface {}`,
    );
  }
  if (patchSchema === undefined) return { apply: (document) => applyMergePatch(document, value), duplicates, shown };
  return {
    apply: (document) => applyStrategicMergePatch(document, value, patchSchema),
    duplicates,
    shown: () => goText(value),
    complaint: converterComplaint,
  };
}
