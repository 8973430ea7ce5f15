// The event bus on NATS. Guarantees: start-up never waits for the server; it connects in the background and reconnects
// for ever with jitter; what is published while disconnected is dropped, never sent late.
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { connect, type NatsConnection, type Subscription, type TlsOptions } from "@nats-io/transport-node";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { BusMessage, BusSubscription, EventBus } from "../contract.ts";
import { isSubject } from "../subject.ts";

const SCHEME = /^(nats|tls):\/\//;
const RETRY_MS = 250;
const CONNECT_TIMEOUT_MS = 3_000;
const PING_INTERVAL_MS = 5_000;

export interface NatsBusOptions {
  readonly env: Env;
  readonly logger: Logger;
  /** "127.0.0.1:4222", one or several of one cluster. */
  readonly servers: readonly string[];
  /** PEM. */
  readonly tls?: { readonly ca: string | Buffer; readonly cert: string | Buffer; readonly key: string | Buffer };
  /** What the server calls this connection in its own monitoring. */
  readonly name: string;
}

const LINE_BREAK = /[\r\n]/;

/** As they go over the wire: of headers that are sent, the library wants nothing but their bytes, and takes longer to make them. */
function wireHeaders(headers: Readonly<Record<string, string>>): MsgHdrs {
  let text = "NATS/1.0\r\n";
  for (const [key, value] of Object.entries(headers)) {
    if (LINE_BREAK.test(value)) throw new Error(`a line break in the header ${key}`);
    text += `${key}: ${value}\r\n`;
  }
  const bytes = Buffer.from(`${text}\r\n`);
  return { encode: () => bytes } as unknown as MsgHdrs;
}

/** What the library keeps of a message before anybody asks for its headers. */
interface RawMessage {
  readonly _rdata?: Uint8Array;
  readonly _msg?: { readonly hdr?: number };
}

/** From their bytes, where the library still keeps those: it reads them for the rules of HTTP, and takes four times as long. */
function heardHeaders(message: Msg): Record<string, string> {
  const { _rdata: bytes, _msg: { hdr: length } = {} } = message as RawMessage;
  if (bytes !== undefined && length !== undefined) return length > 0 ? headersIn(bytes, length) : {};
  const headers: Record<string, string> = {};
  for (const key of message.headers?.keys() ?? []) headers[key] = message.headers!.get(key);
  return headers;
}

/** Of the first `length` bytes: the protocol's line, then one line a header, and an empty one. */
function headersIn({ buffer, byteOffset }: Uint8Array, length: number): Record<string, string> {
  const headers: Record<string, string> = {};
  const text = Buffer.from(buffer, byteOffset, length).toString();
  for (let at = text.indexOf("\r\n") + 2; at > 1 && at < text.length;) {
    const end = text.indexOf("\r\n", at);
    const colon = text.indexOf(":", at);
    if (end <= at) break;
    if (colon >= at && colon < end) headers[text.slice(at, colon)] = text.slice(colon + 1, end).trim();
    at = end + 2;
  }
  return headers;
}

/** Returns at once; `connected` and `onConnection` tell when it is of use. */
export function createNatsBus(options: NatsBusOptions): EventBus {
  return new NatsBus(options);
}

/**
 * The NATS library gives Node no name to verify where a server is named by address, and Node then expects "localhost".
 * So the certificate has to name one of the servers that were asked for, by name or by address.
 */
function tlsOptions(tls: NonNullable<NatsBusOptions["tls"]>, servers: readonly string[]): TlsOptions {
  const hosts = servers.map((server) =>
    new URL(`tls://${server.replace(SCHEME, "")}`).hostname.replace(/^\[|\]$/g, ""),
  );
  const options = {
    ca: String(tls.ca),
    cert: String(tls.cert),
    key: String(tls.key),
    checkServerIdentity: (_host: string, certificate: PeerCertificate): Error | undefined => {
      const failures = hosts.map((host) => checkServerIdentity(host, certificate));
      return failures.includes(undefined) ? undefined : failures[0];
    },
  };
  return options;
}

interface Registration {
  readonly pattern: string;
  readonly onMessage: (message: BusMessage) => void;
  live: Subscription | undefined;
}

class NatsBus implements EventBus {
  readonly #options: NatsBusOptions;
  readonly #registrations = new Set<Registration>();
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #closed = new AbortController();
  readonly #loop: Promise<void>;
  #connection: NatsConnection | undefined;
  #connected = false;

  constructor(options: NatsBusOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  get connected(): boolean {
    return this.#connected;
  }

  async #run(): Promise<void> {
    const { env, logger, servers } = this.#options;
    while (!this.#closed.signal.aborted) {
      try {
        const connection = await this.#connect();
        await this.#serve(connection);
      } catch (error) {
        logger.debug({ servers, error: String(error) }, "NATS cannot be reached, trying again");
      }
      this.#setConnected(false);
      const wait = RETRY_MS * (0.5 + env.random.float());
      await env.timers.sleep(wait, this.#closed.signal).catch(() => undefined);
    }
  }

  #connect(): Promise<NatsConnection> {
    const { name, servers, tls } = this.#options;
    return connect({
      name,
      servers: servers.map((server) => server.replace(SCHEME, "")),
      tls: tls === undefined ? undefined : tlsOptions(tls, servers),
      timeout: CONNECT_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RETRY_MS,
      reconnectJitter: RETRY_MS,
      reconnectJitterTLS: RETRY_MS,
      ignoreAuthErrorAbort: true,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: 2,
    });
  }

  /** Lives with one connection, reconnects included, until it is closed. */
  async #serve(connection: NatsConnection): Promise<void> {
    if (this.#closed.signal.aborted) {
      await connection.close();
      return;
    }
    this.#connection = connection;
    for (const registration of this.#registrations) this.#attach(connection, registration);
    this.#setConnected(true);
    const { logger } = this.#options;
    for await (const status of connection.status()) {
      if (status.type === "disconnect") this.#setConnected(false);
      if (status.type === "reconnect") this.#setConnected(true);
      if (status.type === "error") logger.warn({ error: String(status.error) }, "NATS refused something");
    }
    await connection.closed();
    this.#connection = undefined;
    for (const registration of this.#registrations) registration.live = undefined;
  }

  #attach(connection: NatsConnection, registration: Registration): void {
    registration.live = connection.subscribe(registration.pattern, {
      callback: (error, message) => {
        if (error !== null) {
          const { pattern } = registration;
          this.#options.logger.warn({ pattern, error: String(error) }, "a subscription failed");
          return;
        }
        const { buffer, byteOffset, byteLength } = message.data;
        const data = Buffer.from(buffer, byteOffset, byteLength);
        registration.onMessage({ subject: message.subject, headers: heardHeaders(message), data });
      },
    });
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    for (const listener of this.#listeners.values().toArray()) listener(connected);
  }

  publish(subject: string, headers: Readonly<Record<string, string>>, data: Buffer): void {
    if (!isSubject(subject)) throw new Error(`${JSON.stringify(subject)} is not a subject to publish to`);
    const connection = this.#connection;
    if (connection === undefined || !this.#connected || connection.isDraining() || connection.isClosed()) return;
    connection.publish(subject, data, { headers: wireHeaders(headers) });
  }

  subscribe(pattern: string, onMessage: (message: BusMessage) => void): BusSubscription {
    const registration: Registration = { pattern, onMessage, live: undefined };
    this.#registrations.add(registration);
    const connection = this.#connection;
    if (connection !== undefined && !connection.isClosed()) this.#attach(connection, registration);
    return {
      unsubscribe: () => {
        this.#registrations.delete(registration);
        registration.live?.unsubscribe();
      },
    };
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async flush(): Promise<void> {
    if (this.#connection === undefined || !this.#connected) throw new Error("the event bus is not connected");
    await this.#connection.flush();
  }

  /** Hands over what is queued where there is a server, and closes. A server that leaves meanwhile does not hinder it. */
  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return this.#loop;
    this.#closed.abort();
    const connection = this.#connection;
    if (connection !== undefined && !connection.isClosed()) await this.#leave(connection);
    await this.#loop;
  }

  async #leave(connection: NatsConnection): Promise<void> {
    if (this.#connected) {
      try {
        return await connection.drain();
      } catch (error) {
        // The server went before the bus heard of it: what was queued is dropped, as always while disconnected.
        this.#options.logger.debug({ error: String(error) }, "NATS left before the queue was handed over");
      }
    }
    await connection.close();
  }
}
