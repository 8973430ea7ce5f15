export * from "./change-feed.ts";
export * from "./contract.ts";
