// The patch types that say how to change an object, applied to one of one's own. Server-side apply is in apply.ts.
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  decodeJson,
  newUnsupportedMediaType,
  type PatchSchema,
} from "@coxswain/apimachinery";

import { APPLY_TYPE } from "./apply.ts";

export const PATCH_TYPES: readonly string[] = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  APPLY_TYPE,
];

export interface DecodedPatch {
  readonly apply: (document: unknown) => unknown;
  readonly duplicates: readonly string[];
}

/** @throws StatusError UnsupportedMediaType, BadRequest */
export function decodePatch(
  contentType: string | undefined,
  body: Buffer | undefined,
  schema: () => PatchSchema,
): DecodedPatch {
  const type = contentType ?? "";
  if (type === APPLY_TYPE || !PATCH_TYPES.includes(type)) throw newUnsupportedMediaType(PATCH_TYPES);
  const { value, duplicates } = decodeJson(body ?? Buffer.alloc(0), { duplicates: true });
  if (type === "application/json-patch+json") {
    return { apply: (document) => applyJsonPatch(document, value), duplicates };
  }
  if (type === "application/merge-patch+json") {
    return { apply: (document) => applyMergePatch(document, value), duplicates };
  }
  const patchSchema = schema();
  return { apply: (document) => applyStrategicMergePatch(document, value, patchSchema), duplicates };
}
