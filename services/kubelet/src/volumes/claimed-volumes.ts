// What the claims of a pod stand for on its node: each is followed to its volume, and refused in upstream's words where it cannot
// be mounted. Asks the API each time: a claim may have been bound this very moment.
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "@coxswain/api";
import { claimNameOf, isClaimOfPod, isReachableFrom } from "@coxswain/api/core-v1/persistent-volume/binding";
import { isNodeDisk } from "@coxswain/api/storage-v1/storage-class/node-disk";
import { objectKey } from "@coxswain/apimachinery";
import type { ObjectCache } from "../pods/object-cache.ts";
import { allContainers } from "./plan-volumes.ts";

/** The volume that a claim is bound to. */
export interface ClaimedVolume {
  readonly name: string;
  readonly volume: PersistentVolume;
  readonly readOnly: boolean;
}

/** Where a volume is on the node. */
export interface DiskPlan {
  readonly kind: "disk";
  /** As the pod calls it. */
  readonly name: string;
  /** As the cluster calls it. */
  readonly volume: string;
  readonly path: string;
  /** What has to be there, by the rules of hostPath volumes; a local volume just has to be there. */
  readonly type: string | undefined;
  /** Made where it is missing, in the kubelet's own folder. */
  readonly nodeDisk: boolean;
  readonly readOnly: boolean;
  /** Whether the pod's group may become its group. */
  readonly ownable: boolean;
}

export interface Failed {
  readonly kind: "failed";
  readonly name: string;
  /** All that the event says. */
  readonly message: string;
}

/** One entry a volume of the pod that stands for a claim and is used. Rejects where the api-server cannot be asked. */
export async function claimedVolumes(pod: Pod, objects: ObjectCache): Promise<(ClaimedVolume | Failed)[]> {
  const containers = allContainers(pod);
  const mounted = new Set(containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name)));
  const devices = new Set(containers.flatMap(({ volumeDevices = [] }) => volumeDevices.map(({ name }) => name)));
  const claimed = (pod.spec?.volumes ?? []).filter(
    (volume) => claimNameOf(pod, volume) !== undefined && (mounted.has(volume.name) || devices.has(volume.name)),
  );
  return Promise.all(
    claimed.map(async (volume) => {
      const found = await follow(pod, volume, objects);
      if (typeof found !== "string") return mode(volume, found, devices.has(volume.name));
      return { kind: "failed", name: volume.name, message: unprocessed(volume.name, found) };
    }),
  );
}

/** The pod's way to a volume that it cannot even look for. */
function unprocessed(name: string, why: string): string {
  return `Unable to attach or mount volumes: unmounted volumes=[${name}], unattached volumes=[], failed to process volumes=[${name}]: ${why}`;
}

function mode(volume: Volume, found: ClaimedVolume, asDevice: boolean): ClaimedVolume | Failed {
  const is = found.volume.spec?.volumeMode ?? "Filesystem";
  const failed = (message: string): Failed => ({ kind: "failed", name: volume.name, message });
  if (is === "Block" && !asDevice) {
    return failed(
      unprocessed(volume.name, `volume ${volume.name} has volumeMode Block, but is specified in volumeMounts`),
    );
  }
  if (is !== "Block" && asDevice) {
    return failed(
      unprocessed(volume.name, `volume ${volume.name} has volumeMode ${is}, but is specified in volumeDevices`),
    );
  }
  if (!asDevice) return found;
  const name = found.volume.metadata?.name ?? "";
  return failed(`MapVolume.MapPodDevice failed for volume "${name}" : block volumes are not supported by this kubelet`);
}

/** Or why not. */
async function follow(pod: Pod, volume: Volume, objects: ObjectCache): Promise<ClaimedVolume | string> {
  const namespace = pod.metadata?.namespace ?? "";
  const name = claimNameOf(pod, volume) ?? "";
  const about = (why: string): string => `error processing PVC ${namespace}/${name}: ${why}`;
  const claim = await objects.claim(namespace, name);
  if (claim === undefined) {
    return about(`failed to fetch PVC from API server: persistentvolumeclaims ${JSON.stringify(name)} not found`);
  }
  if (volume.ephemeral !== undefined && !isClaimOfPod(claim, pod)) {
    return `PVC ${objectKey(claim)} was not created for pod ${objectKey(pod)} (pod is not owner)`;
  }
  if (claim.metadata?.deletionTimestamp !== undefined) return about("PVC is being deleted");
  const held = claim.spec?.volumeName ?? "";
  if (claim.status?.phase !== "Bound" || held === "") return about("PVC is not bound");
  const found = await objects.volume(held);
  const why = found === undefined ? `persistentvolumes ${JSON.stringify(held)} not found` : notHeld(found, claim);
  if (found === undefined || why !== undefined) return about(`failed to fetch PV ${held} from API server: ${why}`);
  return { name: volume.name, volume: found, readOnly: volume.persistentVolumeClaim?.readOnly === true };
}

function notHeld({ spec }: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  const uid = claim.metadata?.uid ?? "";
  if (spec?.claimRef === undefined) return "pv.spec.claimRef is nil";
  if (spec.claimRef.uid === uid) return undefined;
  return `pv.spec.claimRef.uid ${JSON.stringify(spec.claimRef.uid ?? "")} does not match pvc uid ${JSON.stringify(uid)}`;
}

/** Where the volume is on a real node, or why it cannot be mounted there. */
export async function diskOf(claimed: ClaimedVolume, pod: Pod, objects: ObjectCache): Promise<DiskPlan | Failed> {
  const { name, volume, readOnly } = claimed;
  const called = volume.metadata?.name ?? "";
  const failed = (message: string): Failed => ({ kind: "failed", name, message });
  const { local, hostPath, csi, nodeAffinity } = volume.spec ?? {};
  if (csi !== undefined) {
    const why = `driver name ${csi.driver} not found in the list of registered CSI drivers`;
    const step = "kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient";
    return failed(`MountVolume.MountDevice failed for volume "${called}" : ${step}: ${why}`);
  }
  if (local === undefined && hostPath === undefined) {
    const why = `volume type ${typeOf(volume)} is not supported by this kubelet`;
    return failed(`MountVolume.SetUp failed for volume "${called}" : ${why}`);
  }
  if (nodeAffinity !== undefined) {
    const node = await objects.node(pod.spec?.nodeName ?? "");
    if (node === undefined || !isReachableFrom(volume, node)) {
      return failed(`MountVolume.NodeAffinity check failed for volume "${called}" : no matching NodeSelectorTerms`);
    }
  }
  return {
    kind: "disk",
    name,
    volume: called,
    path: local?.path ?? hostPath?.path ?? "",
    type: hostPath === undefined ? undefined : (hostPath.type ?? ""),
    nodeDisk: isNodeDisk(volume),
    readOnly,
    ownable: local !== undefined && !readOnly,
  };
}

const NOT_SOURCES = new Set(["nodeAffinity", "claimRef"]);

/** The one field of the spec that says what kind of storage it is. */
function typeOf({ spec = {} }: PersistentVolume): string {
  const found = Object.entries(spec).find(
    ([name, value]) =>
      typeof value === "object" && !Array.isArray(value) && name !== "capacity" && !NOT_SOURCES.has(name),
  );
  return found?.[0] ?? "of no type";
}
