// The change feed's publisher: sends each committed change once, chained to the one before. It hears the changes from this
// process's own watch of storage, so what was committed is never forgotten; a new publisher, or one whose cache was filled
// anew, starts a new epoch, at which readers verify what they have. A change that cannot be sent is logged and stays in its
// chain: readers find the gap at the next change or bookmark, and the cache that told of it goes on.
import type { Pod } from "@coxswain/api";
import { groupResource } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { EventBus } from "@coxswain/event-bus";
import {
  BOOKMARK_INTERVAL_MS,
  type Change,
  type ChangeHeader,
  changeSubject,
  encodeChanges,
  lengthOf,
  MAX_BODY_BYTES,
  MAX_SHARED_BYTES,
  mayShare,
} from "@coxswain/event-bus/change-feed";
import { slimParts } from "../watch-cache/managed-form.ts";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import type { CacheEvent } from "../watch-cache/resource-cache.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import { podNode } from "./pod-node.ts";

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

function nodeOf(pod: CachedObject): string {
  const known: Pod | undefined = pod.atHand;
  return known === undefined ? podNode(pod.json) : (known.spec?.nodeName ?? "");
}

/** Changes of one resource that go into one message. */
interface Run {
  readonly subject: string;
  readonly changes: Change[];
  /** What each is, for the log. */
  readonly keys: string[];
  bytes: number;
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

  /** Changes of one batch share messages where their chain allows it. */
  publish(events: readonly CacheEvent[]): void {
    const runs = new Map<string, Run>();
    for (const event of events) this.#add(runs, event);
    for (const run of runs.values()) this.#send(run);
  }

  #add(runs: Map<string, Run>, event: CacheEvent): void {
    const { kind } = event.object;
    const id = groupResource(kind);
    // Of a custom resource that came to be known in this epoch, nothing was heard before where its cache begins.
    const prevRv = this.#chains.get(id) ?? this.#deps.cache.find(kind)?.floor ?? 0n;
    if (event.rv <= prevRv) return;
    this.#chains.set(id, event.rv);
    const isPod = kind.group === "" && kind.resource === "pods";
    const node = isPod ? nodeOf(event.object) : "";
    const prevNodeRv = node === "" ? undefined : this.#lastOf(node).toString();
    if (node !== "") this.#nodes.set(node, event.rv);
    const { namespace, name } = event.object;
    const body = slimParts(event.object.json);
    const bytes = lengthOf(body);
    const bare = bytes > MAX_BODY_BYTES || (kind.group === "" && kind.resource === "secrets");
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
    const change = { header, body: bare ? [] : body };
    const run = runs.get(id);
    const last = run?.changes.at(-1);
    if (run?.subject === subject && run.bytes + bytes <= MAX_SHARED_BYTES && mayShare(last!.header, header)) {
      run.changes.push(change);
      run.keys.push(`${id} ${path}`);
      run.bytes += bytes;
      return;
    }
    if (run !== undefined) this.#send(run);
    runs.set(id, { subject, changes: [change], keys: [`${id} ${path}`], bytes });
  }

  /** Never throws: who calls is in the middle of a batch. */
  #send({ subject, changes, keys }: Pick<Run, "subject" | "changes" | "keys">): void {
    try {
      const { headers, data } = encodeChanges(changes);
      this.#deps.bus.publish(subject, headers, data);
    } catch (error) {
      for (const [at, { header }] of changes.entries()) {
        const { type, rv } = header;
        this.#deps.logger.error({ key: keys[at], type, rv, error: String(error) }, "a change could not be published");
      }
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
      this.#mark(subject, { type: "BOOKMARK", epoch: this.#epoch, rv, prevRv }, groupResource(kind));
    }
    const pods = (this.#chains.get("pods") ?? 0n).toString();
    const nodes = new Set([
      ...cache.list({ group: "", resource: "nodes" }).map(({ name }) => name),
      ...this.#nodes.keys(),
    ]);
    for (const node of nodes) {
      const prevNodeRv = this.#lastOf(node).toString();
      const header: ChangeHeader = { type: "BOOKMARK", epoch: this.#epoch, rv, prevRv: pods, prevNodeRv };
      this.#mark(changeSubject("", "pods", "", node), header, `pods of node ${node}`);
    }
  }

  #mark(subject: string, header: ChangeHeader, key: string): void {
    this.#send({ subject, changes: [{ header, body: [] }], keys: [key] });
  }
}
