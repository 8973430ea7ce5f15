// The change feed's publisher: sends each committed change once, chained to the one before. It hears the changes from this
// process's own watch of storage, so what was committed is never forgotten; a new publisher starts a new epoch, at which
// readers verify what they have.
import type { Pod } from "@coxswain/api";
import { groupResource } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { EventBus } from "@coxswain/event-bus";
import { BOOKMARK_INTERVAL_MS, changeSubject, encodeHeader, MAX_BODY_BYTES } from "@coxswain/event-bus/change-feed";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import type { CacheEvent } from "../watch-cache/resource-cache.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";

const EMPTY = Buffer.alloc(0);
const PODS = { group: "", resource: "pods" };

interface PublisherDeps {
  readonly env: Env;
  readonly bus: EventBus;
  readonly cache: WatchCache;
}

/** Publishes until `signal` aborts. `epoch` must be new. */
export async function runPublisher(deps: PublisherDeps, epoch: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const publisher = new Publisher(deps, epoch);
  const untap = deps.cache.tap((events) => publisher.publish(events));
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
  /** Last version of each node's pods. */
  readonly #nodes = new Map<string, bigint>();
  readonly #chains = new Map<string, bigint>();

  constructor(deps: PublisherDeps, epoch: string) {
    this.#deps = deps;
    this.#epoch = epoch;
    for (const resource of deps.cache.resources()) this.#chains.set(groupResource(resource.kind), resource.lastRv);
    for (const pod of deps.cache.list(PODS)) {
      const node = nodeOf(pod);
      if (node !== "" && pod.rv > (this.#nodes.get(node) ?? 0n)) this.#nodes.set(node, pod.rv);
    }
  }

  publish(events: readonly CacheEvent[]): void {
    for (const event of events) this.#publishOne(event);
  }

  #publishOne(event: CacheEvent): void {
    const { kind } = event.object;
    const id = groupResource(kind);
    const prevRv = this.#chains.get(id) ?? 0n;
    if (event.rv <= prevRv) return;
    this.#chains.set(id, event.rv);
    const isPod = kind.group === "" && kind.resource === "pods";
    const node = isPod ? nodeOf(event.object) : "";
    const prevNodeRv = node === "" ? undefined : (this.#nodes.get(node) ?? 0n).toString();
    if (node !== "") this.#nodes.set(node, event.rv);
    const { namespace, name, json } = event.object;
    const bare = json.length > MAX_BODY_BYTES || (kind.group === "" && kind.resource === "secrets");
    const headers = encodeHeader({
      type: event.type,
      epoch: this.#epoch,
      rv: event.rv.toString(),
      prevRv: prevRv.toString(),
      prevNodeRv,
      ref: bare ? (namespace === "" ? name : `${namespace}/${name}`) : undefined,
    });
    const subject = changeSubject(kind.group, kind.resource, namespace, node);
    this.#deps.bus.publish(subject, headers, bare ? EMPTY : json);
  }

  /** Tells every chain how far it goes, so that silence means loss. */
  bookmarks(): void {
    const { bus, cache } = this.#deps;
    const rv = cache.throughRv.toString();
    for (const { kind } of cache.resources()) {
      const prevRv = (this.#chains.get(groupResource(kind)) ?? 0n).toString();
      const headers = encodeHeader({ type: "BOOKMARK", epoch: this.#epoch, rv, prevRv });
      bus.publish(changeSubject(kind.group, kind.resource, ""), headers, EMPTY);
    }
    const pods = (this.#chains.get("pods") ?? 0n).toString();
    const nodes = new Set([
      ...cache.list({ group: "", resource: "nodes" }).map(({ name }) => name),
      ...this.#nodes.keys(),
    ]);
    for (const node of nodes) {
      const prevNodeRv = (this.#nodes.get(node) ?? 0n).toString();
      const headers = encodeHeader({ type: "BOOKMARK", epoch: this.#epoch, rv, prevRv: pods, prevNodeRv });
      bus.publish(changeSubject("", "pods", "", node), headers, EMPTY);
    }
  }
}

function nodeOf(object: CachedObject): string {
  return (object.object as Pod).spec?.nodeName ?? "";
}
