// Discovery, generated from the kinds: which groups, versions and resources are served. Pure. Two forms: the legacy lists
// (/api, /apis, /api/v1, /apis/G/V) and aggregated discovery v2. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
import type { KindDefinition, SubresourceDefinition } from "@coxswain/api";
import { apiVersionOf } from "@coxswain/apimachinery";

export interface DiscoveryDocuments {
  /** The legacy document of a path without trailing slash; undefined where the path is none of discovery's. */
  legacy(path: string): object | undefined;
  /** The aggregated document of "/api" or "/apis". */
  aggregated(path: "/api" | "/apis"): object;
}

interface Subresource {
  readonly name: string;
  readonly verbs: readonly string[];
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** The order in which clients should prefer groups; what is not named comes last, by name. */
const GROUP_ORDER = [
  "",
  "apps",
  "events.k8s.io",
  "authentication.k8s.io",
  "authorization.k8s.io",
  "autoscaling",
  "batch",
];
const SCALE: Omit<Subresource, "name"> = {
  verbs: ["get", "patch", "update"],
  group: "autoscaling",
  version: "v1",
  kind: "Scale",
};

function rank(group: string): number {
  const at = GROUP_ORDER.indexOf(group);
  return at < 0 ? GROUP_ORDER.length : at;
}

/** Kinds that are resources of their own: not those that only travel through a subresource. */
export function servedKinds(kinds: readonly KindDefinition[]): KindDefinition[] {
  const bodies = new Set(
    kinds.flatMap((kind) => kind.subresources.map((sub) => `${sub.group}/${sub.version}/${sub.kind}`)),
  );
  bodies.add("autoscaling/v1/Scale");
  // Binding is both a subresource of pods and a resource.
  return kinds.filter(
    (kind) => kind.stored || kind.kind === "Binding" || !bodies.has(`${kind.group}/${kind.version}/${kind.kind}`),
  );
}

export function subresourcesOf(kind: KindDefinition): Subresource[] {
  const { group, version } = kind;
  const found: Subresource[] = kind.subresources.map((sub: SubresourceDefinition) => sub);
  const known = new Set(found.map((sub) => sub.name));
  if (kind.hasStatus && !known.has("status")) {
    found.push({ name: "status", verbs: ["get", "patch", "update"], group, version, kind: kind.kind });
  }
  if (kind.scale !== undefined && !known.has("scale")) found.push({ name: "scale", ...SCALE });
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

const byResource = (a: KindDefinition, b: KindDefinition): number => (a.resource < b.resource ? -1 : 1);

function legacyResource(kind: KindDefinition): object[] {
  const main = {
    name: kind.resource,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: kind.verbs.toSorted(),
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
  };
  const rest = subresourcesOf(kind).map((sub) => ({
    name: `${kind.resource}/${sub.name}`,
    singularName: "",
    namespaced: kind.namespaced,
    ...(sub.group === kind.group && sub.version === kind.version ? {} : { group: sub.group, version: sub.version }),
    kind: sub.kind,
    verbs: sub.verbs.toSorted(),
  }));
  return [main, ...rest];
}

function aggregatedResource(kind: KindDefinition): object {
  const subresources = subresourcesOf(kind).map((sub) => ({
    subresource: sub.name,
    responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
    verbs: sub.verbs.toSorted(),
  }));
  return {
    resource: kind.resource,
    responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
    scope: kind.namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs: kind.verbs.toSorted(),
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

function legacyGroup(group: string, versions: readonly string[]): object {
  const list = versions.map((version) => ({ groupVersion: apiVersionOf({ group, version }), version }));
  return { name: group, versions: list, preferredVersion: list[0] };
}

/** `serverAddress`: host:port for clients, as /api tells it. */
export function createDiscovery(kinds: readonly KindDefinition[], serverAddress: string): DiscoveryDocuments {
  const byVersion = new Map<string, Map<string, KindDefinition[]>>();
  for (const kind of servedKinds(kinds)) {
    const versions = byVersion.get(kind.group) ?? new Map<string, KindDefinition[]>();
    byVersion.set(kind.group, versions);
    versions.set(kind.version, [...(versions.get(kind.version) ?? []), kind]);
  }
  const groups = [...byVersion.keys()].toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const named = groups.filter((group) => group !== "");
  const versionsOf = (group: string): string[] => [...(byVersion.get(group)?.keys() ?? [])];

  const documents = new Map<string, object>();
  documents.set("/api", {
    kind: "APIVersions",
    versions: versionsOf(""),
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  });
  documents.set("/apis", {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: named.map((group) => legacyGroup(group, versionsOf(group))),
  });
  for (const group of groups) {
    if (group !== "") {
      documents.set(`/apis/${group}`, { kind: "APIGroup", apiVersion: "v1", ...legacyGroup(group, versionsOf(group)) });
    }
    for (const [version, list] of byVersion.get(group) ?? []) {
      const groupVersion = apiVersionOf({ group, version });
      documents.set(`${group === "" ? "/api" : "/apis"}/${groupVersion}`, {
        kind: "APIResourceList",
        ...(group === "" ? {} : { apiVersion: "v1" }),
        groupVersion,
        resources: list.toSorted(byResource).flatMap(legacyResource),
      });
    }
  }

  const aggregatedGroup = (group: string): object => ({
    metadata: group === "" ? { creationTimestamp: null } : { name: group, creationTimestamp: null },
    versions: [...(byVersion.get(group) ?? [])].map(([version, list]) => ({
      version,
      resources: list.toSorted(byResource).map(aggregatedResource),
      freshness: "Current",
    })),
  });
  return {
    legacy: (path) => documents.get(path),
    aggregated: (path) => ({
      kind: "APIGroupDiscoveryList",
      apiVersion: "apidiscovery.k8s.io/v2",
      metadata: {},
      items: (path === "/api" ? groups.filter((group) => group === "") : named).map(aggregatedGroup),
    }),
  };
}
