// A controller: informers feed keys into a queue, `reconcile` makes one key's actual state the desired one.
import type { Env } from "@coxswain/env";
import type { Logger, Metrics } from "@coxswain/component-base";

export interface ReconcileResult {
  /** Look again after this long, even without an event. */
  readonly requeueAfterMs?: number;
}

export interface ControllerSpec {
  readonly name: string;
  /** Level-triggered, idempotent. A rejection requeues the key with backoff. */
  reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void>;
  /** How many keys at once; 1 where unset. */
  readonly workers?: number;
}

export interface ControllerState {
  readonly name: string;
  readonly paused: boolean;
  readonly queueDepth: number;
  readonly reconciles: number;
  readonly errors: number;
  readonly lastError: string;
}

export interface Controller {
  readonly name: string;
  enqueue(key: string): void;
  enqueueAfter(key: string, ms: number): void;
  run(signal: AbortSignal): Promise<void>;
  pause(): void;
  resume(): void;
  /** While paused: reconciles one key; its key and error text. */
  step(): Promise<{ key: string; error: string }>;
  state(): ControllerState;
  queue(): { keys: { key: string; requeues: number; readyInMs: number }[]; processing: string[] };
}

export interface ControllerDeps {
  readonly env: Env;
  readonly logger: Logger;
  /** Where the queue and its work are counted, under upstream's names. */
  readonly metrics?: Metrics;
}
