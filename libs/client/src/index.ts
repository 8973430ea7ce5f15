// What components need to work with the API: client, informers, queues, elections, events. No wire library.
export * from "./aggregated-reader.ts";
export * from "./batch-outcomes.ts";
export * from "./delegated-reviews.ts";
export * from "./event-recorder.ts";
export * from "./informer-contract.ts";
export * from "./informer-factory.ts";
export * from "./leader-election.ts";
export * from "./resource-client.ts";
export * from "./runtime-contract.ts";
export * from "./selection.ts";
export * from "./work-queue.ts";
