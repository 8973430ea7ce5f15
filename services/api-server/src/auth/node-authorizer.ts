// The Node authorizer for ConfigMaps, Secrets, claims, volumes and slices of devices: a kubelet, or a pack of them, reads by name
// those that pods bound to its nodes name, or the volumes that they mount, and no others; of volumes also those on the disks of
// its nodes, which it may list by their label. It reads attachments to its nodes, and service accounts that pods bound to them
// run as. Slices are those of its nodes' devices, which it lists by the node, makes, changes and takes away. Of pods, nodes and
// leases it reads those of its nodes. All else it may that the rules for nodes say. What it may not is for others to allow.
// https://kubernetes.io/docs/reference/access-authn-authz/node/
import {
  PERSISTENT_VOLUMES,
  PODS,
  RESOURCE_SLICES,
  VOLUME_ATTACHMENTS,
  type PersistentVolume,
  type Pod,
  type ResourceSlice,
  type VolumeAttachment,
} from "@coxswain/api";
import { RecentMap } from "@coxswain/apimachinery";
import { volumeSecrets, type SecretName } from "@coxswain/api/core-v1/persistent-volume/secrets";
import { NODE_DISK_LABEL } from "@coxswain/api/storage-v1/storage-class/node-disk";
import type { AuthorizationAttributes } from "../pipeline/contract.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import { ALLOWED, NO_OPINION, type ChainLink } from "./authorizer-chain.ts";
import { nodeRules } from "./bootstrap-policy.ts";
import { isKnownNode, isNode, nodeIdentityOf, type NodeIdentity } from "./node-identity.ts";
import { ruleAllows } from "./rbac-rules.ts";
import { podReferences, type ReferencedResource } from "@coxswain/api/core-v1/pod/references";

const READS = new Set(["get", "list", "watch"]);
const STATUS_VERBS = new Set(["get", "update", "patch"]);
const MAX_REMEMBERED = 20_000;

interface Wanted {
  readonly resource: ReferencedResource | "serviceaccounts";
  readonly namespace: string;
  readonly name: string;
}

/** Has an opinion of kubelets and packs alone, and never forbids. */
export function createNodeAuthorizer(source: ObjectSource): ChainLink {
  const isReferenced = createReferenceSearch(source);
  const allowedByRules = rulesSearch();
  return {
    type: "Node",
    name: "node",
    authorize(attributes) {
      if (!isNode(attributes.user)) return NO_OPINION;
      if (!isKnownNode(attributes.user)) {
        return { allowed: false, reason: `unknown node for user ${JSON.stringify(attributes.user.username)}` };
      }
      const reason =
        denialFor(attributes, isReferenced, source) ??
        volumeDenial(attributes, source, isReferenced) ??
        attachmentDenial(attributes, source) ??
        serviceAccountDenial(attributes, isReferenced) ??
        sliceDenial(attributes, source) ??
        podDenial(attributes, source) ??
        nodeDenial(attributes) ??
        leaseDenial(attributes) ??
        csiNodeDenial(attributes);
      if (reason !== undefined) return { allowed: false, reason };
      return allowedByRules(attributes) ? ALLOWED : NO_OPINION;
    },
    rulesFor: (user) => ({
      rules: [],
      unknown: isNode(user) ? ["node authorizer does not support user rule resolution"] : [],
    }),
  };
}

/** Whether the rules for nodes allow it. They name no objects, so that few questions are ever asked. */
function rulesSearch(): (attributes: AuthorizationAttributes) => boolean {
  const rules = nodeRules();
  const known = new Map<string, boolean>();
  return (attributes) => {
    const { verb, group, resource, subresource, path } = attributes;
    if (path !== undefined) return false;
    const question = `${verb} ${group}/${resource}/${subresource}`;
    let allowed = known.get(question);
    if (allowed !== undefined) return allowed;
    allowed = rules.some((rule) => ruleAllows(rule, attributes));
    if (known.size < MAX_REMEMBERED) known.set(question, allowed);
    return allowed;
  };
}

type IsReferenced = (identity: NodeIdentity, username: string, wanted: Wanted) => boolean;

/** By their groups. */
const REFERENCED: Readonly<Record<ReferencedResource, string>> = {
  configmaps: "",
  secrets: "",
  persistentvolumeclaims: "",
  resourceclaims: "resource.k8s.io",
};

function isReferencedResource(group: string, resource: string): resource is ReferencedResource {
  return Object.hasOwn(REFERENCED, resource) && REFERENCED[resource as ReferencedResource] === group;
}

function denialFor(
  attributes: AuthorizationAttributes,
  isReferenced: IsReferenced,
  source: ObjectSource,
): string | undefined {
  const { group, resource, path, user, namespace, name, verb, subresource } = attributes;
  if (path !== undefined || !isReferencedResource(group, resource)) return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined) return undefined;
  // Of a claim in use, a kubelet tells how it has grown.
  const tells = resource === "persistentvolumeclaims" && subresource === "status" && STATUS_VERBS.has(verb);
  if (!tells && (!READS.has(verb) || subresource !== "")) return `can only read resources of this type`;
  if (name === "") return `No Object name found`;
  if (namespace === "") return `can only read namespaced object of this type`;
  if (isReferenced(identity, user.username, { resource, namespace, name })) return undefined;
  const mounts = (volume: PersistentVolume): boolean => isMounted(identity, user.username, volume, isReferenced);
  if (resource === "secrets" && volumesWith({ namespace, name }, source).some(mounts)) return undefined;
  return `no relationship found between node '${identity.name}' and this object`;
}

function volumesWith(secret: SecretName, source: ObjectSource): PersistentVolume[] {
  return source
    .list(PERSISTENT_VOLUMES, "")
    .filter(({ json }) => json.includes(secret.name))
    .map(({ object }): PersistentVolume => object)
    .filter((volume) =>
      volumeSecrets(volume).some(({ namespace, name }) => namespace === secret.namespace && name === secret.name),
    );
}

/** Whether a pod of the identity's nodes names the claim that the volume is for. */
function isMounted(
  identity: NodeIdentity,
  username: string,
  { spec }: PersistentVolume,
  isReferenced: IsReferenced,
): boolean {
  const { namespace = "", name = "" } = spec?.claimRef ?? {};
  return name !== "" && isReferenced(identity, username, { resource: "persistentvolumeclaims", namespace, name });
}

/** Of reads of volumes; what a node may change of them is for admission to say. */
function volumeDenial(
  { group, resource, path, user, name, verb, labelSelector }: AuthorizationAttributes,
  source: ObjectSource,
  isReferenced: IsReferenced,
): string | undefined {
  if (path !== undefined || group !== "" || resource !== "persistentvolumes" || !READS.has(verb)) return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined) return undefined;
  if (verb !== "get") {
    const own = identity.covers(/^([^=]+)==?(.+)$/.exec(labelSelector ?? "")?.[2] ?? "");
    const ours = own ? (labelSelector ?? "").startsWith(`${NODE_DISK_LABEL}=`) : false;
    if (ours || (isPack(identity) && labelSelector === NODE_DISK_LABEL)) return undefined;
    return `can only list volumes on the disks of its own nodes, by the label ${NODE_DISK_LABEL}`;
  }
  const volume: PersistentVolume | undefined = source.get(PERSISTENT_VOLUMES, "", name)?.object;
  if (identity.covers(volume?.metadata?.labels?.[NODE_DISK_LABEL] ?? "")) return undefined;
  if (volume !== undefined && isMounted(identity, user.username, volume, isReferenced)) return undefined;
  return `no relationship found between node '${identity.name}' and this object`;
}

/** Attachments are read one by one, each by the node that it is to. */
function attachmentDenial(attributes: AuthorizationAttributes, source: ObjectSource): string | undefined {
  const { group, resource, path, user, name, verb, subresource } = attributes;
  if (path !== undefined || group !== "storage.k8s.io" || resource !== "volumeattachments") return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined) return undefined;
  if (verb !== "get") return `can only get individual resources of this type`;
  if (subresource !== "") return `cannot get subresource`;
  if (name === "") return `No Object name found`;
  const attachment = source.get(VOLUME_ATTACHMENTS, "", name)?.object as VolumeAttachment | undefined;
  if (identity.covers(attachment?.spec?.nodeName ?? "")) return undefined;
  return `no relationship found between node '${identity.name}' and this object`;
}

/** Of reads of service accounts. Whom a token is for is for admission to look at. */
function serviceAccountDenial(attributes: AuthorizationAttributes, isReferenced: IsReferenced): string | undefined {
  const { group, resource, path, user, namespace, name, verb, subresource } = attributes;
  if (path !== undefined || group !== "" || resource !== "serviceaccounts") return undefined;
  if (verb !== "get" || subresource !== "") return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined) return undefined;
  if (namespace === "") return `can only read namespaced object of this type`;
  if (name === "") return `No Object name found`;
  if (isReferenced(identity, user.username, { resource, namespace, name })) return undefined;
  return `no relationship found between node '${identity.name}' and this object`;
}

const SLICE_LISTS = new Set(["list", "watch", "deletecollection"]);

/** What a node makes is looked at by admission. */
function sliceDenial(attributes: AuthorizationAttributes, source: ObjectSource): string | undefined {
  const { group, resource, path, user, name, verb, subresource, fieldSelector } = attributes;
  if (path !== undefined || group !== "resource.k8s.io" || resource !== "resourceslices") return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined || (verb === "create" && subresource === "")) return undefined;
  if (subresource !== "") return `cannot authorize ResourceSlice subresources`;
  if (SLICE_LISTS.has(verb)) {
    if (selectsOwn(identity, fieldSelector)) return undefined;
    return `can only list/watch/deletecollection resourceslices with nodeName field selector`;
  }
  const slice = source.get(RESOURCE_SLICES, "", name)?.object as ResourceSlice | undefined;
  if (slice !== undefined && identity.covers(slice.spec?.nodeName ?? "")) return undefined;
  return `no relationship found between node '${identity.name}' and this object`;
}

const selectsOwn = (identity: NodeIdentity, fieldSelector = ""): boolean =>
  fieldSelector.split(",").some((term) => identity.covers(/^spec\.nodeName==?(.+)$/.exec(term)?.[1] ?? ""));

/** Of reads of pods: those of its own nodes, one by one or by the node. What it may write is for admission to say. */
function podDenial(attributes: AuthorizationAttributes, source: ObjectSource): string | undefined {
  const { group, resource, path, user, namespace, name, verb, subresource, fieldSelector } = attributes;
  if (path !== undefined || group !== "" || resource !== "pods" || subresource !== "" || !READS.has(verb))
    return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined || (isPack(identity) && verb !== "get")) return undefined;
  if (verb !== "get" && selectsOwn(identity, fieldSelector)) return undefined;
  if (name === "") return `can only list/watch pods with spec.nodeName field selector`;
  const pod: Pod | undefined = source.get(PODS, namespace, name)?.object;
  if (pod !== undefined && identity.covers(pod.spec?.nodeName ?? "")) return undefined;
  return `no relationship found between node '${identity.name}' and this object`;
}

/** Of reads of nodes: a kubelet's own, be there one yet or not. A pack follows all of them. */
function nodeDenial(attributes: AuthorizationAttributes): string | undefined {
  const { group, resource, path, user, name, verb, subresource } = attributes;
  if (path !== undefined || group !== "" || resource !== "nodes" || subresource !== "" || !READS.has(verb))
    return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined || identity.covers(name) || (isPack(identity) && verb !== "get")) return undefined;
  return name === ""
    ? `node '${identity.name}' cannot read all nodes, only its own Node object`
    : `node '${identity.name}' cannot read '${name}', only its own Node object`;
}

const LEASE_NAMESPACE = "kube-node-lease";

/** The name of one that is made is for admission to look at. */
function leaseDenial(attributes: AuthorizationAttributes): string | undefined {
  const { group, resource, path, user, namespace, name, verb } = attributes;
  if (path !== undefined || group !== "coordination.k8s.io" || resource !== "leases") return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined) return undefined;
  if (namespace !== LEASE_NAMESPACE) {
    return `can only access leases in the ${JSON.stringify(LEASE_NAMESPACE)} system namespace`;
  }
  if (verb === "create" || identity.covers(name)) return undefined;
  return `can only access node lease with the same name as the requesting node`;
}

/** As of leases. */
function csiNodeDenial({ group, resource, path, user, name, verb }: AuthorizationAttributes): string | undefined {
  if (path !== undefined || group !== "storage.k8s.io" || resource !== "csinodes" || verb === "create")
    return undefined;
  const identity = nodeIdentityOf(user);
  if (identity === undefined || identity.covers(name)) return undefined;
  return `can only access CSINode with the same name as the requesting node`;
}

/** The claim of an ephemeral volume is named nowhere in its pod: the name is put together. */
function mayName(json: Buffer, resource: Wanted["resource"], name: string): boolean {
  return json.includes(name) || (resource === "persistentvolumeclaims" && json.includes('"ephemeral"'));
}

function references(pod: Pod, resource: Wanted["resource"], name: string): boolean {
  if (resource === "serviceaccounts") return pod.spec?.serviceAccountName === name;
  return podReferences(pod)[resource].has(name);
}

/** Packs cover many nodes. */
const isPack = (identity: NodeIdentity): boolean => identity.mention !== identity.name;

/**
 * Finds a pod that names the object. The pod that was found is remembered and looked at first the next time, so that only
 * the first question costs a search through the namespace; there, bytes that do not hold the name are not parsed.
 */
function createReferenceSearch(source: ObjectSource): IsReferenced {
  const witnesses = new RecentMap<string, string>(MAX_REMEMBERED);
  return (identity, username, { resource, namespace, name }) => {
    const proves = (pod: Pod): boolean => identity.covers(pod.spec?.nodeName ?? "") && references(pod, resource, name);
    const key = `${username}/${resource}/${namespace}/${name}`;
    const known = witnesses.get(key);
    const witness = known === undefined ? undefined : source.get(PODS, namespace, known);
    if (witness !== undefined && proves(witness.object)) return true;
    witnesses.delete(key);
    for (const pod of source.list(PODS, namespace)) {
      if (!mayName(pod.json, resource, name) || !pod.json.includes(identity.mention) || !proves(pod.object)) continue;
      witnesses.set(key, pod.name);
      return true;
    }
    return false;
  };
}
