// One TCP connection, closed as soon as it stands.
import { connect } from "node:net";
import type { Timers } from "@coxswain/env";
import type { ProbeResult } from "./contract.ts";
import { dialError, hostPort } from "./dial-error.ts";

export async function probeTcp(host: string, port: number, timeoutMs: number, timers: Timers): Promise<ProbeResult> {
  const { promise, resolve } = Promise.withResolvers<ProbeResult>();
  const socket = connect({ host, port });
  const timer = timers.setTimeout(
    () => resolve({ outcome: "failure", output: `dial tcp ${hostPort(host, port)}: i/o timeout` }),
    timeoutMs,
  );
  socket.on("connect", () => resolve({ outcome: "success", output: "" }));
  socket.on("error", (error) => resolve({ outcome: "failure", output: dialError(error, host, port) }));
  try {
    return await promise;
  } finally {
    timers.clear(timer);
    socket.destroy();
  }
}
