// Who owns whom, as the caches show it. Pure. Owners are known by UID alone; an owner that was never seen is no node, but
// its dependents are found all the same.
import type { KubeObject, OwnerReference, ResourceRef } from "@coxswain/apimachinery";

export const FOREGROUND = "foregroundDeletion";
export const ORPHAN = "orphan";

export interface GraphNode {
  readonly uid: string;
  /** The resourceVersion that says all of this. */
  readonly version: string;
  readonly ref: ResourceRef;
  readonly namespace: string;
  readonly name: string;
  readonly owners: readonly OwnerReference[];
  readonly deleting: boolean;
  readonly finalizers: readonly string[];
}

export function nodeOf(ref: ResourceRef, object: KubeObject): GraphNode {
  const { uid = "", namespace = "", name = "", ownerReferences = [], finalizers = [] } = object.metadata ?? {};
  const { deletionTimestamp, resourceVersion: version = "" } = object.metadata ?? {};
  const deleting = deletionTimestamp !== undefined;
  return { uid, version, ref, namespace, name, owners: ownerReferences, deleting, finalizers };
}

/** True while it waits for its blocking dependents to go first. */
export function waitsForDependents(node: Pick<GraphNode, "deleting" | "finalizers">): boolean {
  return node.deleting && node.finalizers.includes(FOREGROUND);
}

function sameOwners(a: GraphNode, b: GraphNode): boolean {
  return a.owners.length === b.owners.length && a.owners.every(({ uid }, at) => uid === b.owners[at]?.uid);
}

/** True while something is to be done before it can go. */
export function hasWork(node: GraphNode): boolean {
  return node.deleting && (node.finalizers.includes(FOREGROUND) || node.finalizers.includes(ORPHAN));
}

export class OwnershipGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  dependentsOf(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((dependent) => this.#nodes.get(dependent) ?? []);
  }

  /** Takes a state; returns the UIDs of objects that should be looked at because of it. */
  upsert(node: GraphNode): string[] {
    const before = this.#nodes.get(node.uid);
    this.#nodes.set(node.uid, node);
    const look = new Set<string>();
    if (before === undefined || !sameOwners(before, node)) {
      for (const { uid } of before?.owners ?? []) this.#unlink(uid, node.uid);
      for (const { uid } of node.owners) this.#link(uid, node.uid);
    }
    for (const { uid } of node.owners) {
      const owner = this.#nodes.get(uid);
      if (owner === undefined || (owner.namespace !== "" && owner.namespace !== node.namespace)) look.add(node.uid);
      else if (waitsForDependents(owner)) look.add(node.uid);
    }
    if (hasWork(node)) look.add(node.uid);
    // An owner may have waited for this one, which no longer holds it.
    for (const uid of this.#waitingOwners([...(before?.owners ?? []), ...node.owners])) look.add(uid);
    return [...look];
  }

  /** Takes a deletion; returns the UIDs of objects that should be looked at because of it. */
  remove(uid: string): string[] {
    const node = this.#nodes.get(uid);
    if (node === undefined) return [];
    this.#nodes.delete(uid);
    for (const owner of node.owners) this.#unlink(owner.uid, uid);
    return [...(this.#dependents.get(uid) ?? []), ...this.#waitingOwners(node.owners)];
  }

  #waitingOwners(owners: readonly OwnerReference[]): string[] {
    return owners.flatMap(({ uid }) => {
      const owner = this.#nodes.get(uid);
      return owner !== undefined && hasWork(owner) ? [uid] : [];
    });
  }

  #link(owner: string, dependent: string): void {
    const known = this.#dependents.get(owner);
    if (known === undefined) this.#dependents.set(owner, new Set([dependent]));
    else known.add(dependent);
  }

  #unlink(owner: string, dependent: string): void {
    const known = this.#dependents.get(owner);
    known?.delete(dependent);
    if (known?.size === 0) this.#dependents.delete(owner);
  }
}
