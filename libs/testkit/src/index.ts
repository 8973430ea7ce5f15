// For tests only: builders, waiting, golden files, fixtures.
export * from "./builders.ts";
export * from "./fixtures.ts";
export * from "./golden.ts";
export * from "./wait-for.ts";
