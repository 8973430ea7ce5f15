// Follows the objects of other api-servers by listing them again and again: their versions of objects are their own, and no
// feed tells of their changes. Guarantees: an object is told of as gone only after a list of its resource without it; a server
// that does not answer changes nothing, and holds up no other.
import { groupResource, type GroupVersionKind, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { AggregatedClient, InformerFactory } from "@coxswain/client";
import type { BaseDeps } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import { RemoteDiscoverer, type RemoteResource } from "./discover.ts";
import { RemoteObjects } from "./remote-objects.ts";

const POLL_MS = 10_000;

export interface RemoteHandler {
  /** With what was there before and what is now. */
  seen(ref: ResourceRef, object: KubeObject): void;
  gone(uid: string): void;
  /** A look did not see everything that is said to be there. */
  missed(): void;
}

export class RemotePoll {
  readonly objects: RemoteObjects;
  readonly #deps: Pick<BaseDeps, "env" | "logger">;
  readonly #discoverer: RemoteDiscoverer;
  readonly #handler: RemoteHandler;
  #resources = new Map<string, RemoteResource>();
  /** UIDs by resource. */
  readonly #known = new Map<string, ReadonlySet<string>>();

  constructor(
    client: AggregatedClient,
    informers: InformerFactory,
    deps: Pick<BaseDeps, "env" | "logger">,
    handler: RemoteHandler,
  ) {
    this.objects = new RemoteObjects(client);
    this.#discoverer = new RemoteDiscoverer(client, informers);
    this.#deps = deps;
    this.#handler = handler;
  }

  find({ group, kind }: Pick<GroupVersionKind, "group" | "kind">): RemoteResource | undefined {
    return [...this.#resources.values()].find((each) => each.ref.group === group && each.kind === kind);
  }

  of(ref: ResourceRef): RemoteResource | undefined {
    return this.#resources.get(groupResource(ref));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { env, logger } = this.#deps;
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch (error) {
        logger.warn({ err: error }, "could not look at the resources of other api-servers");
        this.#handler.missed();
      }
      await env.timers.sleep(POLL_MS, signal).catch((error: unknown) => {
        if (!isAbort(error)) throw error;
      });
    }
  }

  async #look(): Promise<void> {
    const { resources, failed } = await this.#discoverer.discover();
    const next = new Map(resources.map((each) => [groupResource(each.ref), each]));
    for (const [id, each] of this.#resources) {
      const away = failed.includes(`${each.ref.group}/${each.ref.version}`);
      // What is away for now is still known; what nobody serves any more is forgotten, and judged no longer.
      if (!next.has(id) && away) next.set(id, each);
      else if (!next.has(id)) this.#forget(id);
    }
    this.#resources = next;
    const collected = resources.filter(({ verbs }) => ["get", "list", "delete"].every((verb) => verbs.includes(verb)));
    const listed = await Promise.all(collected.map((each) => this.#list(each.ref)));
    if (listed.includes(false)) this.#handler.missed();
  }

  /** False where there was no answer. */
  async #list(ref: ResourceRef): Promise<boolean> {
    const id = groupResource(ref);
    let objects: readonly KubeObject[];
    try {
      objects = await this.objects.list(ref, "");
    } catch (error) {
      this.#deps.logger.warn({ err: error, resource: id }, "could not list the objects of another api-server");
      return false;
    }
    const uids = new Set(objects.flatMap(({ metadata }) => metadata?.uid ?? []));
    const before = this.#known.get(id) ?? new Set();
    this.#known.set(id, uids);
    for (const object of objects) if (object.metadata?.uid !== undefined) this.#handler.seen(ref, object);
    for (const uid of before) if (!uids.has(uid)) this.#handler.gone(uid);
    return true;
  }

  #forget(id: string): void {
    for (const uid of this.#known.get(id) ?? []) this.#handler.gone(uid);
    this.#known.delete(id);
  }
}
