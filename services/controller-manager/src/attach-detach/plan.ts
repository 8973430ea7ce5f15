// What has to be attached to a node, and what may be detached: for volumes of CSI drivers, by VolumeAttachment objects that the
// driver's attacher acts on. Pure. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/
import type { AttachedVolume, Node, PersistentVolume, Pod, VolumeAttachment } from "@coxswain/api";
import { attachmentName, uniqueVolumeName } from "@coxswain/api/core-v1/persistent-volume/attachable";
import { isNodeReady } from "../node-lifecycle/plan.ts";
import { OUT_OF_SERVICE } from "../pod-gc/plan.ts";

/** A volume that pods of the node use. */
export interface Use {
  readonly volume: PersistentVolume;
  readonly pods: readonly Pod[];
}

/** How long a node that is not well, or gone, keeps what it may have mounted; upstream's maxWaitForUnmountDuration. */
export const FORCED_DETACH_MS = 360_000;

export interface AttachFacts {
  /** Undefined where the node is gone. */
  readonly node: Node | undefined;
  /** What the node said last that it has in use, where it is gone; undefined where nobody heard it. */
  readonly lastInUse?: readonly string[];
  readonly nowMs: number;
  /** Since when each attachment, by name, is wanted by nobody. */
  readonly unwantedSinceMs: ReadonlyMap<string, number>;
  readonly uses: readonly Use[];
  /** All of the cluster. */
  readonly attachments: readonly VolumeAttachment[];
}

export type ForcedReason = "timeout" | "out-of-service";
type Detaching = ForcedReason | "freely" | false;

export interface AttachPlan {
  readonly create: readonly VolumeAttachment[];
  readonly remove: readonly VolumeAttachment[];
  /** Of those, what is taken though the node may have it mounted, and why. */
  readonly forced: ReadonlyMap<VolumeAttachment, ForcedReason>;
  /** Names of those that nobody wants and that are there yet, as the node may have them mounted. */
  readonly mounted: readonly string[];
  /** Uses that have to wait: another node has the volume for itself. */
  readonly held: readonly Use[];
  /** Uses whose volume is attached now, and was not told before. */
  readonly attached: readonly Use[];
  readonly failed: readonly { readonly use: Use; readonly message: string }[];
  /** What the node's status is to say. */
  readonly volumesAttached: readonly AttachedVolume[];
}

export function uniqueName(volume: PersistentVolume): string {
  return uniqueVolumeName(volume) ?? "";
}

/** Attachments of other names are somebody else's. */
const OWN_NAME = /^csi-[0-9a-f]{64}$/;

const SHARED = ["ReadWriteMany", "ReadOnlyMany"];

function attachmentFor(volume: PersistentVolume, node: string): VolumeAttachment {
  const { driver = "", volumeHandle = "" } = volume.spec?.csi ?? {};
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: attachmentName(driver, volumeHandle, node) },
    spec: { attacher: driver, nodeName: node, source: { persistentVolumeName: volume.metadata?.name ?? "" } },
  };
}

export function planAttachments(name: string, facts: AttachFacts): AttachPlan {
  const { node, uses, attachments } = facts;
  const mine = attachments.filter(
    ({ spec }) => spec.nodeName === name && spec.source.persistentVolumeName !== undefined,
  );
  const byName = new Map(mine.map((one) => [one.metadata?.name ?? "", one]));
  const told = new Set((node?.status?.volumesAttached ?? []).map((one) => one.name));
  const wanted = new Set<string>();
  const create: VolumeAttachment[] = [];
  const held: Use[] = [];
  const attached: Use[] = [];
  const failed: { use: Use; message: string }[] = [];
  const volumesAttached: AttachedVolume[] = [];
  for (const use of node === undefined ? [] : uses) {
    const wish = attachmentFor(use.volume, name);
    const id = wish.metadata?.name ?? "";
    wanted.add(id);
    const found = byName.get(id);
    if (found === undefined) {
      if (isHeldElsewhere(use.volume, name, attachments)) held.push(use);
      else create.push(wish);
      continue;
    }
    const { attachError } = found.status ?? {};
    if (found.status?.attached === true) {
      volumesAttached.push({ name: uniqueName(use.volume), devicePath: "" });
      if (!told.has(uniqueName(use.volume))) attached.push(use);
    } else if (attachError?.message !== undefined) failed.push({ use, message: attachError.message });
  }
  const unwanted = mine.filter(
    (one) =>
      OWN_NAME.test(one.metadata?.name ?? "") &&
      !wanted.has(one.metadata?.name ?? "") &&
      one.metadata?.deletionTimestamp === undefined,
  );
  const forced = new Map<VolumeAttachment, ForcedReason>();
  const remove = unwanted.filter((one) => {
    const may = mayDetach(one, facts);
    if (may !== false && may !== "freely") forced.set(one, may);
    return may !== false;
  });
  const mounted = unwanted.filter((one) => !remove.includes(one));
  for (const one of mounted) {
    const device = deviceInUse(one, node?.status?.volumesInUse ?? []);
    if (one.status?.attached === true && device !== undefined) volumesAttached.push({ name: device, devicePath: "" });
  }
  return {
    create,
    remove,
    forced,
    mounted: mounted.map(({ metadata }) => metadata?.name ?? ""),
    held,
    attached,
    failed,
    volumesAttached: volumesAttached.toSorted(byText),
  };
}

const byText = (a: AttachedVolume, b: AttachedVolume): number => (a.name < b.name ? -1 : 1);

/**
 * What a node has mounted is not taken from under it, unless it is said to be out of service, or has not been well for long.
 * Of a node that is gone it is assumed that everything is mounted that it did not give back.
 */
function mayDetach(one: VolumeAttachment, { node, lastInUse, nowMs, unwantedSinceMs }: AttachFacts): Detaching {
  const inUse = node === undefined ? lastInUse : (node.status?.volumesInUse ?? []);
  if (inUse !== undefined && deviceInUse(one, inUse) === undefined) return "freely";
  const waitedMs = nowMs - (unwantedSinceMs.get(one.metadata?.name ?? "") ?? nowMs);
  if (waitedMs >= FORCED_DETACH_MS && (node === undefined || !isNodeReady(node))) return "timeout";
  return node?.spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) === true && "out-of-service";
}

/** The attachment names its driver and node, and the hash of the handle: enough to know it among those in use. */
function deviceInUse({ metadata, spec }: VolumeAttachment, inUse: readonly string[]): string | undefined {
  const prefix = `kubernetes.io/csi/${spec.attacher}^`;
  return inUse.find((name) => {
    const handle = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
    return handle !== undefined && attachmentName(spec.attacher, handle, spec.nodeName) === metadata?.name;
  });
}

function isHeldElsewhere(volume: PersistentVolume, node: string, all: readonly VolumeAttachment[]): boolean {
  if (volume.spec?.accessModes?.some((mode) => SHARED.includes(mode)) === true) return false;
  return all.some(({ spec }) => spec.nodeName !== node && spec.source.persistentVolumeName === volume.metadata?.name);
}

/** Why the pod's volume waits: the pods of other nodes that use it, by name where they are of the pod's namespace. */
export function whyHeld(pod: Pod, others: readonly Pod[]): string {
  if (others.length === 0) return "Volume is already exclusively attached to one node and can't be attached to another";
  const near = others.filter(({ metadata }) => metadata?.namespace === pod.metadata?.namespace);
  const names = near.map(({ metadata }) => metadata?.name ?? "").toSorted();
  const far = others.length - near.length;
  const elsewhere = far === 0 ? "" : `${far} pod(s) in different namespaces`;
  const here = names.length === 0 ? "" : `pod(s) ${names.join(", ")}`;
  return `Volume is already used by ${[here, elsewhere].filter((text) => text !== "").join(" and ")}`;
}
