// All kinds that this process serves at the moment: the built-in ones that are not turned off, and those that definitions in the
// watch cache give.
// Guarantees: a kind is there as soon as the cache holds its established definition; kinds of one definition are made once
// and stay the same objects until the definition changes.
import type { ConvertObjects, KindDefinition } from "@coxswain/api";
import { CUSTOM_RESOURCE_DEFINITIONS } from "@coxswain/api";
import { allKinds, kindFor, kindForGvk } from "@coxswain/api/scheme";
import { customKinds } from "@coxswain/api/apiextensions-v1/custom-kind";
import { crdCondition, type CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { compareVersions, deepEqual, type GroupVersionKind, type ResourceRef } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import { SERVED_BY_DEFAULT, type Served } from "../features/runtime-config.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";

export interface KindSource {
  kindFor(ref: ResourceRef): KindDefinition | undefined;
  kindForGvk(gvk: GroupVersionKind): KindDefinition | undefined;
  /** The same list until kinds come or go. */
  all(): readonly KindDefinition[];
}

/** The kinds that are there without any definition, served or not. */
export const BUILT_IN: KindSource = { kindFor, kindForGvk, all: allKinds };

const resourceKey = (ref: ResourceRef): string => `${ref.group}/${ref.version}/${ref.resource}`;
const kindKey = (gvk: GroupVersionKind): string => `${gvk.group}/${gvk.version}/${gvk.kind}`;

interface Known {
  readonly crd: CustomResourceDefinition;
  readonly kinds: readonly KindDefinition[];
}

export class CustomKinds implements KindSource {
  /** The same, and the built-in kinds that are turned off: a server keeps its own objects, be they served to others or not. */
  readonly whole: KindSource = {
    kindFor: (ref) => kindFor(ref) ?? this.kindFor(ref),
    kindForGvk: (gvk) => kindForGvk(gvk) ?? this.kindForGvk(gvk),
    all: () => {
      this.#refresh();
      return this.#whole;
    },
  };
  readonly #served: Served;
  readonly #builtIn: readonly KindDefinition[];
  readonly #cache: WatchCache;
  readonly #logger: Logger;
  readonly #converterOf: (crd: CustomResourceDefinition) => ConvertObjects | undefined;
  #seen: unknown;
  #seenRv = -1n;
  #known = new Map<string, Known>();
  #byResource = new Map<string, KindDefinition>();
  #byKind = new Map<string, KindDefinition>();
  #all: readonly KindDefinition[];
  #whole: readonly KindDefinition[] = allKinds();

  constructor(
    cache: WatchCache,
    logger: Logger,
    converter: (crd: CustomResourceDefinition) => ConvertObjects | undefined,
    served: Served = SERVED_BY_DEFAULT,
  ) {
    this.#served = served;
    this.#builtIn = allKinds().filter(served);
    this.#all = this.#builtIn;
    this.#cache = cache;
    this.#logger = logger;
    this.#converterOf = converter;
    cache.onChange(CUSTOM_RESOURCE_DEFINITIONS, () => this.#refresh());
  }

  kindFor(ref: ResourceRef): KindDefinition | undefined {
    const built = kindFor(ref);
    if (built !== undefined) return this.#served(built) ? built : undefined;
    this.#refresh();
    return this.#byResource.get(resourceKey(ref));
  }

  kindForGvk(gvk: GroupVersionKind): KindDefinition | undefined {
    const built = kindForGvk(gvk);
    if (built !== undefined) return this.#served(built) ? built : undefined;
    this.#refresh();
    return this.#byKind.get(kindKey(gvk));
  }

  all(): readonly KindDefinition[] {
    this.#refresh();
    return this.#all;
  }

  /** Looks at the definitions where one has changed since the last look. */
  #refresh(): void {
    const resource = this.#cache.find(CUSTOM_RESOURCE_DEFINITIONS);
    if (resource === undefined || (resource === this.#seen && resource.lastRv === this.#seenRv)) return;
    this.#seen = resource;
    this.#seenRv = resource.lastRv;
    const known = new Map<string, Known>();
    for (const { name, object } of resource.list()) {
      const crd = object as CustomResourceDefinition;
      const before = this.#known.get(name);
      known.set(name, before !== undefined && servesAlike(before.crd, crd) ? before : this.#make(crd));
    }
    const gone = [...this.#known].filter(([name, { kinds }]) => known.get(name)?.kinds !== kinds);
    this.#known = known;
    this.#index();
    for (const [, { kinds }] of gone) for (const kind of kinds.slice(0, 1)) this.#cache.endWatches(kind);
  }

  #make(crd: CustomResourceDefinition): Known {
    try {
      return { crd, kinds: customKinds(crd, this.#converterOf(crd)) };
    } catch (error) {
      // Validation lets through nothing that cannot be compiled; what was stored by others is passed over.
      this.#logger.error({ name: crd.metadata?.name, error: String(error) }, "a definition cannot be served");
      return { crd, kinds: [] };
    }
  }

  #index(): void {
    const custom = [...this.#known.values()]
      .flatMap(({ kinds }) => kinds)
      .filter((kind) => kindFor(kind) === undefined)
      .toSorted((a, b) => compareText(a.group, b.group) || compareVersions(a.version, b.version));
    this.#byResource = new Map(custom.map((kind) => [resourceKey(kind), kind]));
    this.#byKind = new Map(custom.map((kind) => [kindKey(kind), kind]));
    this.#all = [...this.#builtIn, ...custom];
    this.#whole = [...allKinds(), ...custom];
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** True where nothing that kinds are made of differs. */
function servesAlike(a: CustomResourceDefinition, b: CustomResourceDefinition): boolean {
  const says = (crd: CustomResourceDefinition): unknown[] => [
    crd.spec,
    crd.status?.acceptedNames,
    crdCondition(crd, "Established")?.status,
    crdCondition(crd, "Terminating")?.status,
  ];
  return deepEqual(says(a), says(b));
}
