// Objects that other api-servers serve, in the words of ResourceClient as far as controllers of all resources need them. What
// is written there is not fenced by the leader's lease, which the other server does not know: writers name UID and version.
import { isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { AggregatedClient, DeleteOptions, ObjectRef } from "@coxswain/client";

const PAGE = 500;
/** What an api-server says of a resource, not of an object. */
const NOT_SERVED = "the server could not find the requested resource";

export function remotePath({ group, version, resource }: ResourceRef, namespace: string, name = ""): string {
  const scope = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const object = name === "" ? "" : `/${encodeURIComponent(name)}`;
  return `/apis/${group}/${version}${scope}/${resource}${object}`;
}

/** True for an object that is not there; that nobody serves the resource says nothing about its objects. */
export function isGone(error: unknown): boolean {
  return isReason(error, "NotFound") && (error as Error).message !== NOT_SERVED;
}

interface Page {
  readonly metadata?: { readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

export class RemoteObjects {
  readonly #client: AggregatedClient;

  constructor(client: AggregatedClient) {
    this.#client = client;
  }

  /** Of all namespaces where `namespace` is "". */
  async list(ref: ResourceRef, namespace: string): Promise<KubeObject[]> {
    const items: KubeObject[] = [];
    let more = "";
    do {
      const query = new URLSearchParams({ limit: String(PAGE), ...(more === "" ? {} : { continue: more }) });
      const page = (await this.#client.read(`${remotePath(ref, namespace)}?${query.toString()}`)) as Page;
      items.push(...(page.items ?? []));
      more = page.metadata?.continue ?? "";
    } while (more !== "");
    return items;
  }

  async get(ref: ResourceRef, { namespace = "", name }: ObjectRef): Promise<KubeObject> {
    return (await this.#client.read(remotePath(ref, namespace, name))) as KubeObject;
  }

  /** A merge patch. */
  async patch(ref: ResourceRef, { namespace = "", name }: ObjectRef, patch: object): Promise<KubeObject> {
    return (await this.#client.write("PATCH", remotePath(ref, namespace, name), patch)) as KubeObject;
  }

  async delete(ref: ResourceRef, { namespace = "", name }: ObjectRef, options: DeleteOptions): Promise<void> {
    await this.#client.write("DELETE", remotePath(ref, namespace, name), deleteBody(options));
  }

  async deleteCollection(ref: ResourceRef, namespace: string, options: DeleteOptions): Promise<void> {
    await this.#client.write("DELETE", remotePath(ref, namespace), deleteBody(options));
  }
}

const deleteBody = (options: DeleteOptions): object => ({ apiVersion: "v1", kind: "DeleteOptions", ...options });
