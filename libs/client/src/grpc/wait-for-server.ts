// Waits until an api-server serves, as its own health service tells: a component that starts beside its api-server would
// otherwise ask again and again, be refused, and wait longer after each time.
import { Channel, Client, Metadata } from "@grpc/grpc-js";
import {
  API_SERVER_NAME,
  channelOptions,
  channelTarget,
  createCredentials,
} from "@coxswain/component-base/grpc-channel";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import { isAbort, type Env } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import type { HealthCheckResponse } from "@coxswain/protos/grpc-health-v1.gen";

export interface WaitForServerOptions {
  readonly env: Env;
  /** host:port of the api-servers' gRPC ports. */
  readonly addresses: readonly string[];
  readonly tls: TlsMaterial;
  /** How long to wait at most. */
  readonly timeoutMs: number;
}

/** A server that is about to start is found soon; one that stays away is not asked often. */
const RECONNECT = { "grpc.initial_reconnect_backoff_ms": 20, "grpc.max_reconnect_backoff_ms": 100 };
const AGAIN_MS = 20;

/**
 * True where one of the servers serves; false after `timeoutMs`, or where `signal` aborted: what the caller does then must
 * bear that the servers are away. Never rejects.
 */
export async function waitForServer(options: WaitForServerOptions, signal: AbortSignal): Promise<boolean> {
  const { env, addresses, tls, timeoutMs } = options;
  const credentials = createCredentials(tls);
  const channel = new Channel(channelTarget(addresses), credentials, {
    ...channelOptions({ addresses, serverName: API_SERVER_NAME, tls }),
    ...RECONNECT,
  });
  const client = new Client(addresses[0] ?? "", credentials, { channelOverride: channel });
  const until = env.clock.now() + timeoutMs;
  try {
    while (!signal.aborted && env.clock.now() < until) {
      if (await served(client, until, signal)) return true;
      await env.timers.sleep(AGAIN_MS, signal);
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  } finally {
    client.close();
  }
  return false;
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
