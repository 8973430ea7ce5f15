// The object machinery of the API: pure values and functions, no I/O, no clock.
export * from "./deep.ts";
export * from "./field-error.ts";
export * from "./field-selector.ts";
export * from "./go-regexp.ts";
export * from "./json-decode.ts";
export * from "./label-selector.ts";
export * from "./names.ts";
export * from "./object.ts";
export * from "./quantity.ts";
export * from "./quote.ts";
export * from "./resource-version.ts";
export * from "./status-error.ts";
export * from "./status-factories.ts";
export * from "./time.ts";
export * from "./patch/json-patch.ts";
export * from "./patch/merge-patch.ts";
export * from "./patch/patch-schema.ts";
export { applyStrategicMergePatch } from "./patch/strategic-merge-patch.ts";
