// Workqueue, leader election and event recording: what controllers share.
import type { KubeObject } from "@coxswain/apimachinery";
import type { Fence } from "./resource-client.ts";

/**
 * A queue of distinct keys. A key that is added while it is being processed is handed out again afterwards, never to two
 * workers at once. https://pkg.go.dev/k8s.io/client-go/util/workqueue
 */
export interface WorkQueue {
  add(key: string): void;
  addAfter(key: string, ms: number): void;
  /** Adds after an exponential backoff of the key's own (5 ms · 2^n, at most 1000 s). */
  addRateLimited(key: string): void;
  forget(key: string): void;
  numRequeues(key: string): number;
  /** The next key; undefined once the queue is shut down and empty. */
  get(): Promise<string | undefined>;
  done(key: string): void;
  readonly length: number;
  shutDown(): void;
  snapshot(): { keys: { key: string; requeues: number; readyInMs: number }[]; processing: string[] };
}

/** https://kubernetes.io/docs/concepts/architecture/leases/ */
export interface LeaderElector {
  /**
   * Campaigns until `signal` aborts. Each time it leads, calls `lead` with a signal that aborts when leadership is lost
   * or could not be renewed in time; waits for `lead` to settle before it campaigns again. Releases the Lease on abort.
   */
  run(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  isLeader(): boolean;
  /** The present holder, as far as known. */
  leader(): string;
  /** The proof that this process leads; undefined while it does not. */
  fence(): Fence | undefined;
}

export interface LeaderElectionOptions {
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  /** 15,000 / 10,000 / 2,000 as upstream where unset. */
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
}

export interface EventOptions {
  /** The part of the object, as in "spec.containers{web}". */
  readonly fieldPath?: string;
  /** The node that reports, in place of the recorder's own. */
  readonly host?: string;
}

/** Records core/v1 Events; the same event again raises its count. Never rejects, never blocks its caller. */
export interface EventRecorder {
  event(about: KubeObject, type: "Normal" | "Warning", reason: string, message: string, options?: EventOptions): void;
  /** Resolves when all recorded events have been sent or dropped. */
  flush(): Promise<void>;
}
