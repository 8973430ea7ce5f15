// What the store holds, decoded and indexed, as of the latest commit. The checker's view: built from commits alone, by code
// that shares nothing with the services' caches.
import type { Deployment, Lease, Node, Pod, ReplicaSet } from "@coxswain/api";
import { parseStorageKey, type ParsedKey } from "@coxswain/api-server/watch-cache/stored-form";
import type { KubeObject } from "@coxswain/apimachinery";
import type { Actor } from "./actor.ts";
import type { Commit } from "./observed-store.ts";

/** One object's change. */
export interface Change {
  readonly atMs: number;
  readonly key: string;
  readonly ref: ParsedKey;
  readonly rv: bigint;
  /** Undefined for a deletion. */
  readonly object: KubeObject | undefined;
  readonly old: KubeObject | undefined;
  readonly actor: Actor | undefined;
}

export interface StoredObject {
  readonly object: KubeObject;
  readonly rv: bigint;
  readonly atMs: number;
}

export function controllerUid(object: KubeObject): string | undefined {
  return object.metadata?.ownerReferences?.find((owner) => owner.controller === true)?.uid;
}

export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Neither finished nor on its way out: what controllers count. */
export function isLive(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp === undefined && !isFinished(pod);
}

export function isReady(pod: Pod): boolean {
  return isLive(pod) && pod.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
}

export class ClusterState {
  /** By resource, then by key. */
  readonly #objects = new Map<string, Map<string, StoredObject>>();
  /** The keys that have been deleted, with the time, ms. */
  readonly deletedAtMs = new Map<string, number>();

  /** Takes a commit in; undefined where it changes no object. */
  apply(atMs: number, { key, value, rv, actor }: Commit): Change | undefined {
    const ref = parseStorageKey(key);
    if (ref === undefined) return undefined;
    const objects = this.#of(ref.resource);
    const old = objects.get(key)?.object;
    if (value === undefined) {
      objects.delete(key);
      this.deletedAtMs.set(key, atMs);
      return { atMs, key, ref, rv, object: undefined, old, actor };
    }
    const object = JSON.parse(value.toString()) as KubeObject;
    object.metadata = { ...object.metadata, resourceVersion: rv.toString() };
    objects.set(key, { object, rv, atMs });
    this.deletedAtMs.delete(key);
    return { atMs, key, ref, rv, object, old, actor };
  }

  stored(resource: string): ReadonlyMap<string, StoredObject> {
    return this.#of(resource);
  }

  list<T extends KubeObject>(resource: string): T[] {
    return [...this.#of(resource).values()].map((one) => one.object as T);
  }

  get pods(): Pod[] {
    return this.list("pods");
  }
  get replicaSets(): ReplicaSet[] {
    return this.list("replicasets");
  }
  get deployments(): Deployment[] {
    return this.list("deployments");
  }
  get nodes(): Node[] {
    return this.list("nodes");
  }

  /** By "namespace/name". */
  lease(name: string): Lease | undefined {
    const [namespace, own] = name.split("/");
    return this.list<Lease>("leases").find(
      (one) => one.metadata?.namespace === namespace && one.metadata?.name === own,
    );
  }

  /** What `owner` controls. */
  owned<T extends KubeObject>(resource: string, owner: string | undefined): T[] {
    return this.list<T>(resource).filter((one) => controllerUid(one) === owner && owner !== undefined);
  }

  #of(resource: string): Map<string, StoredObject> {
    let objects = this.#objects.get(resource);
    if (objects === undefined) this.#objects.set(resource, (objects = new Map()));
    return objects;
  }
}
