// NodeRestriction: a kubelet changes its own Node, the pods bound to it, the slices of its devices and its own Lease, and nothing
// of other nodes. A pack of simulated kubelets does so for the nodes that its name covers.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
import {
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  type CertificateSigningRequest,
  type CSIDriver,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type PodResourceClaimStatus,
  type ResourceSlice,
  type TokenRequest,
  type Volume,
} from "@coxswain/api";
import { podReferences } from "@coxswain/api/core-v1/pod/references";
import { claimNameOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import { NODE_DISK_FINALIZER, NODE_DISK_LABEL } from "@coxswain/api/storage-v1/storage-class/node-disk";
import { deepEqual, newForbidden, newNotFound, type KubeObject } from "@coxswain/apimachinery";
import { MIRROR_ANNOTATION } from "@coxswain/api/core-v1/pod/annotations";
import { isKnownNode, nodeIdentityOf, type NodeIdentity } from "../auth/node-identity.ts";
import type { Authorizer } from "../pipeline/contract.ts";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";
import { readSigningRequest } from "./certificate-subject.ts";

const NODE_USER = "system:node:";
const NODE_SIGNERS: readonly string[] = [
  "kubernetes.io/kubelet-serving",
  "kubernetes.io/kube-apiserver-client-kubelet",
];
const LEASE_NAMESPACE = "kube-node-lease";

/** `authorizer` decides of audiences that no volume of a pod names; without one none of them is given. */
export function createNodeRestriction(source: ObjectSource, authorizer?: Authorizer): AdmissionPlugin {
  return {
    name: "NodeRestriction",
    validate(attributes) {
      const node = nodeIdentityOf(attributes.request.user);
      if (node === undefined) return undefined;
      if (!isKnownNode(attributes.request.user)) {
        refuse(attributes, `could not determine node from user ${quoted(attributes.request.user.username)}`);
      }
      const { group, resource } = attributes.kind;
      if (group === "" && resource === "nodes") checkNode(attributes, node);
      if (group === "" && resource === "pods") checkPod(attributes, node, source);
      if (group === "" && resource === "persistentvolumeclaims") checkClaim(attributes, node);
      if (group === "" && resource === "persistentvolumes") checkVolume(attributes, node);
      if (group === "resource.k8s.io" && resource === "resourceslices") checkSlice(attributes, node);
      if (group === "coordination.k8s.io" && resource === "leases") checkLease(attributes, node);
      if (group === "storage.k8s.io" && resource === "csinodes") checkCsiNode(attributes, node);
      if (group === "" && resource === "serviceaccounts" && attributes.subresource === "token") {
        return checkToken(attributes, node, source, authorizer);
      }
      if (group === "certificates.k8s.io" && resource === "certificatesigningrequests") {
        return checkSigningRequest(attributes, node);
      }
      return undefined;
    },
  };
}

function refuse({ kind, name }: AdmissionAttributes, message: string): never {
  throw newForbidden(kind, name, message);
}

/** What else a request asks for, its signer checks. */
function checkSigningRequest(attributes: AdmissionAttributes, node: NodeIdentity): Promise<void> | undefined {
  const { operation, subresource, object } = attributes;
  const { spec } = (object ?? {}) as CertificateSigningRequest;
  if (operation !== "CREATE" || subresource !== "" || !NODE_SIGNERS.includes(spec?.signerName ?? "")) return undefined;
  return (async () => {
    const asked = await readSigningRequest(spec.request);
    if (asked instanceof Error) refuse(attributes, `unable to parse csr: ${asked.message}`);
    const { commonName } = asked;
    if (commonName.startsWith(NODE_USER) && node.covers(commonName.slice(NODE_USER.length))) return;
    refuse(attributes, `can only create a node CSR with CN=${NODE_USER}${node.name}`);
  })();
}

function checkNode(attributes: AdmissionAttributes, node: NodeIdentity): void {
  const { operation, name, object, old } = attributes;
  const of = name || (object?.metadata?.name ?? "");
  if (!node.covers(of)) refuse(attributes, `node ${quoted(node.name)} is not allowed to modify node ${quoted(of)}`);
  if (operation === "DELETE")
    refuse(attributes, `node ${quoted(node.name)} is not allowed to delete node ${quoted(of)}`);
  if (operation === "CREATE") {
    const set = forbiddenLabels(object?.metadata?.labels, undefined);
    if (set.length === 0) return;
    refuse(attributes, `node ${quoted(node.name)} is not allowed to set the following labels: ${set.join(", ")}`);
  }
  if (operation !== "UPDATE") return;
  const changed = forbiddenLabels(object?.metadata?.labels, old?.metadata?.labels);
  if (changed.length > 0) refuse(attributes, `is not allowed to modify labels: ${changed.join(", ")}`);
  if (!deepEqual(ownersOf(old), ownersOf(object))) {
    refuse(attributes, `node ${quoted(node.name)} is not allowed to modify ownerReferences`);
  }
  if (JSON.stringify(taintsOf(old)) !== JSON.stringify(taintsOf(object))) {
    refuse(attributes, `node ${quoted(node.name)} is not allowed to modify taints`);
  }
}

/** Labels of Kubernetes' own that a kubelet may give its Node; of the two domains, all. */
const KUBELET_LABELS = new Set([
  "kubernetes.io/hostname",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "node.kubernetes.io/instance-type",
  "beta.kubernetes.io/instance-type",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
]);
const KUBELET_DOMAINS = /(^|\.)(kubelet|node)\.kubernetes\.io$/;
const KUBERNETES = /(^|\.)(kubernetes|k8s)\.io$/;

/** Those that differ and by which a node that was taken over would draw pods to itself. */
function forbiddenLabels(after: Labels = {}, before: Labels = {}): string[] {
  const keys = new Set([...Object.keys(after), ...Object.keys(before)]);
  return [...keys]
    .filter((key) => {
      const domain = key.includes("/") ? key.slice(0, key.indexOf("/")) : "";
      if (after[key] === before[key] || !KUBERNETES.test(domain)) return false;
      return !KUBELET_LABELS.has(key) && !KUBELET_DOMAINS.test(domain);
    })
    .toSorted();
}

type Labels = Readonly<Record<string, string>>;

const ownersOf = (object: KubeObject | undefined): readonly unknown[] => object?.metadata?.ownerReferences ?? [];

function taintsOf(node: Node | undefined): unknown {
  return node?.spec?.taints ?? [];
}

/** A mirror pod belongs to its Node alone, and names nothing that its kubelet could read by it. */
function checkMirror(
  attributes: AdmissionAttributes,
  pod: Pod | undefined,
  node: NodeIdentity,
  source: ObjectSource,
): void {
  const name = quoted(node.name);
  const [owner, ...others] = pod?.metadata?.ownerReferences ?? [];
  const refuseOwner = (what: string): never => refuse(attributes, `node ${name} can only create pods with ${what}`);
  if (others.length > 0) refuseOwner("a single owner reference set to itself");
  const own = boundNode(pod);
  if (owner?.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== own) {
    return refuseOwner("an owner reference set to itself");
  }
  if (owner.controller !== true) refuseOwner("a controller owner reference set to itself");
  if (owner.blockOwnerDeletion === true) {
    refuse(attributes, `node ${name} must not set blockOwnerDeletion on an owner reference`);
  }
  const uid = source.get({ group: "", resource: "nodes" }, "", own)?.object.metadata?.uid ?? "";
  if (owner.uid !== uid) refuse(attributes, `node ${own} UID mismatch: expected ${owner.uid} got ${uid}`);
  const { [MIRROR_ANNOTATION]: _, ...annotations } = pod?.metadata?.annotations ?? {};
  const references = podReferences({ ...pod, metadata: { ...pod?.metadata, annotations } });
  const named = Object.entries(references).find(([, names]) => names.size > 0)?.[0];
  const resource = pod?.spec?.serviceAccountName ? "serviceaccounts" : named;
  if (resource !== undefined) refuse(attributes, `node ${name} can not create pods that reference ${resource}`);
}

function checkPod(attributes: AdmissionAttributes, node: NodeIdentity, source: ObjectSource): void {
  const { operation, object, old, subresource } = attributes;
  if (operation === "CREATE") {
    if (subresource === "eviction") return;
    if (object?.metadata?.annotations?.[MIRROR_ANNOTATION] === undefined) {
      refuse(
        attributes,
        `pod does not have ${quoted(MIRROR_ANNOTATION)} annotation, node ${quoted(node.name)} can only create mirror pods`,
      );
    }
    if (!node.covers(boundNode(object))) {
      refuse(attributes, `node ${quoted(node.name)} can only create pods with spec.nodeName set to itself`);
    }
    checkMirror(attributes, object, node, source);
    return;
  }
  if (!node.covers(boundNode(old))) {
    const doing = operation === "DELETE" ? "delete" : "update pod status for";
    refuse(attributes, `node ${quoted(node.name)} can only ${doing} pods with spec.nodeName set to itself`);
  }
  if (operation === "UPDATE" && subresource !== "status") {
    refuse(attributes, `node ${quoted(node.name)} can only update pod status`);
  }
  if (operation === "UPDATE" && !deepEqual(old?.metadata?.labels ?? {}, object?.metadata?.labels ?? {})) {
    refuse(attributes, `node ${quoted(node.name)} cannot update labels through pod status`);
  }
  if (operation === "UPDATE" && !deepEqual(claimNames(old), claimNames(object))) {
    refuse(attributes, `node ${quoted(node.name)} cannot update resource claim statues`);
  }
}

function claimNames(pod: Pod | undefined): PodResourceClaimStatus[] {
  return pod?.status?.resourceClaimStatuses ?? [];
}

function boundNode(pod: Pod | undefined): string {
  return pod?.spec?.nodeName ?? "";
}

/** Of a claim, a kubelet tells how it has grown. */
function checkClaim(attributes: AdmissionAttributes, node: NodeIdentity): void {
  const { operation, object, old, subresource } = attributes;
  if (subresource !== "status") refuse(attributes, "may only update PVC status");
  if (operation === "UPDATE" && deepEqual(ungrown(object), ungrown(old))) return;
  const told =
    "node " + quoted(node.name) + " is not allowed to update fields other than status.quantity and status.conditions";
  refuse(attributes, told);
}

/** A claim without what changes by itself, and without what a kubelet tells of it. */
function ungrown(claim: PersistentVolumeClaim | undefined): unknown {
  const { managedFields: _fields, resourceVersion: _version, ...metadata } = claim?.metadata ?? {};
  const { capacity: _capacity, conditions: _told, ...rest } = claim?.status ?? {};
  const { allocatedResources: _allocated, allocatedResourceStatuses: _statuses, ...status } = rest;
  return { ...claim, metadata, status };
}

/** A kubelet says that a folder of its own node's disk is gone, and nothing else. */
function checkVolume(attributes: AdmissionAttributes, node: NodeIdentity): void {
  const { operation, object, old, subresource } = attributes;
  const own = node.covers(old?.metadata?.labels?.[NODE_DISK_LABEL] ?? "");
  const leaving = old?.metadata?.deletionTimestamp !== undefined;
  const told =
    operation === "UPDATE" && subresource === "" && own && leaving && deepEqual(settled(object), settled(old));
  if (told) return;
  const may = `only take the finalizer ${quoted(NODE_DISK_FINALIZER)} off volumes of its own disk that are being deleted`;
  refuse(attributes, `node ${quoted(node.name)} can ${may}`);
}

/** An object without what changes by itself, and without the one finalizer. */
function settled(object: KubeObject | undefined): unknown {
  const { finalizers = [], managedFields: _fields, resourceVersion: _version, ...metadata } = object?.metadata ?? {};
  return { ...object, metadata: { ...metadata, finalizers: finalizers.filter((one) => one !== NODE_DISK_FINALIZER) } };
}

/** What is in a slice that is there already is for the authorizer to ask. */
function checkSlice(attributes: AdmissionAttributes, node: NodeIdentity): void {
  const { operation, object, old } = attributes;
  if (operation === "UPDATE") return;
  const slice = (operation === "CREATE" ? object : old) as ResourceSlice | undefined;
  if (node.covers(slice?.spec?.nodeName ?? "")) return;
  const doing = operation === "CREATE" ? "create" : "delete";
  refuse(attributes, `can only ${doing} ResourceSlice with the same NodeName as the requesting node`);
}

function checkLease(attributes: AdmissionAttributes, node: NodeIdentity): void {
  const { namespace, name, object } = attributes;
  if (namespace !== LEASE_NAMESPACE) {
    refuse(attributes, `can only access leases in the ${quoted(LEASE_NAMESPACE)} system namespace`);
  }
  if (!node.covers(name || (object?.metadata?.name ?? ""))) {
    refuse(attributes, "can only access node lease with the same name as the requesting node");
  }
}

function checkCsiNode(attributes: AdmissionAttributes, node: NodeIdentity): void {
  const { name, object } = attributes;
  if (!node.covers(name || (object?.metadata?.name ?? ""))) {
    refuse(attributes, "can only access CSINode with the same name as the requesting node");
  }
}

async function checkToken(
  attributes: AdmissionAttributes,
  node: NodeIdentity,
  source: ObjectSource,
  authorizer: Authorizer | undefined,
): Promise<void> {
  const { spec } = attributes.object as TokenRequest;
  const reference = spec?.boundObjectRef;
  if (reference?.kind !== "Pod" || reference.apiVersion !== "v1" || !reference.name) {
    refuse(attributes, "node requested token not bound to a pod");
  }
  if (!reference.uid) refuse(attributes, "node requested token with a pod binding without a uid");
  const pods = { group: "", resource: "pods" };
  const pod = source.get(pods, attributes.namespace, reference.name)?.object;
  if (pod === undefined) throw newNotFound(pods, reference.name);
  if (pod.metadata?.uid !== reference.uid) {
    const detail = "does not match the UID in record. The object might have been deleted and then recreated";
    refuse(attributes, `the UID in the bound object reference (${reference.uid}) ${detail}`);
  }
  if (!node.covers(boundNode(pod))) {
    refuse(attributes, "node requested token bound to a pod scheduled on a different node");
  }
  const audiences = spec?.audiences ?? [];
  if (audiences.length > 1) refuse(attributes, "node may only request 0 or 1 audiences");
  await checkAudience(attributes, pod, audiences[0] ?? "", source, authorizer);
}

/** A kubelet gets tokens for those alone who a pod of its node has tokens for, lest a node that was taken over speak to others. */
async function checkAudience(
  attributes: AdmissionAttributes,
  pod: Pod,
  audience: string,
  source: ObjectSource,
  authorizer: Authorizer | undefined,
): Promise<void> {
  if (tokenAudiences(pod, source).has(audience)) return;
  const { request, namespace, name } = attributes;
  const verb = "request-serviceaccounts-token-audience";
  const asked = { user: request.user, verb, group: "", version: "v1", resource: audience, subresource: "" };
  if ((await authorizer?.authorize({ ...asked, namespace, name }, request))?.allowed === true) return;
  refuse(
    attributes,
    `audience ${quoted(audience)} not found in pod spec volume, ${request.user.username} is not authorized to request tokens for this audience`,
  );
}

/** Whom the pod's volumes have tokens for: those that hold them, and those of drivers that want them. */
function tokenAudiences(pod: Pod, source: ObjectSource): ReadonlySet<string> {
  const audiences = new Set<string>();
  for (const volume of pod.spec?.volumes ?? []) {
    for (const { serviceAccountToken: token } of volume.projected?.sources ?? []) {
      if (token !== undefined) audiences.add(token.audience ?? "");
    }
    const driver = driverOf(pod, volume, source);
    if (driver === undefined) continue;
    const found = source.get({ group: "storage.k8s.io", resource: "csidrivers" }, "", driver)?.object as
      | CSIDriver
      | undefined;
    for (const { audience } of found?.spec.tokenRequests ?? []) audiences.add(audience);
  }
  return audiences;
}

function driverOf(pod: Pod, volume: Volume, source: ObjectSource): string | undefined {
  if (volume.csi !== undefined) return volume.csi.driver;
  const name = claimNameOf(pod, volume);
  if (name === undefined) return undefined;
  const claim: PersistentVolumeClaim | undefined = source.get(
    PERSISTENT_VOLUME_CLAIMS,
    pod.metadata?.namespace ?? "",
    name,
  )?.object;
  const bound = claim?.spec?.volumeName;
  if (!bound) return undefined;
  const found: PersistentVolume | undefined = source.get(PERSISTENT_VOLUMES, "", bound)?.object;
  return found?.spec?.csi?.driver;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
