// The Node authorizer for ConfigMaps and Secrets: a kubelet, or a pack of them, reads by name those that pods bound to its
// nodes name, and no others. All else is for the authorizer inside (RBAC) to decide, with the roles of node identities.
// https://kubernetes.io/docs/reference/access-authn-authz/node/
import { PODS, type Pod } from "@coxswain/api";
import type { AuthorizationAttributes, Authorizer } from "../pipeline/contract.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import { nodeIdentityOf, type NodeIdentity } from "./node-identity.ts";
import { podReferences, type ReferencedResource } from "./pod-references.ts";

const READS = new Set(["get", "list", "watch"]);
const MAX_REMEMBERED = 20_000;

interface Wanted {
  readonly resource: ReferencedResource;
  readonly namespace: string;
  readonly name: string;
}

/** Wraps `inner`, and denies before it is asked: the node roles here grant reads of all ConfigMaps and Secrets. */
export function createNodeAuthorizer<T extends Authorizer>(source: ObjectSource, inner: T): T {
  const isReferenced = createReferenceSearch(source);
  const authorize = (attributes: AuthorizationAttributes): ReturnType<Authorizer["authorize"]> => {
    const denial = denialFor(attributes, isReferenced);
    return denial === undefined ? inner.authorize(attributes) : { allowed: false, reason: denial };
  };
  return { ...inner, authorize };
}

type IsReferenced = (identity: NodeIdentity, username: string, wanted: Wanted) => boolean;

function denialFor(attributes: AuthorizationAttributes, isReferenced: IsReferenced): string | undefined {
  const { group, resource, path, user, namespace, name, verb, subresource } = attributes;
  if (path !== undefined || group !== "" || (resource !== "configmaps" && resource !== "secrets")) return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined) return undefined;
  const cannot = `User ${JSON.stringify(user.username)} cannot ${verb} resource ${JSON.stringify(resource)} in API group "" in the namespace ${JSON.stringify(namespace)}`;
  if (!READS.has(verb) || subresource !== "") return `${cannot}: can only read resources of this type`;
  if (name === "") return `${cannot}: No Object name found`;
  if (namespace === "") return `${cannot}: can only read namespaced object of this type`;
  if (isReferenced(identity, user.username, { resource, namespace, name })) return undefined;
  return `${cannot}: no relationship found between node '${identity.name}' and this object`;
}

/**
 * Finds a pod that names the object. The pod that was found is remembered and looked at first the next time, so that only
 * the first question costs a search through the namespace; there, bytes that do not hold the name are not parsed.
 */
function createReferenceSearch(source: ObjectSource): IsReferenced {
  const witnesses = new Map<string, string>();
  return (identity, username, { resource, namespace, name }) => {
    const proves = (pod: Pod): boolean =>
      identity.covers(pod.spec?.nodeName ?? "") && podReferences(pod)[resource].has(name);
    const key = `${username}/${resource}/${namespace}/${name}`;
    const known = witnesses.get(key);
    const witness = known === undefined ? undefined : source.get(PODS, namespace, known);
    if (witness !== undefined && proves(witness.object)) return true;
    witnesses.delete(key);
    for (const pod of source.list(PODS, namespace)) {
      if (!pod.json.includes(name) || !pod.json.includes(identity.mention) || !proves(pod.object)) continue;
      witnesses.set(key, pod.name);
      const [oldest] = witnesses.keys();
      if (witnesses.size > MAX_REMEMBERED && oldest !== undefined) witnesses.delete(oldest);
      return true;
    }
    return false;
  };
}
