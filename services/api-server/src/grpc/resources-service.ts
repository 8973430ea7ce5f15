// coxswain.api.v1.Resources over the pipeline. Guarantees: a list goes out in parts of bounded size under one
// resourceVersion; the events of one tick are one message; the operations of a Batch run side by side, and each is answered
// as it ends, so that one slow write holds up no other.
import { StatusError, newBadRequest, newInternalError } from "@coxswain/apimachinery";
import type { Status } from "@coxswain/apimachinery";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import type { CallContext, ResponseStream } from "@coxswain/component-base/grpc-service";
import { nextTurn, type Timers } from "@coxswain/env";
import { structFromJson } from "@coxswain/protos";
import type { ServiceTypes } from "@coxswain/protos";
import type { ApiRequest, ApiResult, Pipeline, PipelineWatchEvent } from "../pipeline/contract.ts";
import type { Caller, ObjectMessage, WatchRequest } from "./resource-requests.ts";
import { slimJson } from "../watch-cache/managed-form.ts";
import { OperationsInFlight } from "./operations-in-flight.ts";
import * as requests from "./resource-requests.ts";

type Methods = ServiceTypes["coxswain.api.v1.Resources"];
type WatchMessage = Methods["watch"]["responseInput"];
type BatchRequest = Methods["batch"]["request"];
type BatchResponse = Methods["batch"]["responseInput"];

const PART_BYTES = 1024 * 1024;
const PART_ITEMS = 1000;
/** Ticks that may wait for a slow reader before it is dropped. */
const MAX_QUEUED_BYTES = 32 * 1024 * 1024;
/** Operations of one Batch call that run at once; further ones wait their turn. Fewer than a flow may have in its queues. */
const MAX_BATCH_IN_FLIGHT = 256;

function callerOf(context: CallContext): Caller {
  const [agent] = context.metadata.get("user-agent");
  // The library's own name comes after the client's.
  const userAgent = (agent?.toString() ?? "").replace(/ ?grpc-node-js\/.*$/, "");
  return { user: context.user, userAgent, signal: context.signal };
}

async function single(pipeline: Pipeline, request: ApiRequest, format: string | undefined): Promise<ObjectMessage> {
  const result = await pipeline.handle(request);
  if (result.type === "list") throw newBadRequest("this call answers one object: name it in target.name");
  return requests.resultMessage(result, format === requests.READABLE);
}

async function sendList(
  result: Extract<ApiResult, { type: "list" }>,
  readable: boolean,
  responses: ResponseStream<Methods["list"]["responseInput"]>,
): Promise<void> {
  const head = {
    resourceVersion: result.resourceVersion,
    continue: result.continue,
    remainingItemCount: result.remainingItemCount ?? 0,
  };
  let items: ObjectMessage[] = [];
  let bytes = 0;
  let sent = false;
  for (const item of result.items) {
    // Lists fill the caches of components, who have no use for who manages what.
    const { json } = item;
    items.push(readable ? requests.objectMessage(item, true) : { json: slimJson(json) });
    bytes += json.length;
    if (bytes < PART_BYTES && items.length < PART_ITEMS) continue;
    await responses.send({ ...head, items });
    sent = true;
    items = [];
    bytes = 0;
  }
  if (items.length > 0 || !sent) await responses.send({ ...head, items });
}

function watchMessage(events: readonly PipelineWatchEvent[], readable: boolean): WatchMessage {
  return {
    events: events.map((event) => ({
      type: event.type,
      resourceVersion: String(event.object.rv),
      object: requests.objectMessage(event.object, readable),
    })),
  };
}

function errorMessage(status: Status, readable: boolean): WatchMessage {
  const object = readable ? { readable: structFromJson(status) } : { json: Buffer.from(JSON.stringify(status)) };
  return { events: [{ type: "ERROR", resourceVersion: "", object }] };
}

/** Resolves when the watch is over and all of it has been sent. */
async function runWatch(
  pipeline: Pipeline,
  request: WatchRequest,
  responses: ResponseStream<WatchMessage>,
  context: CallContext,
): Promise<void> {
  const readable = request.format === requests.READABLE;
  const over = Promise.withResolvers<unknown>();
  const queue: { message: WatchMessage; bytes: number }[] = [];
  let queuedBytes = 0;
  let sending = false;
  let ended = false;
  const drain = async (): Promise<void> => {
    sending = true;
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await responses.send(next.message);
        queuedBytes -= next.bytes;
      }
      if (ended) over.resolve(undefined);
    } catch (error) {
      over.resolve(error);
    } finally {
      sending = false;
    }
  };
  const enqueue = (message: WatchMessage, bytes: number): void => {
    queuedBytes += bytes;
    queue.push({ message, bytes });
    if (!sending) void drain();
  };
  const finish = (): void => {
    ended = true;
    if (!sending) over.resolve(undefined);
  };
  context.signal.addEventListener("abort", finish, { once: true });
  await pipeline.watch(requests.watchRequest(callerOf(context), request), {
    send(events) {
      const bytes = events.reduce((sum, event) => sum + event.object.json.length, 0);
      enqueue(watchMessage(events, readable), bytes);
      return queuedBytes <= MAX_QUEUED_BYTES;
    },
    end(error) {
      if (error !== undefined) enqueue(errorMessage(error, readable), 0);
      finish();
    },
  });
  const failure = await over.promise;
  if (failure !== undefined) throw failure;
}

function batchOperation(caller: Caller, message: BatchRequest): { request: ApiRequest; format: string | undefined } {
  const { create, update, patch } = message;
  if (create) return { request: requests.createRequest(caller, create), format: create.options?.format };
  if (update) return { request: requests.updateRequest(caller, update), format: update.options?.format };
  if (patch) return { request: requests.patchRequest(caller, patch), format: patch.options?.format };
  if (message.delete) {
    return { request: requests.deleteRequest(caller, message.delete), format: message.delete.options?.format };
  }
  throw newBadRequest("an operation is required");
}

async function answerBatch(
  pipeline: Pipeline,
  caller: Caller,
  message: BatchRequest,
  inFlight: OperationsInFlight,
): Promise<BatchResponse> {
  const { id } = message;
  try {
    const { request, format } = batchOperation(caller, message);
    return { id, object: await inFlight.admitted(() => single(pipeline, request, format)) };
  } catch (error) {
    const status = (error instanceof StatusError ? error : newInternalError(error)).toStatus();
    return { id, status: Buffer.from(JSON.stringify(status)) };
  }
}

/** Answers to the operations of one Batch call; those of one turn leave in one message, where the client wants that. */
class Answers {
  readonly #responses: ResponseStream<BatchResponse>;
  readonly #timers: Timers;
  #ready: BatchResponse[] = [];
  #bytes = 0;
  #sent: Promise<void> | undefined;
  together = false;

  constructor(responses: ResponseStream<BatchResponse>, timers: Timers) {
    this.#responses = responses;
    this.#timers = timers;
  }

  /** Resolves when the stream can take more. */
  add(response: BatchResponse): Promise<void> {
    if (!this.together) return this.#responses.send(response);
    this.#ready.push(response);
    this.#bytes += response.object?.json?.length ?? 0;
    if (this.#bytes >= PART_BYTES) return this.#flush();
    return (this.#sent ??= this.#later());
  }

  async #later(): Promise<void> {
    await nextTurn(this.#timers);
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const [first, ...more] = this.#ready;
    this.#ready = [];
    this.#bytes = 0;
    this.#sent = undefined;
    if (first !== undefined) await this.#responses.send({ ...first, more });
  }
}

async function runBatch(
  pipeline: Pipeline,
  timers: Timers,
  messages: AsyncIterable<BatchRequest>,
  responses: ResponseStream<BatchResponse>,
  context: CallContext,
): Promise<void> {
  const caller = callerOf(context);
  const inFlight = new OperationsInFlight(MAX_BATCH_IN_FLIGHT);
  const answers = new Answers(responses, timers);
  let failure: unknown;
  const start = async (operation: BatchRequest): Promise<void> => {
    await inFlight.room();
    inFlight.start(async () => {
      try {
        await answers.add(await answerBatch(pipeline, caller, operation, inFlight));
      } catch (error) {
        failure ??= error;
      }
    });
  };
  for await (const message of messages) {
    if (message.together) answers.together = true;
    await start(message);
    for (const operation of message.more) await start(operation);
  }
  await inFlight.settled();
  if (failure !== undefined) throw failure;
}

/** The service for createGrpcServer. */
export function createResourcesService(pipeline: Pipeline, timers: Timers): GrpcService {
  return implementService("coxswain.api.v1.Resources", {
    get: async (request, context) => ({
      object: await single(pipeline, requests.getRequest(callerOf(context), request), request.format),
    }),
    list: async (request, responses, context) => {
      const result = await pipeline.handle(requests.listRequest(callerOf(context), request));
      if (result.type !== "list") throw newBadRequest("this call answers a list");
      await sendList(result, request.format === requests.READABLE, responses);
    },
    watch: (request, responses, context) => runWatch(pipeline, request, responses, context),
    create: async (request, context) => ({
      object: await single(pipeline, requests.createRequest(callerOf(context), request), request.options?.format),
    }),
    update: async (request, context) => ({
      object: await single(pipeline, requests.updateRequest(callerOf(context), request), request.options?.format),
    }),
    patch: async (request, context) => ({
      object: await single(pipeline, requests.patchRequest(callerOf(context), request), request.options?.format),
    }),
    delete: async (request, context) => ({
      object: await single(pipeline, requests.deleteRequest(callerOf(context), request), request.options?.format),
    }),
    deleteCollection: async (request, context) => {
      const message = requests.deleteCollectionRequest(callerOf(context), request);
      const result = await pipeline.handle(message);
      const readable = request.options?.format === requests.READABLE;
      if (result.type !== "list") return { object: requests.resultMessage(result, readable) };
      const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 200 };
      return {
        object: readable ? { readable: structFromJson(status) } : { json: Buffer.from(JSON.stringify(status)) },
      };
    },
    batch: (messages, responses, context) => runBatch(pipeline, timers, messages, responses, context),
  });
}
