// The three patch types, applied to an object of one's own.
import type { KindDefinition } from "@coxswain/api";
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  decodeJson,
  newUnsupportedMediaType,
  StatusError,
  type PatchSchema,
} from "@coxswain/apimachinery";

export const PATCH_TYPES: readonly string[] = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

const APPLY = ["application/apply-patch+yaml", "application/apply-patch+cbor"];

export interface DecodedPatch {
  readonly apply: (document: unknown) => unknown;
  readonly duplicates: readonly string[];
}

/** @throws StatusError UnsupportedMediaType, BadRequest */
export function decodePatch(
  kind: KindDefinition,
  contentType: string | undefined,
  body: Buffer | undefined,
  schema: () => PatchSchema,
): DecodedPatch {
  const type = contentType ?? "";
  if (APPLY.includes(type)) {
    throw new StatusError(
      "UnsupportedMediaType",
      415,
      `server-side apply (${type}) is not supported yet for ${kind.resource} - accepted media types include: ${PATCH_TYPES.join(", ")}`,
    );
  }
  if (!PATCH_TYPES.includes(type)) throw newUnsupportedMediaType(PATCH_TYPES);
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
