// The memory store keeps the contract.
import { createRealEnv } from "@coxswain/env";
import { createMemoryStorage, MemoryStore } from "@coxswain/storage";
import { storageSuite } from "../src/testing/storage-suite.ts";

storageSuite("memory storage", async () => {
  const env = createRealEnv();
  const store = await Promise.resolve(new MemoryStore({ env }));
  return { client: () => createMemoryStorage({ env, store }), stop: () => Promise.resolve() };
});
