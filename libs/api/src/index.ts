export * from "./kind.ts";
export * from "./refs.ts";
export type * from "./types.gen.ts";
