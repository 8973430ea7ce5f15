// Waits until an api-server serves, as its own health service tells: a component that starts beside its api-server would
// otherwise ask again and again, be refused, and wait longer after each time. Until something listens there, plain connections
// are tried: a refused one costs next to nothing, and a refused gRPC channel a millisecond of processor.
import { connect } from "node:net";
import { Client, credentials, Metadata, type Channel } from "@grpc/grpc-js";
import { isAbort, type Env } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import type { HealthCheckResponse } from "@coxswain/protos/grpc-health-v1.gen";

export interface WaitForServerOptions {
  readonly env: Env;
  /** host:port of the api-servers' gRPC ports. */
  readonly addresses: readonly string[];
  /** To them; it stays open. Whoever goes on with it has then connected already. */
  readonly channel: Channel;
  /** How long to wait at most. */
  readonly timeoutMs: number;
}

const AGAIN_MS = 20;
/** A connection that is neither taken nor refused by then is given up. */
const CONNECT_MS = 1_000;

/**
 * True where one of the servers serves; false after `timeoutMs`, or where `signal` aborted: what the caller does then must
 * bear that the servers are away. Never rejects.
 */
export async function waitForServer(options: WaitForServerOptions, signal: AbortSignal): Promise<boolean> {
  const { env, addresses, channel, timeoutMs } = options;
  const until = env.clock.now() + timeoutMs;
  try {
    while (!signal.aborted && env.clock.now() < until) {
      if (await anyListens(addresses)) break;
      await env.timers.sleep(AGAIN_MS, signal);
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
  // The credentials are the channel's.
  const client = new Client(addresses[0] ?? "", credentials.createInsecure(), { channelOverride: channel });
  try {
    while (!signal.aborted && env.clock.now() < until) {
      if (await served(client, until, signal)) return true;
      await env.timers.sleep(AGAIN_MS, signal);
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
  return false;
}

/** Whether one of the addresses takes connections. */
function anyListens(addresses: readonly string[]): Promise<boolean> {
  const listening = addresses.map(async (address) => {
    if (!(await listens(address))) throw new Error(`nothing listens at ${address}`);
  });
  return Promise.any(listening).then(
    () => true,
    () => false,
  );
}

function listens(address: string): Promise<boolean> {
  const at = address.lastIndexOf(":");
  const socket = connect({ host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) });
  return new Promise((resolve) => {
    const finish = (taken: boolean): void => {
      socket.destroy();
      resolve(taken);
    };
    socket.setTimeout(CONNECT_MS, () => finish(false));
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });
}

/** Follows the health of a server until it serves, or the call ends. */
async function served(client: Client, until: number, signal: AbortSignal): Promise<boolean> {
  const watch = serviceDefinition("grpc.health.v1.Health")["Watch"];
  if (watch === undefined) throw new Error("Health has no method Watch");
  const call = client.makeServerStreamRequest<{ service: string }, HealthCheckResponse>(
    watch.path,
    watch.requestSerialize,
    watch.responseDeserialize as (bytes: Buffer) => HealthCheckResponse,
    { service: "" },
    new Metadata({ waitForReady: true }),
    { deadline: until },
  );
  const cancel = (): void => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for await (const { status } of call as AsyncIterable<HealthCheckResponse>) if (status === "SERVING") return true;
    return false;
  } catch {
    // The connection was lost, or the time is up: the caller looks at the time.
    return false;
  } finally {
    signal.removeEventListener("abort", cancel);
    call.cancel();
  }
}
