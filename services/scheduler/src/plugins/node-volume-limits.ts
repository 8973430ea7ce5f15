// NodeVolumeLimits: a node attaches no more volumes of a CSI driver than its CSINode says.
// https://kubernetes.io/docs/concepts/storage/storage-limits/#dynamic-volume-limits
import type { PersistentVolumeClaim, Pod } from "@coxswain/api";
import { classOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import type { Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import type { ClusterVolumes } from "../snapshot/cluster-volumes.ts";
import { CLAIM_EVENTS, claimKeys } from "./pod-claims.ts";

const NAME = "NodeVolumeLimits";
const REJECTION: Rejection = { code: "Unschedulable", reasons: ["node(s) exceed max volume count"] };

/** Volumes by what makes them one, with their driver. */
type CsiVolumes = ReadonlyMap<string, string>;

/** Undefined for what no CSI driver serves. */
function csiVolume(claim: PersistentVolumeClaim, volumes: ClusterVolumes): readonly [string, string] | undefined {
  const volume = volumes.volumes.get(claim.spec?.volumeName ?? "");
  if (volume !== undefined) {
    const { csi } = volume.spec ?? {};
    return csi === undefined ? undefined : [`${csi.driver}/${csi.volumeHandle}`, csi.driver];
  }
  // It will be made by the provisioner, which has the driver's name, and counts as one of its own until then.
  const { provisioner = "" } = volumes.classes.get(classOf(claim)) ?? {};
  const { namespace = "", name = "" } = claim.metadata ?? {};
  return volumes.drivers.has(provisioner) ? [`${provisioner}/claim ${namespace}/${name}`, provisioner] : undefined;
}

function csiVolumesOf(pod: Pod, volumes: ClusterVolumes): CsiVolumes {
  const found = claimKeys(pod).flatMap((key) => {
    const claim = volumes.claims.get(key);
    const one = claim === undefined ? undefined : csiVolume(claim, volumes);
    return one === undefined ? [] : [one];
  });
  return new Map(found);
}

function limitsOf(node: string, volumes: ClusterVolumes): Map<string, number> {
  const limits = new Map<string, number>();
  for (const { name, allocatable } of volumes.csiNodes.get(node)?.spec?.drivers ?? []) {
    if (allocatable?.count !== undefined) limits.set(name, allocatable.count);
  }
  return limits;
}

/** What is attached to a node, or will be. */
function presentOn(node: string, pods: Iterable<Pod>, volumes: ClusterVolumes): Map<string, string> {
  const present = new Map<string, string>();
  for (const pod of pods) for (const [id, driver] of csiVolumesOf(pod, volumes)) present.set(id, driver);
  for (const { spec } of volumes.attachments.values()) {
    if (spec?.nodeName !== node) continue;
    const csi = volumes.volumes.get(spec.source?.persistentVolumeName ?? "")?.spec?.csi;
    if (csi !== undefined) present.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
  }
  return present;
}

function exceeds(
  wanted: CsiVolumes,
  present: ReadonlyMap<string, string>,
  limits: ReadonlyMap<string, number>,
): boolean {
  const all = new Map([...present, ...wanted]);
  const added = new Set([...wanted].filter(([id]) => !present.has(id)).map(([, driver]) => driver));
  for (const driver of added) {
    const count = [...all.values()].filter((one) => one === driver).length;
    if (count > (limits.get(driver) ?? Number.POSITIVE_INFINITY)) return true;
  }
  return false;
}

export const nodeVolumeLimits: Plugin = {
  name: NAME,
  preFilter({ info, snapshot, state }): PreFilterOutcome {
    if ((info.pod.spec?.volumes ?? []).length === 0) return { kind: "skip" };
    const wanted = csiVolumesOf(info.pod, snapshot.volumes);
    if (wanted.size === 0) return { kind: "skip" };
    state.set(NAME, wanted);
    return { kind: "success" };
  },
  filter({ snapshot, state }, column, from, to) {
    const wanted = state.get(NAME) as CsiVolumes;
    const { volumes } = snapshot;
    for (let row = from; row < to; row++) {
      if (!column.open(row)) continue;
      const node = snapshot.names[row]!;
      const limits = limitsOf(node, volumes);
      if (limits.size === 0) continue;
      const pods = [...snapshot.pods[row]!.values()].map(({ pod }) => pod);
      if (exceeds(wanted, presentOn(node, pods, volumes), limits)) column.reject(row, REJECTION);
    }
  },
  events: () => [
    ...CLAIM_EVENTS,
    { resource: "CSINode", actions: ["Add", "Update"] },
    { resource: "AssignedPod", actions: ["Delete"] },
    { resource: "VolumeAttachment", actions: ["Delete"] },
    { resource: "Node", actions: ["Add"] },
  ],
};
