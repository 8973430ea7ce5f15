export * from "./field-error.ts";
export * from "./object.ts";
export * from "./resource-version.ts";
export * from "./status-error.ts";
