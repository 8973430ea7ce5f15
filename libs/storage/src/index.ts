// A versioned store with optimistic transactions and a gapless watch: the contract, etcd (the truth) and memory (its
// fast double). Only the api-server imports it.
export * from "./contract.ts";
export { MAX_MUTATIONS, MAX_TRANSACTION_BYTES } from "./transaction.ts";
export { MemoryStore } from "./memory/memory-store.ts";
export { createMemoryStorage, type MemoryStorage } from "./memory/memory-storage.ts";
export { createEtcdStorage, type EtcdStorageOptions } from "./etcd/etcd-storage.ts";
