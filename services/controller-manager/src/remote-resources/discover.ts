// The resources that other api-servers serve, by their APIServices, for controllers that look at all resources. Guarantee: what
// cannot be asked is told by name, and does not stand in the way of the others.
import { API_SERVICES, type APIService } from "@coxswain/api";
import { groupResource, type ResourceRef } from "@coxswain/apimachinery";
import type { AggregatedClient, InformerFactory, SharedInformer } from "@coxswain/client";

export interface RemoteResource {
  readonly ref: ResourceRef;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

export interface RemoteDiscovery {
  /** Each in the version that its APIServices prefer. */
  readonly resources: readonly RemoteResource[];
  /** Versions of groups, as in "metrics.k8s.io/v1beta1", that did not answer. */
  readonly failed: readonly string[];
}

/** Served by another api-server. */
export const isRemote = ({ spec }: APIService): boolean => spec?.service !== undefined && spec.service !== null;

/** And that one does not answer. */
export function isAway(service: APIService): boolean {
  const available = service.status?.conditions?.find(({ type }) => type === "Available");
  return isRemote(service) && available?.status === "False";
}

export const versionOf = ({ spec }: APIService): string => `${spec?.group ?? ""}/${spec?.version ?? ""}`;

interface Listed {
  readonly name?: unknown;
  readonly kind?: unknown;
  readonly namespaced?: unknown;
  readonly verbs?: unknown;
}

/** `document` is an APIResourceList; subresources are no resources. */
export function resourcesOf(document: unknown, group: string, version: string): RemoteResource[] {
  const { resources } = (document ?? {}) as { readonly resources?: unknown };
  if (!Array.isArray(resources)) throw new Error(`${group}/${version} answered no list of resources`);
  return (resources as readonly (Listed | null)[]).flatMap((each) => {
    const { name, kind, namespaced, verbs } = each ?? {};
    if (typeof name !== "string" || typeof kind !== "string" || name.includes("/")) return [];
    const known = Array.isArray(verbs) ? verbs.filter((verb): verb is string => typeof verb === "string") : [];
    return [{ ref: { group, version, resource: name }, kind, namespaced: namespaced === true, verbs: known }];
  });
}

const preference = ({ spec }: APIService): number => spec?.versionPriority ?? 0;

export class RemoteDiscoverer {
  readonly #client: AggregatedClient | undefined;
  readonly #services: SharedInformer<APIService>;

  /** Without `client` nothing of other api-servers is seen, but what is away is told. */
  constructor(client: AggregatedClient | undefined, informers: InformerFactory) {
    this.#client = client;
    this.#services = informers.informer<APIService>(API_SERVICES);
  }

  async discover(): Promise<RemoteDiscovery> {
    const client = this.#client;
    const remotes = this.#services.lister.list().filter(isRemote);
    const failed = remotes.filter(isAway).map(versionOf);
    if (client === undefined) return { resources: [], failed };
    const found = new Map<string, RemoteResource>();
    const present = remotes.filter((each) => !isAway(each)).toSorted((a, b) => preference(b) - preference(a));
    const answers = await Promise.allSettled(
      present.map(async ({ spec: { group = "", version = "" } = {} }) =>
        resourcesOf(await client.read(`/apis/${group}/${version}`), group, version),
      ),
    );
    answers.forEach((answer, at) => {
      if (answer.status === "rejected") return failed.push(versionOf(present[at]!));
      for (const each of answer.value) {
        const id = groupResource(each.ref);
        if (!found.has(id)) found.set(id, each);
      }
      return undefined;
    });
    return { resources: [...found.values()], failed };
  }
}
