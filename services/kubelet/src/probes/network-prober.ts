// The real NetworkProber: sockets of this process, which lives in its node's network namespace.
import type { Timers } from "@coxswain/env";
import type { NetworkProber } from "./contract.ts";
import { probeGrpc } from "./grpc-probe.ts";
import { httpGet, probeHttp } from "./http-probe.ts";
import { probeTcp } from "./tcp-probe.ts";

export function createNetworkProber(timers: Timers): NetworkProber {
  return {
    http: (target, timeoutMs) => probeHttp(target, timeoutMs, timers),
    get: async (target, timeoutMs, signal) => {
      await httpGet(target, timers.timeoutSignal(timeoutMs, signal));
    },
    tcp: (host, port, timeoutMs) => probeTcp(host, port, timeoutMs, timers),
    grpc: (host, port, service, timeoutMs) => probeGrpc({ host, port, service }, timeoutMs, timers),
  };
}
