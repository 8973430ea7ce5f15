// The schemas of the API: what fields there are, of which types, and how they merge.
import { modelType } from "./model.ts";
import type { ModelType } from "./model.ts";

export type { ModelField, ModelType } from "./model.ts";
export { patchSchemaFor } from "./patch-schema.ts";
export { openApiPath, openApiV3, openApiV3Index } from "./open-api.ts";
export { openApiV2, type V3Document } from "./open-api-v2.ts";
export { type Form, inspect } from "./inspect.ts";
export { jsonKind } from "./scalars.ts";
export { checkTypes, converterComplaint, pruneUnknown, type TypeComplaint, walkUnknownFields } from "./walk.ts";

/** The type of that schema name, as in io.k8s.api.core.v1.Pod; throws where there is none. */
export function schemaFor(name: string): ModelType {
  return modelType(name);
}
