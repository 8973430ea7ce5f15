// Whether a pod's claims can be had on a node, and how: the volumes to bind and those to have made. Pure.
// https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
import type { CSIStorageCapacity, Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from "@coxswain/api";
import {
  annotationOf,
  classOf,
  findVolume,
  isReachableFrom,
  SELECTED_NODE,
} from "@coxswain/api/core-v1/persistent-volume/binding";
import { labelSelectorAsSelector, objectKey, parseQuantity } from "@coxswain/apimachinery";
import type { ClusterVolumes } from "../snapshot/cluster-volumes.ts";
import type { PodClaims } from "./pod-claims.ts";

export interface Binding {
  readonly claim: PersistentVolumeClaim;
  readonly volume: PersistentVolume;
}

export interface NodeVolumes {
  readonly bind: readonly Binding[];
  /** Claims whose volumes are to be made on the node. */
  readonly provision: readonly PersistentVolumeClaim[];
  /** Why the node cannot do; empty where it can. */
  readonly reasons: readonly string[];
}

export const NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity";
export const BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind";
export const NOT_ENOUGH_SPACE = "node(s) did not have enough free storage";
export const NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

const NO_PROVISIONER = "kubernetes.io/no-provisioner";
const requestOf = (claim: PersistentVolumeClaim) => parseQuantity(claim.spec?.resources?.requests?.["storage"] ?? "0");

export function planNodeVolumes({ bound, delayed }: PodClaims, node: Node, volumes: ClusterVolumes): NodeVolumes {
  const reasons = new Set<string>();
  for (const claim of bound) {
    const volume = volumes.volumes.get(claim.spec?.volumeName ?? "");
    if (volume === undefined) reasons.add(NO_VOLUME);
    else if (!isReachableFrom(volume, node)) reasons.add(NODE_CONFLICT);
  }
  const bind: Binding[] = [];
  const provision: PersistentVolumeClaim[] = [];
  const taken = new Set<string>();
  // Small requests first, so that they do not take what only suits a large one.
  for (const claim of delayed.toSorted((a, b) => requestOf(a).compare(requestOf(b)))) {
    const selected = annotationOf(claim, SELECTED_NODE) ?? "";
    if (selected !== "" && selected !== node.metadata?.name) {
      reasons.add(BIND_CONFLICT);
      continue;
    }
    const found = selected === "" ? findVolume(claim, volumes.ofClass(classOf(claim)), { node, taken }) : undefined;
    if (found !== undefined) {
      taken.add(found.metadata?.name ?? "");
      bind.push({ claim, volume: found });
      continue;
    }
    const why = cannotProvision(claim, node, volumes);
    if (why === undefined) provision.push(claim);
    else reasons.add(why);
  }
  return { bind, provision, reasons: [...reasons] };
}

function cannotProvision(claim: PersistentVolumeClaim, node: Node, volumes: ClusterVolumes): string | undefined {
  const storageClass = volumes.classes.get(classOf(claim));
  const { provisioner = "" } = storageClass ?? {};
  if (storageClass === undefined || provisioner === "" || provisioner === NO_PROVISIONER) return BIND_CONFLICT;
  if (!isAllowed(storageClass, node)) return BIND_CONFLICT;
  if (volumes.drivers.get(provisioner)?.spec?.storageCapacity !== true) return undefined;
  const name = storageClass.metadata?.name ?? "";
  const room = [...volumes.capacities.values()].some((one) => hasRoom(one, name, claim, node));
  return room ? undefined : NOT_ENOUGH_SPACE;
}

/** Whether the class lets volumes be where the node is. */
function isAllowed({ allowedTopologies = [] }: StorageClass, { metadata }: Node): boolean {
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => values.includes(metadata?.labels?.[key] ?? "")),
  );
}

function hasRoom(one: CSIStorageCapacity, storageClass: string, claim: PersistentVolumeClaim, node: Node): boolean {
  if (one.storageClassName !== storageClass || one.nodeTopology === undefined) return false;
  const most = one.maximumVolumeSize ?? one.capacity;
  if (most === undefined || parseQuantity(most).compare(requestOf(claim)) < 0) return false;
  return labelSelectorAsSelector(one.nodeTopology).matches(node.metadata?.labels);
}

/** Whether what was decided has come true; an Error where it never will. */
export function bindingState(plan: NodeVolumes, node: Node, volumes: ClusterVolumes): "bound" | "open" | Error {
  let open = false;
  for (const { claim, volume } of plan.bind) {
    const now = volumes.volumes.get(volume.metadata?.name ?? "");
    const name = volume.metadata?.name ?? "";
    if (now === undefined) return new Error(`pv ${JSON.stringify(name)} not found`);
    if ((now.spec?.claimRef?.uid ?? "") === "") return new Error(`ClaimRef got reset for pv ${JSON.stringify(name)}`);
    const state = claimState(claim, node, volumes);
    if (state instanceof Error) return state;
    open ||= state === "open";
  }
  for (const claim of plan.provision) {
    const state = claimState(claim, node, volumes);
    if (state instanceof Error) return state;
    const now = volumes.claims.get(objectKey(claim));
    const selected = (now === undefined ? undefined : annotationOf(now, SELECTED_NODE)) ?? "";
    if (state === "open" && selected === "") {
      return new Error(`provisioning failed for PVC ${JSON.stringify(claim.metadata?.name ?? "")}`);
    }
    if (state === "open" && selected !== node.metadata?.name) {
      const wanted = JSON.stringify(node.metadata?.name ?? "");
      return new Error(`selectedNode annotation value ${JSON.stringify(selected)} not set to scheduled node ${wanted}`);
    }
    open ||= state === "open";
  }
  return open ? "open" : "bound";
}

function claimState(claim: PersistentVolumeClaim, node: Node, volumes: ClusterVolumes): "bound" | "open" | Error {
  const now = volumes.claims.get(objectKey(claim));
  const name = JSON.stringify(claim.metadata?.name ?? "");
  if (now === undefined || now.metadata?.uid !== claim.metadata?.uid) {
    return new Error(`persistentvolumeclaim ${name} not found`);
  }
  if (now.metadata?.deletionTimestamp !== undefined) return new Error(`persistentvolumeclaim ${name} is being deleted`);
  const volume = volumes.volumes.get(now.spec?.volumeName ?? "");
  if (volume !== undefined && !isReachableFrom(volume, node)) {
    const of = JSON.stringify(volume.metadata?.name ?? "");
    return new Error(`pv ${of} node affinity doesn't match node ${JSON.stringify(node.metadata?.name ?? "")}`);
  }
  const complete = annotationOf(now, "pv.kubernetes.io/bind-completed") !== undefined;
  return complete && volume !== undefined ? "bound" : "open";
}
