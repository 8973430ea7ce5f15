// Controllers: queues and workers around a reconcile function, expectations, and a manager that runs several.
export * from "./contract.ts";
export * from "./controller.ts";
export * from "./expectations.ts";
export * from "./manager.ts";
export * from "./settle-all.ts";
