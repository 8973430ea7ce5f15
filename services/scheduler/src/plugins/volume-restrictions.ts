// VolumeRestrictions: a claim with ReadWriteOncePod is for one pod of the whole cluster, and a disk that a pod names itself is for
// one pod of a node unless all read only.
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes
import type { Pod, Volume } from "@coxswain/api";
import type { CycleState, Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import type { PodInfo } from "../pod-info.ts";
import { usesChangedClaim, claimKeys } from "./pod-claims.ts";

const NAME = "VolumeRestrictions";
const DISK_CONFLICT: Rejection = { code: "Unschedulable", reasons: ["node(s) had no available disk"] };
const CLAIM_IN_USE: Rejection = {
  code: "Unschedulable",
  reasons: [
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
  ],
};

interface RestrictionState {
  /** Claims that no other pod may use. */
  readonly exclusive: ReadonlySet<string>;
  /** How often other pods use them. */
  uses: number;
  readonly disks: readonly Volume[];
}

const DISKS = ["gcePersistentDisk", "awsElasticBlockStore", "rbd", "iscsi"] as const;
const disksOf = (pod: Pod): Volume[] =>
  (pod.spec?.volumes ?? []).filter((volume) => DISKS.some((disk) => volume[disk] !== undefined));

/** Whether two volumes are one disk, and one of the two writes. */
function collide(a: Volume, b: Volume): boolean {
  if (a.gcePersistentDisk !== undefined && b.gcePersistentDisk !== undefined) {
    const same = a.gcePersistentDisk.pdName === b.gcePersistentDisk.pdName;
    return same && !(a.gcePersistentDisk.readOnly === true && b.gcePersistentDisk.readOnly === true);
  }
  // No two pods may have it, whatever they do with it.
  if (a.awsElasticBlockStore !== undefined && b.awsElasticBlockStore !== undefined) {
    return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID;
  }
  if (a.iscsi !== undefined && b.iscsi !== undefined) {
    return a.iscsi.iqn === b.iscsi.iqn && !(a.iscsi.readOnly === true && b.iscsi.readOnly === true);
  }
  if (a.rbd === undefined || b.rbd === undefined) return false;
  const { monitors } = b.rbd;
  const same = a.rbd.monitors.some((one) => monitors.includes(one)) && a.rbd.image === b.rbd.image;
  return (
    same && (a.rbd.pool ?? "rbd") === (b.rbd.pool ?? "rbd") && !(a.rbd.readOnly === true && b.rbd.readOnly === true)
  );
}

const usesOf = ({ pod }: PodInfo, claims: ReadonlySet<string>): number =>
  claimKeys(pod).filter((key) => claims.has(key)).length;

function exclusiveClaims({ info, snapshot }: CycleState): Set<string> {
  const keys = claimKeys(info.pod).filter(
    (key) => snapshot.volumes.claims.get(key)?.spec?.accessModes?.includes("ReadWriteOncePod") === true,
  );
  return new Set(keys);
}

export const volumeRestrictions: Plugin = {
  name: NAME,
  preFilter(cycle): PreFilterOutcome {
    const { pod } = cycle.info;
    if ((pod.spec?.volumes ?? []).length === 0) return { kind: "skip" };
    const exclusive = exclusiveClaims(cycle);
    const disks = disksOf(pod);
    if (exclusive.size + disks.length === 0) return { kind: "skip" };
    let uses = 0;
    if (exclusive.size > 0) {
      for (const pods of cycle.snapshot.pods) for (const other of pods.values()) uses += usesOf(other, exclusive);
    }
    const state: RestrictionState = { exclusive, uses, disks };
    cycle.state.set(NAME, state);
    return { kind: "success" };
  },
  follow(cycle, _row, other, sign) {
    const state = cycle.state.get(NAME) as RestrictionState;
    state.uses += sign * usesOf(other, state.exclusive);
  },
  filter(cycle, column, from, to) {
    const { disks, uses } = cycle.state.get(NAME) as RestrictionState;
    for (let row = from; row < to; row++) {
      if (!column.open(row)) continue;
      const others = disks.length === 0 ? [] : [...cycle.snapshot.pods[row]!.values()];
      const taken = others.some(({ pod }) => disksOf(pod).some((one) => disks.some((disk) => collide(one, disk))));
      if (taken) column.reject(row, DISK_CONFLICT);
      else if (uses > 0) column.reject(row, CLAIM_IN_USE);
    }
  },
  events: () => [
    {
      resource: "AssignedPod",
      actions: ["Delete"],
      hint: (waiting, { oldPod }) => {
        if (oldPod === undefined) return true;
        const wanted = new Set(claimKeys(waiting.pod));
        const disks = disksOf(waiting.pod);
        if (claimKeys(oldPod).some((key) => wanted.has(key))) return true;
        return disksOf(oldPod).some((one) => disks.some((disk) => collide(one, disk)));
      },
    },
    { resource: "Node", actions: ["Add"] },
    { resource: "PersistentVolumeClaim", actions: ["Add", "Update"], hint: usesChangedClaim },
  ],
};
