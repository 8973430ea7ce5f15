// Custom resources as the cache holds them: it keeps whatever lies in storage, whether or not its definition is known yet, so
// that a kind that comes to be served finds its objects and their events.
import type { KindDefinition } from "@coxswain/api";
import { defineKind } from "@coxswain/api/define-kind";
import { parseApiVersion, type GroupVersionKind, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";

type GroupResource = Pick<ResourceRef, "group" | "resource">;

/** Groups of custom resources have a dot; what else is unknown is of another release. */
export function isCustom({ group }: GroupResource): boolean {
  return group.includes(".");
}

/** The kind and version that a stored object says it is of. */
export function identityOf(stored: Buffer): GroupVersionKind {
  const head = /^\{"kind":"([^"\\]+)","apiVersion":"([^"\\]+)",/.exec(stored.toString("utf8", 0, 1024));
  if (head !== null) return { ...parseApiVersion(head[2] as string), kind: head[1] as string };
  const object = JSON.parse(stored.toString()) as KubeObject;
  return { ...parseApiVersion(object.apiVersion ?? ""), kind: object.kind ?? "" };
}

/** Kinds by what objects say that they are of: objects of a resource may lie there in several versions. */
export class OpaqueKinds {
  readonly #resource: GroupResource;
  readonly #known = new Map<string, KindDefinition>();

  constructor(resource: GroupResource) {
    this.#resource = resource;
  }

  of(stored: Buffer): KindDefinition {
    const identity = identityOf(stored);
    const id = `${identity.version}/${identity.kind}`;
    const known = this.#known.get(id) ?? opaqueKind(this.#resource, identity);
    this.#known.set(id, known);
    return known;
  }
}

/** A kind of which only the names are known: objects of it are kept and passed on, no more. */
export function opaqueKind({ group, resource }: GroupResource, { version, kind }: GroupVersionKind): KindDefinition {
  return defineKind({ group, resource, version, kind, namespaced: true, schemaName: "" });
}
