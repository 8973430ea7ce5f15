// Is a process ready? Asked the way its users would ask: /readyz over TLS for ours and etcd's /health with a client
// certificate; for NATS, the greeting that a server sends to whoever connects.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { connect } from "node:net";
import path from "node:path";
import { createSecureContext } from "node:tls";
import type { ProcessSpec } from "./process-plan.ts";

const PROBE_TIMEOUT_MS = 3_000;

/** The api-server answered something else than 200. */
export class NotOkError extends Error {
  override readonly name = "NotOkError";
}

export interface Prober {
  /** Undefined where it is ready, else what is missing. Never rejects. */
  probe(spec: ProcessSpec, kind: "ready" | "live"): Promise<string | undefined>;
  /** GET on the api-server as the cluster's admin; the parsed body. Rejects with NotOkError on any answer but 200. */
  getJson(port: number, path: string): Promise<unknown>;
  close(): void;
}

/** Probes with the admin's certificate from `pkiDir`. `containerdSocket` says where a node's containerd is found. */
export function createProber(pkiDir: string, containerdSocket?: (node: string) => string): Prober {
  const file = (name: string): Buffer => readFileSync(path.join(pkiDir, name));
  // Made once: to read certificates costs as much as a connection.
  const secureContext = createSecureContext({ ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") });
  const agent = new Agent({ secureContext, keepAlive: true, maxSockets: 4 });

  function get(port: number, where: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      // The certificate names every process "localhost", whatever port it has.
      const call = request(
        { agent, host: "127.0.0.1", servername: "localhost", port, path: where, timeout: PROBE_TIMEOUT_MS },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.once("error", reject);
          response.once("end", () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
          );
        },
      );
      call.once("timeout", () => call.destroy(new Error(`no answer within ${PROBE_TIMEOUT_MS} ms`)));
      call.once("error", reject);
      call.end();
    });
  }

  return {
    async probe(spec, kind) {
      try {
        if (spec.component === "containerd") return await accepts(containerdSocket?.(spec.node) ?? "");
        // It listens nowhere: that it runs is all that can be said.
        if (spec.component === "egress" || spec.component === "image-puller") return undefined;
        if (spec.component === "nats") return await greeting(spec.ports.main);
        const where = spec.component === "etcd" ? "/health" : kind === "ready" ? "/readyz" : "/livez";
        const { status, body } = await get(spec.ports.main, where);
        return status === 200 ? undefined : `${where} answered ${status}: ${body.trim().slice(0, 300)}`;
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    },
    async getJson(port, where) {
      const { status, body } = await get(port, where);
      if (status !== 200) throw new NotOkError(`GET ${where}: ${status}: ${body.slice(0, 300)}`);
      return JSON.parse(body) as unknown;
    },
    close: () => agent.destroy(),
  };
}

function greeting(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const finish = (missing: string | undefined): void => {
      socket.destroy();
      resolve(missing);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => finish("no greeting"));
    socket.once("error", (error) => finish(error.message));
    // The gateway takes every connection, and closes it where nobody stands behind the port.
    socket.once("end", () => finish("no greeting"));
    socket.once("data", (data: Buffer) =>
      finish(data.subarray(0, 4).toString("latin1") === "INFO" ? undefined : "not a NATS server"),
    );
  });
}

/** containerd listens when all of its plugins are loaded. */
function accepts(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const finish = (missing: string | undefined): void => {
      socket.destroy();
      resolve(missing);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => finish("no connection"));
    socket.once("error", (error) => finish(error.message));
    socket.once("connect", () => finish(undefined));
  });
}
