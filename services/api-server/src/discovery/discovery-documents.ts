// Discovery, generated from the kinds: which groups, versions and resources are served. Pure. Two forms: the legacy lists
// (/api, /apis, /api/v1, /apis/G/V) and aggregated discovery v2. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
import { createHash } from "node:crypto";
import type { KindDefinition } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import { subresourcesOf } from "@coxswain/api/subresources";
import { apiVersionOf, type GroupVersionKind } from "@coxswain/apimachinery";
import type { RemoteVersion } from "../aggregation/aggregator.ts";
import { builtInPriority, comparePrioritized, CUSTOM_PRIORITY } from "../aggregation/group-priorities.ts";
import type { GroupPriority } from "../aggregation/group-priorities.ts";

export interface DiscoveryDocuments {
  /** The legacy document of a path without trailing slash; undefined where the path is none of discovery's. */
  legacy(path: string): object | undefined;
  /** The aggregated document of "/api" or "/apis". */
  aggregated(path: "/api" | "/apis"): object;
  /** All paths that have a legacy document. */
  readonly paths: readonly string[];
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

const byResource = (a: KindDefinition, b: KindDefinition): number => (a.resource < b.resource ? -1 : 1);

/** By it migrators see that a resource is stored in another version than before. Of one version it is upstream's. */
function storageVersionHash({ group, version, kind }: GroupVersionKind): string {
  return createHash("sha256").update(`${group}/${version}/${kind}`).digest().subarray(0, 8).toString("base64");
}

function advertisedVerbs(kind: KindDefinition): readonly string[] {
  return (kind.leaving?.verbs ?? kind.verbs).toSorted();
}

function legacyResource(kind: KindDefinition): object[] {
  const main = {
    name: kind.resource,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: advertisedVerbs(kind),
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    ...(kind.stored ? { storageVersionHash: storageVersionHash(kind.custom?.storedAs ?? storedKindOf(kind)) } : {}),
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
    verbs: advertisedVerbs(kind),
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

function legacyGroup(group: string, versions: readonly string[]): object {
  const list = versions.map((version) => ({ groupVersion: apiVersionOf({ group, version }), version }));
  return { name: group, versions: list, preferredVersion: list[0] };
}

interface ServedVersion {
  readonly version: string;
  readonly priority: GroupPriority;
  readonly kinds: KindDefinition[];
  /** Set where another api-server serves it. */
  readonly remote?: RemoteVersion;
}

interface ServedGroup {
  readonly group: string;
  /** The preferred one first. */
  readonly versions: readonly ServedVersion[];
}

/** In the order of preference. What a remote serves is not served here. */
function servedGroups(kinds: readonly KindDefinition[], remotes: readonly RemoteVersion[]): ServedGroup[] {
  const byGroup = new Map<string, Map<string, ServedVersion>>();
  const versionsOf = (group: string): Map<string, ServedVersion> => {
    const found = byGroup.get(group) ?? new Map<string, ServedVersion>();
    byGroup.set(group, found);
    return found;
  };
  for (const remote of remotes) {
    const { group, version, priority } = remote;
    versionsOf(group).set(version, { version, priority, kinds: [], remote });
  }
  const ownVersions = new Set(kinds.filter(({ custom }) => custom === undefined).map(apiVersionOf));
  for (const kind of servedKinds(kinds)) {
    const { group, version } = kind;
    // A definition adds nothing to a version that has kinds of its own.
    if (kind.custom !== undefined && ownVersions.has(apiVersionOf(kind))) continue;
    const priority = builtInPriority(group, version) ?? CUSTOM_PRIORITY;
    const served = versionsOf(group).get(version) ?? { version, priority, kinds: [] };
    if (served.remote === undefined) served.kinds.push(kind);
    versionsOf(group).set(version, served);
  }
  const groups = [...byGroup].map(([group, versions]) => ({
    group,
    versions: [...versions.values()].toSorted(comparePrioritized),
  }));
  const highest = ({ versions }: ServedGroup): number => Math.max(...versions.map(({ priority }) => priority.group));
  return groups.toSorted((a, b) => highest(b) - highest(a) || (a.group < b.group ? -1 : 1));
}

function aggregatedVersion({ version, kinds, remote }: ServedVersion): object {
  const resources = remote?.resources ?? kinds.toSorted(byResource).map(aggregatedResource);
  return { version, resources, freshness: remote?.stale === true ? "Stale" : "Current" };
}

/** `serverAddress`: host:port for clients, as /api tells it. */
export function createDiscovery(
  kinds: readonly KindDefinition[],
  serverAddress: string,
  remotes: readonly RemoteVersion[] = [],
): DiscoveryDocuments {
  const served = servedGroups(kinds, remotes);
  const named = served.filter(({ group }) => group !== "");
  const core = served.filter(({ group }) => group === "");
  const names = ({ versions }: ServedGroup): string[] => versions.map(({ version }) => version);

  const documents = new Map<string, object>();
  documents.set("/api", {
    kind: "APIVersions",
    versions: core.flatMap(names),
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  });
  documents.set("/apis", {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: named.map((one) => legacyGroup(one.group, names(one))),
  });
  for (const one of served) {
    const { group } = one;
    if (group !== "") {
      documents.set(`/apis/${group}`, { kind: "APIGroup", apiVersion: "v1", ...legacyGroup(group, names(one)) });
    }
    for (const { version, kinds: list, remote } of one.versions) {
      // The remote answers for its own version.
      if (remote !== undefined) continue;
      const groupVersion = apiVersionOf({ group, version });
      documents.set(`${group === "" ? "/api" : "/apis"}/${groupVersion}`, {
        kind: "APIResourceList",
        ...(group === "" ? {} : { apiVersion: "v1" }),
        groupVersion,
        resources: list.toSorted(byResource).flatMap(legacyResource),
      });
    }
  }

  const aggregatedGroup = ({ group, versions }: ServedGroup): object => ({
    metadata: group === "" ? { creationTimestamp: null } : { name: group, creationTimestamp: null },
    versions: versions.map(aggregatedVersion),
  });
  return {
    legacy: (path) => documents.get(path),
    paths: [...documents.keys()],
    aggregated: (path) => ({
      kind: "APIGroupDiscoveryList",
      apiVersion: "apidiscovery.k8s.io/v2",
      metadata: {},
      items: (path === "/api" ? core : named).map(aggregatedGroup),
    }),
  };
}
