// The change feed's publisher: sends each committed change once, chained to the one before. It hears the changes from this
// process's own watch of storage, so what was committed is never forgotten; a new publisher, or one whose cache was filled
// anew, starts a new epoch, at which readers verify what they have. A change that cannot be sent is logged and stays in its
// chain: readers find the gap at the next change or bookmark, and the cache that told of it goes on.
import { groupResource } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { EventBus } from "@coxswain/event-bus";
import {
  BOOKMARK_INTERVAL_MS,
  changeSubject,
  encodeHeader,
  MAX_BODY_BYTES,
  type ChangeHeader,
} from "@coxswain/event-bus/change-feed";
import { slimJson } from "../watch-cache/managed-form.ts";
import type { CacheEvent } from "../watch-cache/resource-cache.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { podNode } from "./pod-node.ts";

const EMPTY = Buffer.alloc(0);
const PODS = { group: "", resource: "pods" };

interface PublisherDeps {
  readonly env: Env;
  readonly logger: Pick<Logger, "error">;
  readonly bus: EventBus;
  readonly cache: WatchCache;
}

/** Publishes until `signal` aborts. `epoch` must be new. */
export async function runPublisher(deps: PublisherDeps, epoch: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let filled = deps.cache.resource(PODS);
  let publisher = new Publisher(deps, epoch);
  let refills = 0;
  const untap = deps.cache.tap((events) => {
    if (deps.cache.resource(PODS) === filled) {
      publisher.publish(events);
      return;
    }
    // Changes from before the refill were never heard of: no chain may lead across it, and these events belong to it.
    filled = deps.cache.resource(PODS);
    publisher = new Publisher(deps, `${epoch}.${++refills}`);
    publisher.bookmarks();
  });
  publisher.bookmarks();
  const timer = deps.env.timers.setInterval(() => publisher.bookmarks(), BOOKMARK_INTERVAL_MS);
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  deps.env.timers.clear(timer);
  untap();
}

class Publisher {
  readonly #deps: PublisherDeps;
  readonly #epoch: string;
  /** Everything after this version is published in this epoch. */
  readonly #startRv: bigint;
  /** Last version that was published of each node's pods. */
  readonly #nodes = new Map<string, bigint>();
  readonly #chains = new Map<string, bigint>();

  constructor(deps: PublisherDeps, epoch: string) {
    this.#deps = deps;
    this.#epoch = epoch;
    for (const resource of deps.cache.resources()) this.#chains.set(groupResource(resource.kind), resource.lastRv);
    this.#startRv = deps.cache.throughRv;
  }

  publish(events: readonly CacheEvent[]): void {
    for (const event of events) this.#publishOne(event);
  }

  #publishOne(event: CacheEvent): void {
    const { kind } = event.object;
    const id = groupResource(kind);
    // Of a custom resource that came to be known in this epoch, nothing was heard before where its cache begins.
    const prevRv = this.#chains.get(id) ?? this.#deps.cache.find(kind)?.floor ?? 0n;
    if (event.rv <= prevRv) return;
    this.#chains.set(id, event.rv);
    const isPod = kind.group === "" && kind.resource === "pods";
    const node = isPod ? podNode(event.object.json) : "";
    const prevNodeRv = node === "" ? undefined : this.#lastOf(node).toString();
    if (node !== "") this.#nodes.set(node, event.rv);
    const { namespace, name } = event.object;
    const json = slimJson(event.object.json);
    const bare = json.length > MAX_BODY_BYTES || (kind.group === "" && kind.resource === "secrets");
    const path = namespace === "" ? name : `${namespace}/${name}`;
    const header: ChangeHeader = {
      type: event.type,
      epoch: this.#epoch,
      rv: event.rv.toString(),
      prevRv: prevRv.toString(),
      prevNodeRv,
      ref: bare ? path : undefined,
    };
    const subject = changeSubject(kind.group, kind.resource, namespace, node);
    this.#send(subject, header, bare ? EMPTY : json, `${id} ${path}`);
  }

  /** Never throws: who calls is in the middle of a batch. `key` says in the log what was not sent. */
  #send(subject: string, header: ChangeHeader, body: Buffer, key: string): void {
    try {
      this.#deps.bus.publish(subject, encodeHeader(header), body);
    } catch (error) {
      const { type, rv } = header;
      this.#deps.logger.error({ key, type, rv, error: String(error) }, "a change could not be published");
    }
  }

  /**
   * The start bounds what happened to a node's pods before the epoch. The pods that are present would not: the last thing
   * that happened may have been a deletion.
   */
  #lastOf(node: string): bigint {
    return this.#nodes.get(node) ?? this.#startRv;
  }

  /** Tells every chain how far it goes, so that silence means loss. */
  bookmarks(): void {
    const { cache } = this.#deps;
    const rv = cache.throughRv.toString();
    for (const { kind, lastRv } of cache.resources()) {
      const prevRv = (this.#chains.get(groupResource(kind)) ?? lastRv).toString();
      const subject = changeSubject(kind.group, kind.resource, "");
      this.#send(subject, { type: "BOOKMARK", epoch: this.#epoch, rv, prevRv }, EMPTY, groupResource(kind));
    }
    const pods = (this.#chains.get("pods") ?? 0n).toString();
    const nodes = new Set([
      ...cache.list({ group: "", resource: "nodes" }).map(({ name }) => name),
      ...this.#nodes.keys(),
    ]);
    for (const node of nodes) {
      const prevNodeRv = this.#lastOf(node).toString();
      const header: ChangeHeader = { type: "BOOKMARK", epoch: this.#epoch, rv, prevRv: pods, prevNodeRv };
      this.#send(changeSubject("", "pods", "", node), header, EMPTY, `pods of node ${node}`);
    }
  }
}
