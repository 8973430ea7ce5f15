// What a remote api-server says of one of its versions, in the form of aggregated discovery. Pure. Guarantee: whatever it
// answers, the result is a list of well-formed resources or an error that says what is wrong.
export interface RemoteResource {
  readonly resource: string;
  readonly responseKind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly scope: "Namespaced" | "Cluster";
  readonly singularResource: string;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly object[];
}

type Entry = Readonly<Record<string, unknown>>;

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];

function kindOf(entry: Entry, group: string, version: string): RemoteResource["responseKind"] {
  // Either both are told, or the resource is of the list's own version.
  const own = text(entry["version"]) === "";
  return {
    group: own ? group : text(entry["group"]),
    version: own ? version : text(entry["version"]),
    kind: text(entry["kind"]),
  };
}

function withLists(entry: Entry, names: readonly string[]): Record<string, readonly string[]> {
  const lists = names.map((name) => [name, texts(entry[name])] as const);
  return Object.fromEntries(lists.filter(([, list]) => list.length > 0));
}

/** `document` is an APIResourceList. Throws Error where it is not. */
export function remoteResources(document: unknown, group: string, version: string): RemoteResource[] {
  const list = (document ?? {}) as { kind?: unknown; resources?: unknown };
  if (list.kind !== "APIResourceList" || !Array.isArray(list.resources)) throw new Error("not an APIResourceList");
  const entries = list.resources.filter((one): one is Entry => typeof one === "object" && one !== null);
  const subresourcesOf = (resource: string): object[] =>
    entries
      .filter(({ name }) => text(name).startsWith(`${resource}/`))
      .map((entry) => ({
        subresource: text(entry["name"]).slice(resource.length + 1),
        responseKind: kindOf(entry, group, version),
        verbs: texts(entry["verbs"]),
      }));
  return entries
    .filter(({ name }) => text(name) !== "" && !text(name).includes("/"))
    .map((entry) => {
      const resource = text(entry["name"]);
      const subresources = subresourcesOf(resource);
      return {
        resource,
        responseKind: kindOf(entry, group, version),
        scope: entry["namespaced"] === true ? "Namespaced" : "Cluster",
        singularResource: text(entry["singularName"]),
        verbs: texts(entry["verbs"]),
        ...withLists(entry, ["shortNames", "categories"]),
        ...(subresources.length === 0 ? {} : { subresources }),
      };
    });
}
