// What the binder does with a claim next. Pure. The rules are upstream's:
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#lifecycle-of-a-volume-and-claim
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from "@coxswain/api";
import {
  annotationOf,
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  classOf,
  delaysBinding,
  findVolume,
  isReservedFor,
  mismatch,
  namesClass,
  SELECTED_NODE,
} from "@coxswain/api/core-v1/persistent-volume/binding";

export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export type ClaimPlan =
  /** Write both sides, as far as they do not say so yet. */
  | { readonly do: "bind"; readonly volume: PersistentVolume }
  /** It stays Pending, and the event says why. */
  | { readonly do: "wait"; readonly event?: PlannedEvent }
  /** Tell its provisioner that a volume is wanted. */
  | { readonly do: "provision"; readonly provisioner: string; readonly event: PlannedEvent }
  /** The cluster has a default class by now. */
  | { readonly do: "setClass"; readonly storageClass: string }
  /** For good: it was bound and its volume is not its own any more. */
  | { readonly do: "lose"; readonly event: PlannedEvent }
  /** Two claims say that they have the volume, and both by a controller: somebody took an annotation away. */
  | { readonly do: "fail"; readonly message: string };

export interface ClaimFacts {
  readonly volumes: readonly PersistentVolume[];
  volume(name: string): PersistentVolume | undefined;
  storageClass(name: string): StorageClass | undefined;
  /** The class of claims that name none. */
  readonly defaultClass: string | undefined;
  /** Names of the pods that use the claim and have no node yet. */
  readonly unscheduledPods: readonly string[];
}

const normal = (reason: string, message: string): PlannedEvent => ({ type: "Normal", reason, message });
const warning = (reason: string, message: string): PlannedEvent => ({ type: "Warning", reason, message });

export function planClaim(claim: PersistentVolumeClaim, facts: ClaimFacts): ClaimPlan {
  if (annotationOf(claim, BIND_COMPLETED) !== undefined) return planBound(claim, facts);
  const wanted = claim.spec?.volumeName ?? "";
  return wanted === "" ? planUnbound(claim, facts) : planNamed(claim, wanted, facts);
}

function planUnbound(claim: PersistentVolumeClaim, facts: ClaimFacts): ClaimPlan {
  const className = classOf(claim);
  const delayed = delaysBinding(facts.storageClass(className));
  const volume = findVolume(claim, facts.volumes, { delayed });
  if (volume !== undefined) return { do: "bind", volume };
  if (!namesClass(claim) && facts.defaultClass !== undefined)
    return { do: "setClass", storageClass: facts.defaultClass };
  if (delayed && (annotationOf(claim, SELECTED_NODE) ?? "") === "") return { do: "wait", event: consumerWanted(facts) };
  if (className !== "") return planProvision(className, facts);
  const message = "no persistent volumes available for this claim and no storage class is set";
  return { do: "wait", event: normal("FailedBinding", message) };
}

function consumerWanted({ unscheduledPods: pods }: ClaimFacts): PlannedEvent {
  if (pods.length === 0)
    return normal("WaitForFirstConsumer", "waiting for first consumer to be created before binding");
  const what = pods.length === 1 ? `pod ${pods[0]}` : `pods ${pods.join(",")}`;
  return normal("WaitForPodScheduled", `waiting for ${what} to be scheduled`);
}

function planProvision(className: string, facts: ClaimFacts): ClaimPlan {
  const storageClass = facts.storageClass(className);
  if (storageClass === undefined) {
    const message = `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`;
    return { do: "wait", event: warning("ProvisioningFailed", message) };
  }
  const { provisioner } = storageClass;
  // The names of what upstream once had built in; no software outside answers to them.
  if (provisioner.startsWith("kubernetes.io/")) {
    return { do: "wait", event: warning("ProvisioningFailed", `no volume plugin matched name: ${provisioner}`) };
  }
  const message =
    `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. ` +
    "If volume creation is delayed, please verify that the provisioner is running and correctly registered.";
  return { do: "provision", provisioner, event: normal("ExternalProvisioning", message) };
}

/** Its author, or the scheduler, chose the volume. */
function planNamed(claim: PersistentVolumeClaim, name: string, facts: ClaimFacts): ClaimPlan {
  const volume = facts.volume(name);
  if (volume === undefined) return { do: "wait" };
  const { claimRef } = volume.spec ?? {};
  if (claimRef === undefined) {
    const why = mismatch(volume, claim);
    if (why === undefined) return { do: "bind", volume };
    const message = `Cannot bind to requested volume ${JSON.stringify(name)}: ${why}`;
    return { do: "wait", event: warning("VolumeMismatch", message) };
  }
  if (isReservedFor(volume, claim)) return { do: "bind", volume };
  if (annotationOf(claim, BOUND_BY_CONTROLLER) === undefined) {
    const message = `volume ${JSON.stringify(name)} already bound to a different claim.`;
    return { do: "wait", event: warning("FailedBinding", message) };
  }
  const holder = `${claimRef.namespace ?? ""}/${claimRef.name ?? ""}`;
  const { namespace = "", name: own = "" } = claim.metadata ?? {};
  const message = `invalid binding of claim "${namespace}/${own}" to volume ${JSON.stringify(name)}: volume already claimed by ${JSON.stringify(holder)}`;
  return { do: "fail", message };
}

function planBound(claim: PersistentVolumeClaim, facts: ClaimFacts): ClaimPlan {
  const name = claim.spec?.volumeName ?? "";
  const lost = (reason: string, message: string): ClaimPlan => ({ do: "lose", event: warning(reason, message) });
  if (name === "") {
    return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  }
  const volume = facts.volume(name);
  if (volume === undefined) {
    return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  }
  const holder = volume.spec?.claimRef;
  // A volume that knows of no claim is bound anew: one cannot tell whether it came unbound or is not seen yet.
  if (holder === undefined || holder.uid === claim.metadata?.uid) return { do: "bind", volume };
  return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
}
