// Client channels: TLS with this process's certificate, one or several servers behind one channel, and keepalive, so that a
// frozen peer is found in seconds and calls move on to the next server.
import { isIPv4, isIPv6 } from "node:net";
import { Channel, ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import type { TlsMaterial } from "./tls-files.ts";

export interface ChannelTarget {
  /** host:port. Several must all be IPv4 addresses or all IPv6 ones; a single host name may stand for several addresses. */
  readonly addresses: readonly string[];
  /** The name that the server's certificate must carry. Defaults to the host name, or localhost for addresses. */
  readonly serverName?: string;
  readonly tls: Pick<TlsMaterial, "ca"> & Partial<TlsMaterial>;
  /** How long after the last answer a peer is asked whether it lives. Defaults to 2 s. */
  readonly keepaliveMs?: number;
  /** How long it may take to answer that. Defaults to 5 s. */
  readonly keepaliveTimeoutMs?: number;
}

/** The name in every api-server's certificate, whatever its address. */
export const API_SERVER_NAME = "kubernetes";

const WINDOW_BYTES = 4 << 20;
const KEEPALIVE_MS = 2_000;
/** A busy peer is not a dead one; but a leader has 8 s after a renewal fell due to find another server. */
const KEEPALIVE_TIMEOUT_MS = 5_000;
const SERVICE_CONFIG = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}

/** grpc-js's target for one or several host:port addresses. Throws RangeError where they cannot share a channel. */
export function channelTarget(addresses: readonly string[]): string {
  const hosts = addresses.map(hostOf);
  if (addresses.length === 0) throw new RangeError("a channel needs an address");
  if (hosts.every((host) => isIPv4(host))) return `ipv4:${addresses.join(",")}`;
  if (hosts.every((host) => isIPv6(host))) return `ipv6:${addresses.join(",")}`;
  if (addresses.length === 1) return `dns:///${addresses[0]}`;
  throw new RangeError(`addresses of one channel must be of one kind: ${addresses.join(", ")}`);
}

export function createCredentials(tls: ChannelTarget["tls"]): ChannelCredentials {
  const buffer = (pem: string | Buffer | undefined): Buffer | null => (pem === undefined ? null : Buffer.from(pem));
  return ChannelCredentials.createSsl(buffer(tls.ca), buffer(tls.key), buffer(tls.cert));
}

export function channelOptions(target: ChannelTarget): ChannelOptions {
  // Every certificate of a cluster carries localhost; TLS has no server names that are addresses.
  const byAddress = target.addresses.every((address) => isIPv4(hostOf(address)) || isIPv6(hostOf(address)));
  const serverName = target.serverName ?? (byAddress ? "localhost" : undefined);
  return {
    ...(serverName !== undefined && {
      "grpc.ssl_target_name_override": serverName,
      "grpc.default_authority": serverName,
    }),
    "grpc.service_config": SERVICE_CONFIG,
    "grpc.service_config_disable_resolution": 1,
    "grpc.keepalive_time_ms": target.keepaliveMs ?? KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": target.keepaliveTimeoutMs ?? KEEPALIVE_TIMEOUT_MS,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.enable_retries": 0,
    "grpc.enable_channelz": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.use_local_subchannel_pool": 1,
    "grpc-node.flow_control_window": WINDOW_BYTES,
  };
}

/** A channel that connects on first use. The caller closes it. */
export function createChannel(target: ChannelTarget): Channel {
  return new Channel(channelTarget(target.addresses), createCredentials(target.tls), channelOptions(target));
}
