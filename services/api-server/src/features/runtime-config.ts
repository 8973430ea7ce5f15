// --runtime-config: which versions and resources of the built-in API are served. Guarantees: without it the stable versions are and
// nothing else, as upstream has it; what is said of a resource goes before what is said of its version, and that before what is said
// of all versions of a stage; what cannot be understood, or is to be served and not there, is refused by name.
import { allKinds, type KindDefinition } from "@coxswain/api";
import { apiVersionOf, type ResourceRef } from "@coxswain/apimachinery";
import { notBoolean, readBoolean } from "./feature-gates.ts";

export type Served = (kind: Pick<KindDefinition, "group" | "version" | "resource">) => boolean;

/** The versions that upstream's v1.35 knows, be they here or not. */
const VERSIONS: Readonly<Record<string, string>> = {
  "": "v1",
  "admission.k8s.io": "v1 v1beta1",
  "admissionregistration.k8s.io": "v1 v1beta1 v1alpha1",
  "apiextensions.k8s.io": "v1 v1beta1",
  "apiregistration.k8s.io": "v1 v1beta1",
  apps: "v1 v1beta2 v1beta1",
  "authentication.k8s.io": "v1 v1beta1 v1alpha1",
  "authorization.k8s.io": "v1 v1beta1",
  autoscaling: "v2 v1 v2beta1 v2beta2",
  batch: "v1 v1beta1",
  "certificates.k8s.io": "v1 v1beta1 v1alpha1",
  "coordination.k8s.io": "v1 v1beta1 v1alpha2",
  "discovery.k8s.io": "v1 v1beta1",
  "events.k8s.io": "v1 v1beta1",
  extensions: "v1beta1",
  "flowcontrol.apiserver.k8s.io": "v1 v1beta3 v1beta2 v1beta1",
  "imagepolicy.k8s.io": "v1alpha1",
  "internal.apiserver.k8s.io": "v1alpha1",
  "networking.k8s.io": "v1 v1beta1",
  "node.k8s.io": "v1 v1beta1 v1alpha1",
  policy: "v1 v1beta1",
  "rbac.authorization.k8s.io": "v1 v1beta1 v1alpha1",
  "resource.k8s.io": "v1 v1beta2 v1beta1 v1alpha3",
  "scheduling.k8s.io": "v1 v1beta1 v1alpha1",
  "storage.k8s.io": "v1 v1beta1 v1alpha1",
  "storagemigration.k8s.io": "v1beta1",
};

const ALL = "api/all";
/** In the order in which they hold: a later one over the ones before. */
const STAGES: ReadonlyMap<string, RegExp> = new Map([
  [ALL, /^/],
  ["api/ga", /^v\d+$/],
  ["api/beta", /^v\d+beta\d+$/],
  ["api/alpha", /^v\d+alpha\d+$/],
]);

const isStable = (version: string): boolean => STAGES.get("api/ga")!.test(version);

/** What is served where nothing is said. */
export const SERVED_BY_DEFAULT: Served = ({ version }) => isStable(version);

function readPairs(texts: readonly string[]): Map<string, string> {
  const pairs = texts.flatMap((text) => text.split(",")).filter((pair) => pair !== "");
  return new Map(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      return at < 0 ? [pair.trim(), ""] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
    }),
  );
}

/** Of a key that names a version, or a resource of one. @throws Error */
function subjectOf(key: string): ResourceRef {
  const [group, version = "", resource = "", ...more] = key.split("/");
  if (group === undefined || version === "" || more.length > 0) throw new Error(`runtime-config invalid key ${key}`);
  return { group, version, resource };
}

interface Said {
  readonly subject: ResourceRef;
  readonly on: boolean;
}

function preference(key: string, value: string): Said {
  const subject = subjectOf(key);
  const { group, version, resource } = subject;
  if (!(VERSIONS[group] ?? "").split(" ").includes(version)) {
    throw new Error(`group version ${apiVersionOf(subject)} that has not been registered`);
  }
  const on = value === "" ? true : readBoolean(value);
  if (on === undefined) throw new Error(`invalid value of ${key}: ${value}, err: ${notBoolean(value)}`);
  if (resource !== resource.toLowerCase()) {
    const wanted = "group/version/resource and resource is always lowercase plural";
    throw new Error(`invalid key ${key}: ${wanted}, not ${JSON.stringify(resource)}`);
  }
  const there = (kind: KindDefinition): boolean =>
    kind.group === group && kind.version === version && (resource === "" || kind.resource === resource);
  if (on && !allKinds().some(there)) throw new Error(`${key} cannot be served: there is nothing of it here`);
  return { subject, on };
}

/** `texts`: values of the flag, each with any number of key=true|false. @throws Error */
export function parseRuntimeConfig(texts: readonly string[]): Served {
  const pairs = readPairs(texts);
  if (pairs.get(ALL) === "false" && pairs.size === 1) throw new Error(`invalid key with only ${ALL}=false`);
  const keys = [...pairs.keys()].filter((key) => !STAGES.has(key));
  const unknown = keys.map((key) => subjectOf(key).group).filter((group) => VERSIONS[group] === undefined);
  if (unknown.length > 0) throw new Error(`unknown api groups ${unknown.join(",")}`);
  const stages: { readonly pattern: RegExp; readonly on: boolean }[] = [];
  for (const [flag, pattern] of STAGES) {
    const value = pairs.get(flag);
    if (value === undefined) continue;
    if (value !== "true" && value !== "false") throw new Error(`invalid value ${flag}=${value}`);
    stages.push({ pattern, on: value === "true" });
  }
  const said = new Map(
    keys.map((key) => {
      const { subject, on } = preference(key, pairs.get(key)!);
      return [`${apiVersionOf(subject)}/${subject.resource}`, on] as const;
    }),
  );
  return (kind) => {
    const version = apiVersionOf(kind);
    const own = said.get(`${version}/${kind.resource}`) ?? said.get(`${version}/`);
    return own ?? stages.findLast(({ pattern }) => pattern.test(kind.version))?.on ?? SERVED_BY_DEFAULT(kind);
  };
}
