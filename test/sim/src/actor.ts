// On whose behalf code runs: follows a request from the client through the api-server into the store, so that the checker
// knows who wrote what, also where the answer was lost.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Fence } from "@coxswain/client";

export interface Actor {
  /** The process, as in "scheduler-1". */
  readonly process: string;
  /** Who it is in elections; empty where it takes part in none. */
  readonly identity: string;
  /** The Lease that its kind of process must hold to write, as in "kube-system/kube-scheduler"; empty: none. */
  readonly lease: string;
  readonly fence?: Fence;
  /** The client has given up waiting: what the request still does, it does behind the client's back. */
  abandoned?: boolean;
}

const current = new AsyncLocalStorage<Actor>();

export function actAs<T>(actor: Actor, work: () => T): T {
  return current.run(actor, work);
}

/** Undefined where the api-server acts by itself. */
export function currentActor(): Actor | undefined {
  return current.getStore();
}
