// Runs several controllers together: informers first, reconciling only once all have synced, all stopped together.
// Guarantees: nothing is reconciled from a cache that has not synced; `run` settles when every controller has; the failure
// of one stops the others and rejects.
import type { InformerFactory } from "@coxswain/client";
import { isAbort } from "@coxswain/env";
import type { Controller, ControllerDeps } from "./contract.ts";
import { settleAll } from "./settle-all.ts";

export interface ManagerDeps extends ControllerDeps {
  readonly informers: InformerFactory;
}

export interface Manager {
  /** Before run only. */
  add(controller: Controller): void;
  list(): Controller[];
  get(name: string): Controller | undefined;
  /** Starts informers (they outlive a lost leadership where `informerSignal` is given), waits for sync, runs until abort. */
  run(signal: AbortSignal, informerSignal?: AbortSignal): Promise<void>;
}

export function createManager(deps: ManagerDeps): Manager {
  const controllers = new Map<string, Controller>();
  const { informers, logger } = deps;

  async function runAll(signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const both = AbortSignal.any([signal, failed.signal]);
    const runs = [...controllers.values()].map(async (controller) => {
      try {
        await controller.run(both);
      } catch (error) {
        failed.abort();
        throw error;
      }
    });
    await settleAll(runs);
  }

  return {
    add: (controller) => {
      if (controllers.has(controller.name)) throw new Error(`controller ${controller.name} is already there`);
      controllers.set(controller.name, controller);
    },
    list: () => [...controllers.values()],
    get: (name) => controllers.get(name),
    async run(signal, informerSignal = signal) {
      informers.start(informerSignal);
      try {
        await informers.waitForSync(signal);
      } catch (error) {
        if (signal.aborted && isAbort(error)) return;
        throw error;
      }
      logger.info({ controllers: [...controllers.keys()] }, "caches synced, starting controllers");
      await runAll(signal);
    },
  };
}
