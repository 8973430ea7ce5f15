// A process's ResourceClient in the simulation: the gRPC client's behaviour without gRPC. Guarantees:
// - Requests and answers take their time; either may be lost, and then the client cannot know which it was.
// - Where the server dies the call fails; where it freezes the call fails after the keepalive or the call's own time-out.
// - A fence is attached when the client sends, and judged when the request arrives.
import { newServiceUnavailable, StatusError, type KubeObject } from "@coxswain/apimachinery";
import { createInProcessClient } from "@coxswain/api-server/client/in-process-client";
import type { BatchOperation, BatchOutcome, Fence, ResourceClient, WatchEvent, WatchOptions } from "@coxswain/client";
import type { UserInfo } from "@coxswain/component-base";
import { actAs, type Actor } from "./actor.ts";
import type { ApiEndpoints, Incarnation } from "./api-endpoints.ts";
import { Link, type Network } from "./network.ts";
import type { SimProcess } from "./sim-process.ts";

const CALL_TIMEOUT_MS = 10_000;

export interface SimClientDeps {
  readonly process: SimProcess;
  readonly network: Network;
  readonly endpoints: ApiEndpoints;
  readonly user: UserInfo;
  readonly actor: Actor;
  /** The api-server to go to while it is up. */
  readonly preferred: string;
}

export function createSimClient(deps: SimClientDeps): ResourceClient {
  return new SimClient(deps, undefined);
}

const lost = (): StatusError => newServiceUnavailable("the connection was lost before an answer came");

class SimClient implements ResourceClient {
  readonly #deps: SimClientDeps;
  readonly #fence: (() => Fence | undefined) | undefined;

  constructor(deps: SimClientDeps, fence: (() => Fence | undefined) | undefined) {
    this.#deps = deps;
    this.#fence = fence;
  }

  get: ResourceClient["get"] = (ref, target, options) => this.#read((inner) => inner.get(ref, target, options));
  list: ResourceClient["list"] = (ref, options) => this.#read((inner) => inner.list(ref, options));
  // What is sent is what the caller held at that moment.
  create: ResourceClient["create"] = (ref, object, options) => {
    const sent = structuredClone(object);
    return this.#write((inner) => inner.create(ref, sent, options));
  };
  update: ResourceClient["update"] = (ref, object, options) => {
    const sent = structuredClone(object);
    return this.#write((inner) => inner.update(ref, sent, options));
  };
  patch: ResourceClient["patch"] = (ref, target, type, patch, options) => {
    const sent = structuredClone(patch);
    return this.#write((inner) => inner.patch(ref, target, type, sent, options));
  };
  delete: ResourceClient["delete"] = (ref, target, options) =>
    this.#write((inner) => inner.delete(ref, target, options));
  deleteCollection: ResourceClient["deleteCollection"] = (ref, selection, options) =>
    this.#write((inner) => inner.deleteCollection(ref, selection, options));

  async batch<T extends KubeObject>(operations: readonly BatchOperation[]): Promise<BatchOutcome<T>[]> {
    const sent = structuredClone(operations);
    try {
      return await this.#write((inner) => inner.batch<T>(sent));
    } catch (error) {
      // What befalls the connection befalls every operation.
      return operations.map(() => ({ ok: false, error: error as Error }));
    }
  }

  async *watch<T extends KubeObject>(
    ref: Parameters<ResourceClient["watch"]>[0],
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const { process, network } = this.#deps;
    if (signal.aborted) return;
    const channel = new Channel<WatchEvent<T>>();
    const link = new Link(network, process);
    const closed = new AbortController();
    process.onDeath(() => closed.abort());
    const onAbort = (): void => {
      closed.abort();
      channel.end(undefined);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#pump<T>(ref, options, closed.signal, (event) => link.send(() => channel.push(event))).then(
      () => link.send(() => channel.end(undefined)),
      (error: unknown) => link.send(() => channel.end(error as Error)),
    );
    try {
      yield* channel.items();
    } finally {
      signal.removeEventListener("abort", onAbort);
      closed.abort();
    }
  }

  fenced(current: () => Fence | undefined): ResourceClient {
    return new SimClient(this.#deps, current);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The server's half of a watch: runs outside the process, until the connection ends. */
  async #pump<T extends KubeObject>(
    ref: Parameters<ResourceClient["watch"]>[0],
    options: WatchOptions,
    closed: AbortSignal,
    send: (event: WatchEvent<T>) => void,
  ): Promise<void> {
    const { network, process } = this.#deps;
    await network.travel();
    network.passCall(process.name);
    const incarnation = this.#reach();
    const broken = incarnation.connections.signal;
    const end = AbortSignal.any([closed, broken]);
    const failed = new Promise<void>((resolve) => end.addEventListener("abort", () => resolve(), { once: true }));
    const work = incarnation.process.perform(async () => {
      for await (const event of this.#inner(incarnation, undefined).watch<T>(ref, options, end)) {
        // What the server had not sent yet when the connection broke never arrives.
        if (end.aborted) return;
        send(event);
      }
    });
    await Promise.race([work, failed]);
    if (broken.aborted && !closed.aborted) throw lost();
  }

  #read<T>(work: (inner: ResourceClient) => Promise<T>): Promise<T> {
    return this.#call(work, undefined);
  }

  async #write<T>(work: (inner: ResourceClient) => Promise<T>): Promise<T> {
    const fence = this.#fence?.();
    if (this.#fence !== undefined && fence === undefined) {
      throw new StatusError("Conflict", 409, "this client does not lead: the write was not sent");
    }
    return await this.#call(work, fence);
  }

  #call<T>(work: (inner: ResourceClient) => Promise<T>, fence: Fence | undefined): Promise<T> {
    return this.#deps.process.carry(this.#roundTrip(work, fence));
  }

  async #roundTrip<T>(work: (inner: ResourceClient) => Promise<T>, fence: Fence | undefined): Promise<T> {
    const { network, process, actor } = this.#deps;
    await network.travel();
    network.passCall(process.name);
    const incarnation = this.#reach();
    const inner = this.#inner(incarnation, fence);
    const own: Actor = { ...actor, fence };
    const working = incarnation.process.perform(() => actAs(own, () => work(inner)));
    const onLoss = (): void => void (own.abandoned = true);
    const result = await this.#unlessLost(working, incarnation.connections.signal, onLoss);
    network.passAnswer(process.name);
    await network.travel();
    return result;
  }

  #reach(): Incarnation {
    const incarnation = this.#deps.endpoints.pick(this.#deps.preferred);
    if (incarnation === undefined) throw newServiceUnavailable("no api-server can be reached");
    return incarnation;
  }

  #inner({ pipeline, process }: Incarnation, fence: Fence | undefined): ResourceClient {
    const inner = createInProcessClient({ pipeline, user: this.#deps.user, env: process.env });
    return fence === undefined ? inner : inner.fenced(() => fence);
  }

  #unlessLost<T>(working: Promise<T>, broken: AbortSignal, onLoss: () => void): Promise<T> {
    const { timers } = this.#deps.network.env;
    return new Promise<T>((resolve, reject) => {
      const giveUp = (error: StatusError): void => {
        onLoss();
        reject(error);
      };
      const onBreak = (): void => giveUp(lost());
      const timer = timers.setTimeout(
        () => giveUp(new StatusError("Timeout", 504, "no answer in time; the request may have taken effect")),
        CALL_TIMEOUT_MS,
      );
      broken.addEventListener("abort", onBreak, { once: true });
      const done = (): void => {
        timers.clear(timer);
        broken.removeEventListener("abort", onBreak);
      };
      working.finally(done).then(resolve, reject);
    });
  }
}

/** What has arrived and was not read yet. */
class Channel<T> {
  #items: T[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: Error | undefined;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async *items(): AsyncGenerator<T> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      yield* items;
      if (this.#items.length > 0) continue;
      if (this.#ended) break;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    if (this.#error !== undefined) throw this.#error;
  }
}
