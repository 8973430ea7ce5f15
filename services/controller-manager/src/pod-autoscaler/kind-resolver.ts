// From a kind to the resource that serves it, built in or custom: a RESTMapper out of caches.
import { allKinds, CUSTOM_RESOURCE_DEFINITIONS } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import type { ResourceRef } from "@coxswain/apimachinery";
import type { InformerFactory } from "@coxswain/client";
import { customResourceOf } from "../custom-resources/custom-resources.ts";

export interface ResolvedKind {
  readonly ref: ResourceRef;
  readonly namespaced: boolean;
}

export interface KindResolver {
  /** In whatever version is served; undefined where nobody serves it. */
  resolve(kind: { readonly group: string; readonly kind: string }): ResolvedKind | undefined;
}

/** Before the factory's start. */
export function createKindResolver(informers: InformerFactory): KindResolver {
  const definitions = informers.informer<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS);
  return {
    resolve({ group, kind }) {
      const builtIn = allKinds().find((one) => one.group === group && one.kind === kind && one.stored);
      if (builtIn !== undefined) {
        const { version, resource, namespaced } = builtIn;
        return { ref: { group, version, resource }, namespaced };
      }
      for (const definition of definitions.lister.list()) {
        if (definition.spec.group !== group || definition.spec.names.kind !== kind) continue;
        const found = customResourceOf(definition);
        if (found !== undefined) return { ref: found.ref, namespaced: found.namespaced };
      }
      return undefined;
    },
  };
}
