// The resources that CustomResourceDefinitions add to those that are built in, for controllers that look at all resources.
import { CUSTOM_RESOURCE_DEFINITIONS, kindForGvk } from "@coxswain/api";
import { crdConditionTrue, type CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { groupResource, type GroupVersionKind, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { InformerFactory, ResourceClient, SharedInformer } from "@coxswain/client";

export interface CustomResource {
  /** In a version that is served. */
  readonly ref: ResourceRef;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** The resource that a definition serves; undefined where it serves none. */
export function customResourceOf(crd: CustomResourceDefinition): CustomResource | undefined {
  const { group, names, scope, versions } = crd.spec;
  const version = versions.find((each) => each.served && each.storage) ?? versions.find((each) => each.served);
  if (version === undefined || !crdConditionTrue(crd, "Established")) return undefined;
  const ref = { group, version: version.name, resource: names.plural };
  return { ref, kind: names.kind, namespaced: scope === "Namespaced" };
}

/** Custom resources whose objects live in namespaces, as the api-server has them now. */
export async function namespacedCustomResources(client: ResourceClient): Promise<ResourceRef[]> {
  const { items } = await client.list<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS);
  return items.flatMap((crd) => {
    const found = customResourceOf(crd);
    return found?.namespaced === true ? [found.ref] : [];
  });
}

/** Finds the resource of a kind, built in or custom, as the definitions in the cache say; undefined for kinds that nobody serves. */
export function createKindLookup(
  informers: InformerFactory,
): (gvk: GroupVersionKind) => Pick<CustomResource, "ref" | "namespaced"> | undefined {
  const definitions = informers.informer<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS);
  return (gvk) => {
    const known = kindForGvk(gvk);
    if (known !== undefined) {
      const { group, version, resource, namespaced } = known;
      return { ref: { group, version, resource }, namespaced };
    }
    const found = definitions.lister.list().map((crd) => customResourceOf(crd));
    return found.find((one) => one?.ref.group === gvk.group && one.kind === gvk.kind);
  };
}

/** Keeps an informer running for each custom resource, as long as it is served. */
export class CustomInformers {
  readonly #informers: InformerFactory;
  readonly #watched = new Map<string, CustomResource>();
  readonly #onInformer: (informer: SharedInformer<KubeObject>) => void;

  /** `onInformer` gets each new informer before it starts. */
  constructor(informers: InformerFactory, onInformer: (informer: SharedInformer<KubeObject>) => void) {
    this.#informers = informers;
    this.#onInformer = onInformer;
    informers.informer<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS).addHandler({
      add: (crd) => this.#see(crd),
      update: (crd) => this.#see(crd),
      delete: (crd) => this.#drop(groupResource({ group: crd.spec.group, resource: crd.spec.names.plural })),
    });
  }

  /** The custom resource of that kind, in whatever version it is watched. */
  find(gvk: Pick<GroupVersionKind, "group" | "kind">): CustomResource | undefined {
    return [...this.#watched.values()].find(({ ref, kind }) => ref.group === gvk.group && kind === gvk.kind);
  }

  of(ref: ResourceRef): CustomResource | undefined {
    return this.#watched.get(groupResource(ref));
  }

  #see(crd: CustomResourceDefinition): void {
    const found = customResourceOf(crd);
    const id = groupResource({ group: crd.spec.group, resource: crd.spec.names.plural });
    const known = this.#watched.get(id);
    if (found === undefined || found.ref.version !== known?.ref.version) this.#drop(id);
    if (found === undefined || this.#watched.has(id)) return;
    this.#watched.set(id, found);
    this.#onInformer(this.#informers.informer<KubeObject>(found.ref));
    this.#informers.startLate(found.ref);
  }

  #drop(id: string): void {
    const known = this.#watched.get(id);
    if (known === undefined) return;
    this.#watched.delete(id);
    this.#informers.remove(known.ref);
  }
}
