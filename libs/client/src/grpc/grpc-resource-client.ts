// The ResourceClient of processes: coxswain.api.v1.Resources over one channel to one or several api-servers. Guarantees:
// - Errors are the server's own Status; a deadline is Timeout and a lost connection ServiceUnavailable.
// - Reads that fail for lack of a connection are tried on another server; writes only while they have not been sent.
// - A server that stands still is noticed by keepalive within seconds, and the calls that wait for it fail or move on.
import { Channel, Client, credentials, Metadata, type CallOptions, type ClientReadableStream } from "@grpc/grpc-js";
import { isReason, StatusError, type KubeObject, type ResourceRef, type Status } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import {
  API_SERVER_NAME,
  channelOptions,
  channelTarget,
  createCredentials,
} from "@coxswain/component-base/grpc-channel";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { Env } from "@coxswain/env";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";
import type {
  BatchOperation,
  BatchOutcome,
  DeleteOptions,
  Fence,
  ListOptions,
  ListResult,
  ResourceClient,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "../resource-client.ts";
import { batchAnswer, BatchStream, throwIfRefused, type BatchRequest, type BatchResponse } from "./batch-stream.ts";
import { batchRequest, deleteOptionsBytes, resourceName } from "./requests.ts";

type Resources = ServiceTypes["coxswain.api.v1.Resources"];
type UnaryMethod = "get" | "create" | "update" | "patch" | "delete" | "deleteCollection";
type StreamMethod = "list" | "watch";

export interface GrpcResourceClientOptions {
  readonly env: Env;
  readonly logger: Logger;
  /** host:port of the api-servers' gRPC ports. */
  readonly addresses: readonly string[];
  readonly tls: { readonly ca: string | Buffer; readonly cert?: string | Buffer; readonly key?: string | Buffer };
  /** A bearer token in place of a client certificate. */
  readonly token?: string;
  /** The name that the servers' certificates carry. */
  readonly serverName?: string;
  readonly userAgent?: string;
  /** To those addresses; the client closes it. One of its own where unset. */
  readonly channel?: Channel;
  /** How long a call may take; 10,000 where unset. Lists get six times that, watches no limit. */
  readonly timeoutMs?: number;
}

interface Connection {
  readonly options: GrpcResourceClientOptions;
  readonly timeoutMs: number;
  readonly channel: Channel;
  readonly client: Client;
  readonly metadata: Metadata;
  readonly batch: BatchStream;
  /** Of Leases: who has to say in time that it lives must not wait behind the thousands of writes of a busy process. */
  readonly leases: BatchStream;
}

/** The group of Leases. */
const COORDINATION = "coordination.k8s.io";

const READ_ATTEMPTS = 4;
const RETRY_MS = 100;
const definition = serviceDefinition("coxswain.api.v1.Resources");

function methodOf(name: string) {
  const method = Object.values(definition).find((candidate) => candidate.originalName === name);
  if (method === undefined) throw new Error(`Resources has no method ${name}`);
  return method;
}

/** A channel to the api-servers, for a client or several. It connects on first use. */
export function createServerChannel(
  options: Pick<GrpcResourceClientOptions, "addresses" | "serverName" | "tls" | "userAgent">,
): Channel {
  const { addresses, tls, userAgent } = options;
  const text = (pem: string | Buffer | undefined): string | undefined => pem?.toString();
  const target = {
    addresses,
    serverName: options.serverName ?? API_SERVER_NAME,
    tls: { ca: tls.ca.toString(), ...(tls.cert === undefined ? {} : { cert: text(tls.cert), key: text(tls.key) }) },
  };
  return new Channel(channelTarget(addresses), createCredentials(target.tls), {
    ...channelOptions(target),
    ...(userAgent === undefined ? {} : { "grpc.primary_user_agent": userAgent }),
  });
}

function connect(options: GrpcResourceClientOptions): Connection {
  const { addresses, token, env, timeoutMs = 10_000 } = options;
  const channel = options.channel ?? createServerChannel(options);
  // The credentials are the channel's.
  const client = new Client(addresses[0] ?? "", credentials.createInsecure(), { channelOverride: channel });
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const method = methodOf("batch");
  const stream = (): BatchStream =>
    new BatchStream({
      env,
      channel,
      timeoutMs,
      open: () =>
        client.makeBidiStreamRequest<BatchRequest, BatchResponse>(
          method.path,
          method.requestSerialize,
          method.responseDeserialize as (bytes: Buffer) => BatchResponse,
          metadata.clone(),
        ),
      unary: (request) => unaryWrite(connection, request),
    });
  const [batch, leases] = [stream(), stream()];
  const connection: Connection = { options, timeoutMs, channel, client, metadata, batch, leases };
  return connection;
}

function deadline(connection: Connection, factor = 1): CallOptions {
  return { deadline: connection.options.env.clock.now() + connection.timeoutMs * factor };
}

function unary<M extends UnaryMethod>(
  connection: Connection,
  name: M,
  request: Resources[M]["requestInput"],
): Promise<Resources[M]["response"]> {
  const method = methodOf(name);
  return new Promise((resolve, reject) => {
    connection.client.makeUnaryRequest<Resources[M]["requestInput"], Resources[M]["response"]>(
      method.path,
      method.requestSerialize as (request: Resources[M]["requestInput"]) => Buffer,
      method.responseDeserialize as (bytes: Buffer) => Resources[M]["response"],
      request,
      connection.metadata.clone(),
      deadline(connection),
      (error, response) => {
        if (error !== null) reject(statusFromServiceError(error));
        else if (response === undefined) reject(new StatusError("Unknown", 500, "the server sent no answer"));
        else resolve(response);
      },
    );
  });
}

/** A write without the Batch stream, answered in the stream's form. */
async function unaryWrite(connection: Connection, request: BatchRequest): Promise<BatchResponse> {
  const answer = await (request.create
    ? unary(connection, "create", request.create)
    : request.update
      ? unary(connection, "update", request.update)
      : request.patch
        ? unary(connection, "patch", request.patch)
        : unary(connection, "delete", request.delete ?? {}));
  return { id: "", object: answer.object, status: Buffer.alloc(0), more: [] };
}

function stream<M extends StreamMethod>(
  connection: Connection,
  name: M,
  request: Resources[M]["requestInput"],
  options: CallOptions,
): ClientReadableStream<Resources[M]["response"]> {
  const method = methodOf(name);
  return connection.client.makeServerStreamRequest<Resources[M]["requestInput"], Resources[M]["response"]>(
    method.path,
    method.requestSerialize as (request: Resources[M]["requestInput"]) => Buffer,
    method.responseDeserialize as (bytes: Buffer) => Resources[M]["response"],
    request,
    connection.metadata.clone(),
    options,
  );
}

const parse = (json: Buffer | undefined): unknown => JSON.parse((json ?? Buffer.alloc(0)).toString("utf8"));

/** Reads may be repeated: another server, or the same one back again, answers. */
async function retrying<T>(connection: Connection, read: () => Promise<T>): Promise<T> {
  const { env } = connection.options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (attempt >= READ_ATTEMPTS || !isReason(error, "ServiceUnavailable")) throw error;
      await env.timers.sleep(RETRY_MS * attempt * (0.5 + env.random.float()));
    }
  }
}

async function list<T>(connection: Connection, ref: ResourceRef, options: ListOptions): Promise<ListResult<T>> {
  const request = {
    target: resourceName(ref, options.namespace),
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    limit: options.limit,
    continue: options.continue,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
  };
  const items: T[] = [];
  const metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number } = { resourceVersion: "" };
  try {
    for await (const part of stream(connection, "list", request, deadline(connection, 6))) {
      const { resourceVersion, remainingItemCount, items: objects } = part as Resources["list"]["response"];
      const next = (part as Resources["list"]["response"]).continue;
      for (const object of objects) items.push(parse(object.json) as T);
      if (resourceVersion !== "") metadata.resourceVersion = resourceVersion;
      if (next !== "") metadata.continue = next;
      if (Number(remainingItemCount) > 0) metadata.remainingItemCount = Number(remainingItemCount);
    }
  } catch (error) {
    throw statusFromServiceError(error);
  }
  return { metadata, items };
}

function watchEvent<T extends KubeObject>(event: Resources["watch"]["response"]["events"][number]): WatchEvent<T> {
  const { type, resourceVersion } = event;
  if (type === "ERROR") throw StatusError.fromStatus(parse(event.object?.json) as Partial<Status>);
  const json = event.object?.json;
  const object = (json === undefined || json.length === 0 ? {} : parse(json)) as T;
  if (resourceVersion !== "" && object.metadata?.resourceVersion === undefined) {
    object.metadata = { ...object.metadata, resourceVersion };
  }
  return { type: type as WatchEvent<T>["type"], object };
}

async function* watch<T extends KubeObject>(
  connection: Connection,
  ref: ResourceRef,
  options: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  if (signal.aborted) return;
  const request = {
    target: resourceName(ref, options.namespace),
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    allowBookmarks: options.allowBookmarks,
    timeoutSeconds: options.timeoutSeconds,
  };
  const call = stream(connection, "watch", request, {});
  const onAbort = (): void => call.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const response of call) {
      for (const event of (response as Resources["watch"]["response"]).events) {
        if (signal.aborted) return;
        yield watchEvent<T>(event);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error instanceof StatusError ? error : statusFromServiceError(error);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Nobody reads the stream any more; its CANCELLED must not become an uncaught error.
    call.on("error", () => undefined);
    call.cancel();
  }
}

function clientOf(connection: Connection, fence: (() => Fence | undefined) | undefined): ResourceClient {
  const proof = (): Fence | undefined => {
    const current = fence?.();
    if (fence !== undefined && current === undefined) {
      throw new StatusError("Conflict", 409, "this process does not lead, so it does not write");
    }
    return current;
  };
  const submit = async (operation: BatchOperation, options: WriteOptions = {}): Promise<BatchResponse> => {
    const through = operation.ref.group === COORDINATION ? connection.leases : connection.batch;
    return through.submit(batchRequest(operation, options, proof()));
  };
  const write = async <T>(operation: BatchOperation, options: WriteOptions = {}): Promise<T> =>
    batchAnswer(await submit(operation, options)) as T;
  const client: ResourceClient = {
    get: async (ref, target, options = {}) => {
      const { resourceVersion, subresource } = options;
      const request = { target: resourceName(ref, target.namespace, target.name, subresource), resourceVersion };
      return parse((await retrying(connection, () => unary(connection, "get", request))).object?.json) as never;
    },
    list: (ref, options = {}) => retrying(connection, () => list(connection, ref, options)),
    watch: (ref, options, signal) => watch(connection, ref, options, signal),
    create: (ref, object, options = {}) => write({ op: "create", ref, object, ...options }, options),
    update: (ref, object, options = {}) =>
      write({ op: "update", ref, object, subresource: options.subresource }, options),
    patch: (ref, target, type, patch, options = {}) =>
      write({ op: "patch", ref, target, type, patch, subresource: options.subresource }, options),
    delete: async (ref, target, options = {}) => {
      const answer = await write<KubeObject | undefined>({ op: "delete", ref, target, options });
      return answer?.kind === "Status" ? undefined : answer;
    },
    deleteCollection: (ref, selection, options = {}) => deleteCollection(connection, ref, selection, options, proof),
    batch: <T extends KubeObject>(operations: readonly BatchOperation[]) =>
      Promise.all(operations.map((operation) => outcome<T>(submit(operation)))),
    fenced: (current) => clientOf(connection, current),
    close: () => {
      connection.batch.close();
      connection.leases.close();
      connection.client.close();
      return Promise.resolve();
    },
  };
  return client;
}

/** What was written, parsed on demand: most who write in batches do not look. */
class Written<T> {
  readonly ok = true;
  #response: BatchResponse | undefined;
  #object: T | undefined;

  constructor(response: BatchResponse) {
    this.#response = response;
  }

  get object(): T {
    if (this.#response !== undefined) this.#object = batchAnswer(this.#response) as T;
    this.#response = undefined;
    return this.#object as T;
  }
}

async function outcome<T>(submitted: Promise<BatchResponse>): Promise<BatchOutcome<T>> {
  try {
    const response = await submitted;
    throwIfRefused(response);
    return new Written<T>(response);
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error : new Error(String(error)) };
  }
}

async function deleteCollection(
  connection: Connection,
  ref: ResourceRef,
  selection: { namespace?: string; labelSelector?: string; fieldSelector?: string },
  options: DeleteOptions,
  proof: () => Fence | undefined,
): Promise<void> {
  await unary(connection, "deleteCollection", {
    target: resourceName(ref, selection.namespace),
    labelSelector: selection.labelSelector,
    fieldSelector: selection.fieldSelector,
    deleteOptions: deleteOptionsBytes(options),
    options: { fence: proof() ?? null, dryRun: options.dryRun },
  });
}

/** A client that connects on first use. Close it when done. */
export function createGrpcResourceClient(options: GrpcResourceClientOptions): ResourceClient {
  return clientOf(connect(options), undefined);
}
