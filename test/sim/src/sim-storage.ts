// An api-server's way to the store: late answers, a watch that lags, and nothing for a process that is frozen or dead.
// A dead process's session in the store is not resigned: it runs out, as an etcd lease does.
import type { Storage } from "@coxswain/storage";
import { createMemoryStorage } from "@coxswain/storage/memory/memory-storage";
import { Link, type Network } from "./network.ts";
import type { ObservedStore } from "./observed-store.ts";
import type { SimProcess } from "./sim-process.ts";

export function createSimStorage(process: SimProcess, network: Network, store: ObservedStore): Storage {
  const handle = createMemoryStorage({ env: process.env, store });
  process.onDeath(() => handle.disconnect());
  const call = <T>(work: () => Promise<T>): Promise<T> => {
    const answer = async (): Promise<T> => {
      await network.travelToStore();
      try {
        return await work();
      } finally {
        await network.travel();
      }
    };
    return process.carry(answer());
  };
  return {
    get: (key) => call(() => handle.get(key)),
    list: (options) => call(() => handle.list(options)),
    commit: (transaction) => call(() => handle.commit(transaction)),
    currentRv: () => call(() => handle.currentRv()),
    compact: (rv) => call(() => handle.compact(rv)),
    ping: () => call(() => handle.ping()),
    close: () => call(() => handle.close()),
    candidate: (name, id, ttlMs) => {
      const candidate = handle.candidate(name, id, ttlMs);
      return { campaign: (signal) => process.carry(candidate.campaign(signal)) };
    },
    watch: (sinceRv, handler, signal) => {
      const link = new Link(network, process);
      const late = {
        onBatch: (batch: Parameters<typeof handler.onBatch>[0]) =>
          link.send(() => {
            if (!signal.aborted) handler.onBatch(batch);
          }),
        onConnection: (connected: boolean) => link.send(() => handler.onConnection?.(connected)),
      };
      return process.carry(handle.watch(sinceRv, late, signal));
    },
  };
}
