// What a component is to its process. `createX(deps)` in a service's app.ts returns a ComponentApp; main.ts makes the real
// deps and hands both to runComponent.
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Env } from "@coxswain/env";

/** Structured logging: a constant message, variable keys. */
export interface Logger {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Drops everything; for tests and the simulator. */
export const silentLogger: Logger = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};

/**
 * A metrics sink, so that app code needs no metrics library. Names follow Prometheus conventions. `of` gives the series with some
 * labels, for who counts so often that looking the labels up each time would show.
 */
export interface Metrics {
  counter(
    name: string,
    help: string,
    labels?: readonly string[],
  ): {
    inc(labels?: Record<string, string>, by?: number): void;
    of(labels: Record<string, string>): { inc(by?: number): void };
  };
  gauge(
    name: string,
    help: string,
    labels?: readonly string[],
  ): {
    set(value: number, labels?: Record<string, string>): void;
    of(labels: Record<string, string>): { set(value: number): void };
    /** The series with these labels is told no more. */
    remove(labels: Record<string, string>): void;
  };
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly string[],
  ): {
    observe(value: number, labels?: Record<string, string>): void;
    of(labels: Record<string, string>): { observe(value: number): void };
  };
}

export const noMetrics: Metrics = {
  counter: () => ({ inc: () => {}, of: () => ({ inc: () => {} }) }),
  gauge: () => ({ set: () => {}, remove: () => {}, of: () => ({ set: () => {} }) }),
  histogram: () => ({ observe: () => {}, of: () => ({ observe: () => {} }) }),
};

/** What every createX(deps) gets. */
export interface BaseDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface GrpcService {
  /** Fully qualified, as in "coxswain.scheduler.v1.Scheduler". */
  readonly service: string;
  readonly implementation: UntypedServiceImplementation;
}

export interface ComponentApp {
  readonly grpcServices: readonly GrpcService[];
  /** Undefined when fine, else what is wrong. `readyz` runs all; `livez` runs those whose name starts with "live-". */
  readonly checks: Readonly<Record<string, () => string | undefined>>;
  /** For Component.GetInfo. */
  leader?(): boolean;
  facts?(): Record<string, string>;
  /** Works until `signal` aborts, then ends cleanly. A rejection ends the process with a message and exit code 1. */
  run(signal: AbortSignal): Promise<void>;
}

/** Who is calling, as TLS or a token proved it. */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** `count` bounds of a histogram, from `first` on, each twice the one before. */
export function doublingBuckets(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => first * 2 ** at);
}
