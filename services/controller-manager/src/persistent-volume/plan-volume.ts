// What the binder does with a volume next. Pure. A volume without a claim is Available; one whose claim is gone is Released, and
// its reclaim policy says the rest. https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming
import type { PersistentVolume, PersistentVolumeClaim } from "@coxswain/api";
import { annotationOf, BOUND_BY_CONTROLLER, PROVISIONED_BY } from "@coxswain/api/core-v1/persistent-volume/binding";
import type { PlannedEvent } from "./plan-claim.ts";

export type VolumePlan =
  | { readonly do: "phase"; readonly phase: "Available" | "Bound" }
  /** The claim is gone: first Released, then what `reclaim` says. */
  | { readonly do: "release"; readonly reclaim: ReclaimPlan }
  /** The claim has another volume: this one is free again, or waits for its claim where its author reserved it. */
  | { readonly do: "unbind" }
  /** Bound on this side only, and never on the other: one is a disk, the other a file system. */
  | { readonly do: "mismatch"; readonly ofVolume: PlannedEvent; readonly ofClaim: PlannedEvent }
  /** Bound on this side only: the claim's turn. */
  | { readonly do: "askClaim" };

export type ReclaimPlan =
  /** Nothing to do, or somebody else's to do: the provisioner that made it. */
  { readonly do: "leave" } | { readonly do: "fail"; readonly event: PlannedEvent };

/** `claim`: the one of the reference's name, if there is one; whoever it is. */
export function planVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumePlan {
  const reference = volume.spec?.claimRef;
  if (reference === undefined || (reference.uid ?? "") === "") return { do: "phase", phase: "Available" };
  if (claim === undefined || claim.metadata?.uid !== reference.uid)
    return { do: "release", reclaim: planReclaim(volume) };
  const has = claim.spec?.volumeName ?? "";
  if (has === "") return planUnanswered(volume, claim);
  if (has === volume.metadata?.name) return { do: "phase", phase: "Bound" };
  const madeForIt = annotationOf(volume, PROVISIONED_BY) !== undefined;
  if (madeForIt && volume.spec?.persistentVolumeReclaimPolicy === "Delete") {
    return { do: "release", reclaim: planReclaim(volume) };
  }
  return { do: "unbind" };
}

function planUnanswered(volume: PersistentVolume, claim: PersistentVolumeClaim): VolumePlan {
  const modeOf = ({ spec }: { spec?: { volumeMode?: string } }): string => spec?.volumeMode ?? "Filesystem";
  if (modeOf(volume) === modeOf(claim)) return { do: "askClaim" };
  const mismatch = (message: string): PlannedEvent => ({ type: "Warning", reason: "VolumeMismatch", message });
  const quoted = (name: string | undefined): string => JSON.stringify(name ?? "");
  const why = "due to incompatible volumeMode.";
  const ofVolume = `Cannot bind PersistentVolume to requested PersistentVolumeClaim ${quoted(claim.metadata?.name)} ${why}`;
  const ofClaim = `Cannot bind PersistentVolume ${quoted(volume.metadata?.name)} to requested PersistentVolumeClaim ${why}`;
  return { do: "mismatch", ofVolume: mismatch(ofVolume), ofClaim: mismatch(ofClaim) };
}

function planReclaim(volume: PersistentVolume): ReclaimPlan {
  const name = JSON.stringify(volume.metadata?.name ?? "");
  const fail = (reason: string, message: string): ReclaimPlan => ({
    do: "fail",
    event: { type: "Warning", reason, message },
  });
  switch (volume.spec?.persistentVolumeReclaimPolicy ?? "") {
    case "Retain":
      return { do: "leave" };
    case "Recycle":
      return fail("VolumeFailedRecycle", "No recycler plugin found for the volume!");
    case "Delete": {
      const provisioner = annotationOf(volume, PROVISIONED_BY) ?? "";
      if (provisioner !== "" && !provisioner.startsWith("kubernetes.io/")) return { do: "leave" };
      const why =
        provisioner === "" ? "no deletable volume plugin matched" : `no volume plugin matched name: ${provisioner}`;
      return fail("VolumeFailedDelete", `error getting deleter volume plugin for volume ${name}: ${why}`);
    }
    default:
      return fail("VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy");
  }
}

/** The volume without what a controller wrote about its claim; a reservation of its author stays. */
export function unbound(volume: PersistentVolume): PersistentVolume {
  if (annotationOf(volume, BOUND_BY_CONTROLLER) === undefined) {
    const { uid: _uid, resourceVersion: _version, ...reservation } = volume.spec?.claimRef ?? {};
    return { ...volume, spec: { ...volume.spec, claimRef: reservation } };
  }
  const { claimRef: _claim, ...spec } = volume.spec ?? {};
  const { [BOUND_BY_CONTROLLER]: _mark, ...annotations } = volume.metadata?.annotations ?? {};
  const { annotations: _before, ...metadata } = volume.metadata ?? {};
  return {
    ...volume,
    metadata: Object.keys(annotations).length === 0 ? metadata : { ...metadata, annotations },
    spec,
  };
}
