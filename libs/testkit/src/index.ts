export * from "./builders.ts";
export * from "./fixtures.ts";
export * from "./golden.ts";
export * from "./wait-for.ts";
