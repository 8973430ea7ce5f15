// How claims and volumes belong together: the annotations that tell of it, and which volume suits a claim. Pure: what the binder
// and the scheduler have in common. https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
import { labelSelectorAsSelector, parseQuantity } from "@coxswain/apimachinery";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass, Volume } from "../../types.gen.ts";
import { termMatchesNode } from "../node-match.ts";

/** Of a claim: it was bound once, whatever it says now. */
export const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
/** Of a claim or volume: a controller chose the other side, not the author. */
export const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
/** Of a volume: the provisioner that made it. */
export const PROVISIONED_BY = "pv.kubernetes.io/provisioned-by";
/** Of a claim: the node on which the scheduler wants its volume. */
export const SELECTED_NODE = "volume.kubernetes.io/selected-node";
/** Of a claim: the provisioner that is to make its volume; both names are written, either is read. */
export const STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner";
export const BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner";
export const BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class";
export const CLAIM_PROTECTION_FINALIZER = "kubernetes.io/pvc-protection";
export const VOLUME_PROTECTION_FINALIZER = "kubernetes.io/pv-protection";
export const WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer";

export const annotationOf = (object: PersistentVolume | PersistentVolumeClaim, name: string): string | undefined =>
  object.metadata?.annotations?.[name];

/** The class that a claim or volume belongs to; "" where to none. */
export function classOf(object: PersistentVolume | PersistentVolumeClaim): string {
  return annotationOf(object, BETA_STORAGE_CLASS) ?? object.spec?.storageClassName ?? "";
}

/** Whether a claim says of which class it is, be it of none. */
export function namesClass(claim: PersistentVolumeClaim): boolean {
  return annotationOf(claim, BETA_STORAGE_CLASS) !== undefined || claim.spec?.storageClassName !== undefined;
}

export function delaysBinding(storageClass: StorageClass | undefined): boolean {
  return storageClass?.volumeBindingMode === WAIT_FOR_FIRST_CONSUMER;
}

/** Whether the claim is the one that the volume is reserved for or bound to. */
export function isReservedFor(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const reference = volume.spec?.claimRef;
  if (reference === undefined) return false;
  if (reference.name !== claim.metadata?.name || reference.namespace !== claim.metadata?.namespace) return false;
  return (reference.uid ?? "") === "" || reference.uid === claim.metadata?.uid;
}

/** Bound for good, as the binder leaves a claim. */
export function isFullyBound(claim: PersistentVolumeClaim): boolean {
  return (claim.spec?.volumeName ?? "") !== "" && annotationOf(claim, BIND_COMPLETED) !== undefined;
}

const modeOf = (object: PersistentVolume | PersistentVolumeClaim): string => object.spec?.volumeMode ?? "Filesystem";
const sizeOf = (volume: PersistentVolume) => parseQuantity(volume.spec?.capacity?.["storage"] ?? "0");
const requestOf = (claim: PersistentVolumeClaim) => parseQuantity(claim.spec?.resources?.requests?.["storage"] ?? "0");
const attributesOf = (object: PersistentVolume | PersistentVolumeClaim): string =>
  object.spec?.volumeAttributesClassName ?? "";

function hasModes(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const held = volume.spec?.accessModes ?? [];
  return (claim.spec?.accessModes ?? []).every((mode) => held.includes(mode));
}

/** Why a volume cannot be the one that a claim names, in upstream's words; undefined where it can. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  if (sizeOf(volume).compare(requestOf(claim)) < 0) return "requested PV is too small";
  if (classOf(volume) !== classOf(claim)) return "storageClassName does not match";
  if (attributesOf(volume) !== attributesOf(claim)) return "VolumeAttributesClassName does not match";
  if (modeOf(volume) !== modeOf(claim)) return "incompatible volumeMode";
  return hasModes(volume, claim) ? undefined : "incompatible accessMode";
}

/** Whether a volume can be reached from a node. */
export function isReachableFrom(volume: PersistentVolume, node: Node): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  return required === undefined || required.nodeSelectorTerms.some((term) => termMatchesNode(term, node));
}

export interface FindOptions {
  /** Only volumes that can be reached from here: the scheduler's question, for one node. */
  readonly node?: Node;
  /** Names of volumes that are given away already. */
  readonly taken?: ReadonlySet<string>;
  /** The class waits for the first consumer: without a node only a volume that is reserved for the claim is found. */
  readonly delayed?: boolean;
}

/**
 * The volume that suits a claim best: one that is reserved for it; else, of those with the fewest access modes, the smallest
 * that is large enough, the first by name among equals.
 */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: Iterable<PersistentVolume>,
  options: FindOptions = {},
): PersistentVolume | undefined {
  const selector = claim.spec?.selector === undefined ? undefined : labelSelectorAsSelector(claim.spec.selector);
  const request = requestOf(claim);
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (options.taken?.has(volume.metadata?.name ?? "") === true) continue;
    if (!couldHold(volume, claim) || sizeOf(volume).compare(request) < 0) continue;
    const reachable = options.node === undefined || isReachableFrom(volume, options.node);
    if (isReservedFor(volume, claim)) return reachable ? volume : undefined;
    if (options.node === undefined && options.delayed === true) continue;
    if (!reachable || volume.status?.phase !== "Available" || classOf(volume) !== classOf(claim)) continue;
    if (selector !== undefined && !selector.matches(volume.metadata?.labels)) continue;
    if (best === undefined || isBetter(volume, best)) best = volume;
  }
  return best;
}

/** All but what a reservation may pass over. */
function couldHold(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  if (volume.metadata?.deletionTimestamp !== undefined) return false;
  if (volume.spec?.claimRef !== undefined && !isReservedFor(volume, claim)) return false;
  return modeOf(volume) === modeOf(claim) && attributesOf(volume) === attributesOf(claim) && hasModes(volume, claim);
}

function isBetter(volume: PersistentVolume, than: PersistentVolume): boolean {
  const modes = (volume.spec?.accessModes?.length ?? 0) - (than.spec?.accessModes?.length ?? 0);
  const difference = modes || sizeOf(volume).compare(sizeOf(than));
  return difference === 0 ? (volume.metadata?.name ?? "") < (than.metadata?.name ?? "") : difference < 0;
}

/** The name of the claim that a volume of a pod stands for; undefined for volumes of other types. */
export function claimNameOf(pod: Pod, volume: Volume): string | undefined {
  if (volume.persistentVolumeClaim !== undefined) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral === undefined ? undefined : `${pod.metadata?.name ?? ""}-${volume.name}`;
}

/** Whether an ephemeral volume's claim was made for this pod, and not for another that had its name. */
export function isClaimOfPod(claim: PersistentVolumeClaim, pod: Pod): boolean {
  const owner = claim.metadata?.ownerReferences?.find(({ controller }) => controller === true);
  return owner !== undefined && owner.uid === pod.metadata?.uid;
}

/** The object with more annotations. */
export function annotated<T extends PersistentVolume | PersistentVolumeClaim>(
  object: T,
  annotations: Readonly<Record<string, string>>,
): T {
  return {
    ...object,
    metadata: { ...object.metadata, annotations: { ...object.metadata?.annotations, ...annotations } },
  };
}

/** The volume as it is bound to the claim; the same object where it is already. */
export function volumeBoundTo(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = claim.metadata ?? {};
  const byController = !isReservedFor(volume, claim);
  if (!byController && volume.spec?.claimRef?.uid === uid) return volume;
  const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", name, namespace, uid, resourceVersion };
  const bound = { ...volume, spec: { ...volume.spec, claimRef } };
  return byController ? annotated(bound, { [BOUND_BY_CONTROLLER]: "yes" }) : bound;
}
