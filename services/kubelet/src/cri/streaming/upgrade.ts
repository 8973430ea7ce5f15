// Opens a connection to the URL that a runtime gave for a stream, and upgrades it to SPDY.
import { request } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { AbortError } from "@coxswain/env";
import { CriError } from "../contract.ts";
import { SpdyConnection } from "./spdy-connection.ts";

/** Connects to a TCP address. */
export type Dial = (host: string, port: number) => Duplex;

export const dialTcp: Dial = (host, port) => connect({ host, port, noDelay: true });

const MAX_REFUSAL_BYTES = 4096;

/** Rejects with CriError, or AbortError where `signal` aborts; then the connection is gone, too, as it is later on. */
export function upgradeToSpdy(url: string, protocol: string, dial: Dial, signal: AbortSignal): Promise<SpdyConnection> {
  const { hostname, port, pathname, search, protocol: scheme } = new URL(url);
  if (scheme !== "http:") {
    return Promise.reject(new CriError("Unimplemented", `streaming over ${scheme}// is not supported: ${url}`));
  }
  return new Promise((resolve, reject) => {
    const outgoing = request({
      method: "POST",
      path: `${pathname}${search}`,
      headers: {
        host: `${hostname}:${port}`,
        connection: "Upgrade",
        upgrade: "SPDY/3.1",
        "x-stream-protocol-version": protocol,
        "content-length": "0",
      },
      createConnection: () => dial(hostname.replace(/^\[|\]$/g, ""), Number(port || "80")),
      signal,
    });
    outgoing.once("upgrade", (_response, socket, head) => {
      const connection = new SpdyConnection(socket, head);
      signal.addEventListener("abort", () => connection.close(), { once: true });
      resolve(connection);
    });
    outgoing.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text = `${text}${part}`.slice(0, MAX_REFUSAL_BYTES)));
      const refuse = (): void => {
        outgoing.destroy();
        reject(new CriError("Internal", `the runtime refused to stream: ${response.statusCode} ${text.trim()}`));
      };
      response.once("close", refuse);
    });
    outgoing.once("error", (error) => {
      if (signal.aborted) reject(new AbortError("aborted", { cause: error }));
      else reject(new CriError("Unavailable", `could not reach the runtime's streaming server: ${error.message}`));
    });
    outgoing.end();
  });
}
