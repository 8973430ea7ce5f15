// The api-servers as clients see them: places that are up, frozen or gone. Guarantees:
// - Connections to a server that dies break at once; to one that freezes, after the keepalive's time.
// - A client that is sent away from one place finds the other, if it is up.
import type { Pipeline } from "@coxswain/api-server/pipeline/contract";
import type { Env } from "@coxswain/env";
import type { SimProcess } from "./sim-process.ts";

/** How long a silent server is waited for, as gRPC's keepalive is set. */
const KEEPALIVE_MS = 6_000;

export interface Incarnation {
  readonly process: SimProcess;
  readonly pipeline: Pipeline;
  /** Aborts when the connections made until now break. */
  connections: AbortController;
  hung: boolean;
}

export class ApiEndpoints {
  readonly #base: Env;
  readonly #places = new Map<string, Incarnation>();

  constructor(base: Env) {
    this.#base = base;
  }

  up(process: SimProcess, pipeline: Pipeline): void {
    const incarnation: Incarnation = { process, pipeline, connections: new AbortController(), hung: false };
    this.#places.set(process.name, incarnation);
    process.onDeath(() => {
      if (this.#places.get(process.name) === incarnation) this.#places.delete(process.name);
      incarnation.connections.abort();
    });
  }

  /** The server of that name has been frozen: unless it is thawed in time, its clients leave it. */
  watchFrozen(name: string): void {
    const incarnation = this.#places.get(name);
    if (incarnation === undefined) return;
    this.#base.timers.setTimeout(() => {
      if (!incarnation.process.frozen) return;
      incarnation.hung = true;
      this.#cut(incarnation);
    }, KEEPALIVE_MS);
  }

  thawed(name: string): void {
    const incarnation = this.#places.get(name);
    if (incarnation !== undefined) incarnation.hung = false;
  }

  /** Breaks all connections to the server of that name; new ones can be made at once. */
  cutConnections(name: string): void {
    const incarnation = this.#places.get(name);
    if (incarnation !== undefined) this.#cut(incarnation);
  }

  /** `preferred` where it can be reached, else another. */
  pick(preferred: string): Incarnation | undefined {
    const first = this.#places.get(preferred);
    if (first !== undefined && !first.hung) return first;
    return this.#places.values().find((one) => !one.hung);
  }

  #cut(incarnation: Incarnation): void {
    const broken = incarnation.connections;
    incarnation.connections = new AbortController();
    broken.abort();
  }
}
