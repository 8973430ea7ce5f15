// A ResourceClient that calls the pipeline directly: for the api-server's own needs, for tests and for the simulator. It
// takes and gives objects of their own, as a wire would, and its edge can lose, delay or refuse calls.
import {
  apiVersionOf,
  newServiceUnavailable,
  StatusError,
  type KubeObject,
  type ResourceRef,
} from "@coxswain/apimachinery";
import type {
  BatchOperation,
  BatchOutcome,
  DeleteOptions,
  Fence,
  ListOptions,
  ListResult,
  ObjectRef,
  PatchType,
  ResourceClient,
  Selection,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "@coxswain/client";
import type { UserInfo } from "@coxswain/component-base";
import { AbortError, type Env } from "@coxswain/env";
import type { ApiRequest, ApiResult, Pipeline, RequestOptions, RequestVerb } from "../pipeline/contract.ts";
import { WatchStream } from "./watch-stream.ts";

export interface EdgeCall {
  readonly verb: RequestVerb;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
}

/** The network between a client and an api-server. Each may wait, or throw what the client is to see. */
export interface Edge {
  beforeSend?(call: EdgeCall): Promise<void>;
  /** The request took effect; a throw loses the answer. */
  beforeAnswer?(call: EdgeCall): Promise<void>;
  /** Aborts where the connection breaks: running watches end with ServiceUnavailable. */
  broken?(): AbortSignal;
}

export interface InProcessClientDeps {
  readonly pipeline: Pipeline;
  readonly user: UserInfo;
  readonly env: Env;
  readonly edge?: Edge;
}

/** Its failpoints are client.send and client.answer. */
export function createInProcessClient(deps: InProcessClientDeps): ResourceClient {
  return new InProcessClient(deps, undefined);
}

type Shape = Partial<Pick<ApiRequest, "subresource" | "namespace" | "name" | "contentType" | "options">> & {
  readonly body?: unknown;
};

class InProcessClient implements ResourceClient {
  readonly #deps: InProcessClientDeps;
  readonly #fence: (() => Fence | undefined) | undefined;
  readonly #closed = new AbortController();

  constructor(deps: InProcessClientDeps, fence: (() => Fence | undefined) | undefined) {
    this.#deps = deps;
    this.#fence = fence;
  }

  async get<T extends KubeObject>(
    ref: ResourceRef,
    { namespace, name }: ObjectRef,
    options: { subresource?: string; resourceVersion?: string } = {},
  ): Promise<T> {
    const { subresource, resourceVersion } = options;
    return await this.#object(ref, "get", { namespace, name, subresource, options: { resourceVersion } });
  }

  async list<T extends KubeObject>(ref: ResourceRef, options: ListOptions = {}): Promise<ListResult<T>> {
    const result = await this.#call(ref, "list", { namespace: options.namespace, options: listOptions(options) });
    if (result.type !== "list") throw new Error(`list answered with ${result.type}`);
    return {
      metadata: {
        resourceVersion: result.resourceVersion,
        ...(result.continue === "" ? {} : { continue: result.continue }),
        ...(result.remainingItemCount === undefined ? {} : { remainingItemCount: result.remainingItemCount }),
      },
      items: result.items.map((item) => JSON.parse(item.json.toString()) as T),
    };
  }

  async *watch<T extends KubeObject>(
    ref: ResourceRef,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    if (signal.aborted) return;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(new AbortError());
    signal.addEventListener("abort", onAbort, { once: true });
    const broken = this.#deps.edge?.broken?.();
    const stream = new WatchStream<T>(stop.signal, broken);
    try {
      const request = this.#request(ref, "watch", {
        namespace: options.namespace,
        options: {
          ...listOptions(options),
          allowWatchBookmarks: options.allowBookmarks,
          timeoutSeconds: options.timeoutSeconds === undefined ? undefined : String(options.timeoutSeconds),
        },
      });
      await this.#send(request);
      await this.#deps.pipeline.watch({ ...request, signal: stop.signal }, stream);
      yield* stream.events();
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stop.abort(new AbortError());
      signal.removeEventListener("abort", onAbort);
    }
  }

  async create<T extends KubeObject>(
    ref: ResourceRef,
    object: T,
    options: WriteOptions & { namespace?: string; name?: string } = {},
  ): Promise<T> {
    const namespace = options.namespace ?? object.metadata?.namespace;
    const name = options.subresource ? (options.name ?? object.metadata?.name) : undefined;
    const body = options.subresource || object.kind ? object : { ...object, apiVersion: apiVersionOf(ref) };
    return await this.#object(ref, "create", { ...writeShape(options), namespace, name, body }, object);
  }

  async update<T extends KubeObject>(ref: ResourceRef, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata ?? {};
    return await this.#object(ref, "update", { ...writeShape(options), namespace, name, body: object });
  }

  async patch<T extends KubeObject>(
    ref: ResourceRef,
    { namespace, name }: ObjectRef,
    type: PatchType,
    patch: unknown,
    options: WriteOptions = {},
  ): Promise<T> {
    const shape = { ...writeShape(options), namespace, name, contentType: type, body: patch };
    return await this.#object(ref, "patch", shape);
  }

  async delete(
    ref: ResourceRef,
    { namespace, name }: ObjectRef,
    options?: DeleteOptions,
  ): Promise<KubeObject | undefined> {
    const result = await this.#call(ref, "delete", { namespace, name, body: deleteBody(options) });
    return result.type === "object" ? (JSON.parse(result.object.json.toString()) as KubeObject) : undefined;
  }

  async deleteCollection(ref: ResourceRef, selection: Selection, options?: DeleteOptions): Promise<void> {
    const { namespace } = selection;
    const shape = { namespace, options: listOptions(selection), body: deleteBody(options) };
    await this.#call(ref, "deletecollection", shape);
  }

  async batch<T extends KubeObject>(operations: readonly BatchOperation[]): Promise<BatchOutcome<T>[]> {
    // Side by side, so that storage can put them in one commit; each outcome is its own.
    return await Promise.all(
      operations.map(async (operation): Promise<BatchOutcome<T>> => {
        try {
          return { ok: true, object: await this.#one<T>(operation) };
        } catch (error) {
          return { ok: false, error: error instanceof Error ? error : new Error(String(error)) };
        }
      }),
    );
  }

  async #one<T extends KubeObject>(operation: BatchOperation): Promise<T> {
    const { ref } = operation;
    switch (operation.op) {
      case "create": {
        const { namespace, name, subresource } = operation;
        return await this.create(ref, operation.object as T, { namespace, name, subresource });
      }
      case "update":
        return await this.update(ref, operation.object as T, { subresource: operation.subresource });
      case "patch": {
        const { target, type, patch, subresource } = operation;
        return await this.patch<T>(ref, target, type, patch, { subresource });
      }
      case "delete":
        return ((await this.delete(ref, operation.target, operation.options)) ?? {}) as T;
      default:
        throw new Error("unknown operation");
    }
  }

  fenced(current: () => Fence | undefined): ResourceClient {
    return new InProcessClient(this.#deps, current);
  }

  close(): Promise<void> {
    this.#closed.abort();
    return Promise.resolve();
  }

  async #object<T extends KubeObject>(ref: ResourceRef, verb: RequestVerb, shape: Shape, sent?: T): Promise<T> {
    const result = await this.#call(ref, verb, shape);
    if (result.type === "object") return JSON.parse(result.object.json.toString()) as T;
    if (result.type === "document") return structuredClone(result.document) as T;
    // A binding or eviction is answered with a bare Success.
    if (result.type === "status" && sent !== undefined) return structuredClone(sent);
    throw new Error(`${verb} answered with ${result.type}`);
  }

  async #call(ref: ResourceRef, verb: RequestVerb, shape: Shape): Promise<ApiResult> {
    const request = this.#request(ref, verb, shape);
    await this.#send(request);
    const result = await this.#deps.pipeline.handle(request);
    const { env, edge } = this.#deps;
    if (env.failpoints.armed("client.answer")) await env.failpoints.hit("client.answer");
    await edge?.beforeAnswer?.(request);
    return result;
  }

  async #send(request: ApiRequest): Promise<void> {
    const { env, edge } = this.#deps;
    if (this.#closed.signal.aborted) throw newServiceUnavailable("the client is closed");
    if (env.failpoints.armed("client.send")) await env.failpoints.hit("client.send");
    await edge?.beforeSend?.(request);
  }

  #request(ref: ResourceRef, verb: RequestVerb, shape: Shape): ApiRequest {
    const fence = this.#fence?.();
    const reads = verb === "get" || verb === "list" || verb === "watch";
    if (this.#fence !== undefined && fence === undefined && !reads) {
      throw new StatusError("Conflict", 409, "this client does not lead: the write was not sent");
    }
    return {
      user: this.#deps.user,
      verb,
      group: ref.group,
      version: ref.version,
      resource: ref.resource,
      subresource: shape.subresource ?? "",
      namespace: shape.namespace ?? "",
      name: shape.name ?? "",
      body: shape.body === undefined ? undefined : Buffer.from(JSON.stringify(shape.body)),
      contentType: shape.contentType ?? "application/json",
      options: shape.options ?? {},
      fence: reads ? undefined : fence,
      userAgent: "coxswain-in-process",
      signal: this.#closed.signal,
    };
  }
}

function listOptions(options: ListOptions): RequestOptions {
  return {
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
    limit: options.limit === undefined ? undefined : String(options.limit),
    continue: options.continue,
  };
}

function writeShape(options: WriteOptions): Shape {
  return {
    subresource: options.subresource,
    options: {
      dryRun: options.dryRun === true ? ["All"] : [],
      fieldManager: options.fieldManager,
      fieldValidation: options.fieldValidation,
    },
  };
}

function deleteBody(options: DeleteOptions | undefined): unknown {
  if (options === undefined) return undefined;
  const { gracePeriodSeconds, propagationPolicy, preconditions, dryRun } = options;
  return { gracePeriodSeconds, propagationPolicy, preconditions, dryRun: dryRun === true ? ["All"] : [] };
}
