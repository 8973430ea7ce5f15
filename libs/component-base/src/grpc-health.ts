// grpc.health.v1 over one question, "is this process ready?". A watcher hears within a second that it is no more, and at once
// that it is: processes that start together wait for each other here.
import type { Timers } from "@coxswain/env";
import { StatusError } from "@coxswain/apimachinery";
import type { GrpcService } from "./contract.ts";
import { implementService } from "./grpc-service.ts";

export interface HealthOptions {
  /** Fully qualified names that may be asked for; "" (the process) always may. */
  readonly services: readonly string[];
  readonly ready: () => boolean;
  readonly timers: Timers;
  /** Ends all watches. */
  readonly signal: AbortSignal;
}

/** How often a watch looks while the process is ready, and while it is not. The question costs no I/O. */
const POLL_READY_MS = 500;
const POLL_UNREADY_MS = 10;

/** An unknown service is NOT_FOUND for Check and SERVICE_UNKNOWN for Watch, as the protocol has it. */
export function createHealthService(options: HealthOptions): GrpcService {
  const known = new Set(["", ...options.services]);
  const statusOf = (service: string): "SERVING" | "NOT_SERVING" | undefined =>
    known.has(service) ? (options.ready() ? "SERVING" : "NOT_SERVING") : undefined;

  return implementService("grpc.health.v1.Health", {
    check: async ({ service }) => {
      const status = statusOf(service);
      if (status === undefined) throw unknownService(service);
      return { status };
    },
    watch: async ({ service }, responses, { signal }) => {
      const ended = AbortSignal.any([signal, options.signal]);
      let last: string | undefined;
      while (!ended.aborted) {
        const status = statusOf(service) ?? "SERVICE_UNKNOWN";
        if (status !== last) await responses.send({ status });
        last = status;
        await options.timers.sleep(status === "NOT_SERVING" ? POLL_UNREADY_MS : POLL_READY_MS, ended);
      }
    },
  });
}

function unknownService(service: string): Error {
  return new StatusError("NotFound", 404, `unknown service ${service}`);
}
