// Load of creations, as lean as the values that etcd3 is given: the server is what is measured, so bodies are put together from text
// that is ready, and of an answer only the outcome is looked at. Both clients send what the usual ones send.
import { connect, type TLSSocket } from "node:tls";
import { Client, credentials } from "@grpc/grpc-js";
import { PODS } from "@coxswain/api";
import { StatusError } from "@coxswain/apimachinery";
import { BatchStream, throwIfRefused, type BatchResponse } from "@coxswain/client/grpc/batch-stream";
import { createServerChannel } from "@coxswain/client/grpc/grpc-resource-client";
import { resourceName } from "@coxswain/client/grpc/requests";
import { createRealEnv } from "@coxswain/env";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";
import { benchPod, NAMESPACE } from "./bench-pod.ts";

type Batch = ServiceTypes["coxswain.api.v1.Resources"]["batch"];

export interface CreateClient {
  /** Creates the pod; rejects where the server refuses it. Any number at once by gRPC, by REST as many as there are connections. */
  create(name: string): Promise<void>;
  close(): void;
}

interface Tls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const TIMEOUT_MS = 10_000;
const NAME = "name-of-the-pod";
const [HEAD = "", TAIL = ""] = JSON.stringify(benchPod(NAME)).split(NAME);

/** JSON of benchPod(name): ASCII. */
function podText(name: string): string {
  return HEAD + name + TAIL;
}

/** Over one Batch stream, as components write. */
export function createGrpcCreates(address: string, tls: Tls): CreateClient {
  const channel = createServerChannel({ addresses: [address], tls });
  const client = new Client(address, credentials.createInsecure(), { channelOverride: channel });
  const method = Object.values(serviceDefinition("coxswain.api.v1.Resources")).find(
    ({ originalName }) => originalName === "batch",
  )!;
  const batch = new BatchStream({
    env: createRealEnv(),
    channel,
    timeoutMs: TIMEOUT_MS,
    open: () =>
      client.makeBidiStreamRequest<Batch["requestInput"], BatchResponse>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize as (bytes: Buffer) => BatchResponse,
      ),
    unary: () => Promise.reject(new Error("the api-server has no Batch")),
  });
  const target = resourceName(PODS, NAMESPACE);
  return {
    async create(name) {
      throwIfRefused(
        await batch.submit({ create: { target, object: { json: Buffer.from(podText(name), "latin1") } } }),
      );
    },
    close() {
      batch.close();
      client.close();
    },
  };
}

const HEAD_END = Buffer.from("\r\n\r\n");

/** One connection that stays open, with one request at a time. */
class HttpConnection {
  readonly #socket: TLSSocket;
  #received: Buffer[] = [];
  /** Bytes of the answer's head and body; 0 before the head has come. */
  #length = 0;
  #got = 0;
  #settle: PromiseWithResolvers<void> | undefined;

  constructor(port: number, tls: Tls) {
    this.#socket = connect({ host: "127.0.0.1", port, ...tls });
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (chunk) => this.#take(chunk));
    this.#socket.on("error", (error) => this.#settle?.reject(error));
    this.#socket.on("close", () => this.#settle?.reject(new Error("the api-server closed the connection")));
  }

  /** Sends a request of ASCII; resolves when all of its answer is there, rejects where its code is not 201. */
  send(request: string): Promise<void> {
    this.#settle = Promise.withResolvers();
    this.#socket.write(request, "latin1");
    return this.#settle.promise;
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#got += chunk.length;
    if (this.#length === 0) {
      const whole = this.#received.length === 1 ? chunk : Buffer.concat(this.#received);
      const end = whole.indexOf(HEAD_END);
      if (end < 0) return;
      const [, body] = /\r\ncontent-length: (\d+)/i.exec(whole.toString("latin1", 0, end)) ?? [];
      this.#length = end + HEAD_END.length + Number(body);
    }
    if (this.#got < this.#length) return;
    const [first] = this.#received;
    const created = first!.toString("latin1", 0, 12) === "HTTP/1.1 201";
    const answer = created ? "" : Buffer.concat(this.#received).toString();
    this.#received = [];
    this.#length = 0;
    this.#got = 0;
    if (created) this.#settle?.resolve();
    else this.#settle?.reject(new StatusError("Unknown", 500, answer));
  }
}

/** Over `connections` connections with TLS. */
export function createRestCreates(port: number, tls: Tls, connections: number): CreateClient {
  const all = Array.from({ length: connections }, () => new HttpConnection(port, tls));
  const idle = [...all];
  const head =
    `POST /api/v1/namespaces/${NAMESPACE}/pods HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: application/json\r\n` +
    "Content-Type: application/json\r\nContent-Length: ";
  return {
    async create(name) {
      const connection = idle.pop();
      if (connection === undefined) throw new Error("more creations at once than connections");
      const body = podText(name);
      await connection.send(`${head}${body.length}\r\n\r\n${body}`);
      idle.push(connection);
    },
    close() {
      for (const connection of all) connection.close();
    },
  };
}
