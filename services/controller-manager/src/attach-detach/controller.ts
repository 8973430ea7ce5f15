// The attach/detach controller: keeps a VolumeAttachment for each CSI volume and node whose pods use it, and tells in the node's
// status what is attached. Guarantees: a volume for one node is asked for on another only after the first has let go of it; what a
// node says it has in use is not detached, but for six minutes at most where the node is not well, and not at all where it has the
// taint node.kubernetes.io/out-of-service.
import {
  CSI_DRIVERS,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  VOLUME_ATTACHMENTS,
  type CSIDriver,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type VolumeAttachment,
} from "@coxswain/api";
import { claimNameOf, isFullyBound } from "@coxswain/api/core-v1/persistent-volume/binding";
import { deepEqual, isReason } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_CLAIM, BY_NODE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { isNodeReady } from "../node-lifecycle/plan.ts";
import { isPodTerminal } from "../pods/pod-state.ts";
import {
  FORCED_DETACH_MS,
  planAttachments,
  uniqueName,
  whyHeld,
  type AttachPlan,
  type ForcedReason,
  type Use,
} from "./plan.ts";

/** How often a volume that another node holds is asked for again. */
const HELD_RETRY_MS = 10_000;

interface Informers {
  readonly claims: SharedInformer<PersistentVolumeClaim>;
  readonly volumes: SharedInformer<PersistentVolume>;
  readonly drivers: SharedInformer<CSIDriver>;
  readonly attachments: SharedInformer<VolumeAttachment>;
}

export function createAttachDetachController(context: ControllerContext): ManagedController {
  const { informers, caches } = context;
  const all: Informers = {
    claims: informers.informer<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS),
    volumes: informers.informer<PersistentVolume>(PERSISTENT_VOLUMES),
    drivers: informers.informer<CSIDriver>(CSI_DRIVERS),
    attachments: informers.informer<VolumeAttachment>(VOLUME_ATTACHMENTS),
  };
  const logic = new AttachDetach(context, all);
  const controller = createController(
    { name: "persistentvolume-attach-detach-controller", reconcile: (node) => logic.reconcile(node) },
    context,
  );
  const enqueueOf = (pod: Pod): void => {
    const node = pod.spec?.nodeName ?? "";
    if (node !== "" && pod.spec?.volumes?.some((volume) => claimNameOf(pod, volume) !== undefined)) {
      controller.enqueue(node);
    }
  };
  caches.pods.addHandler({ add: enqueueOf, update: enqueueOf, delete: enqueueOf });
  const ofClaim = ({ metadata }: PersistentVolumeClaim): void =>
    caches.pods.lister.byIndex(BY_CLAIM, `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`).forEach(enqueueOf);
  all.claims.addHandler({ add: ofClaim, update: ofClaim });
  const ofAttachment = ({ spec }: VolumeAttachment): void => controller.enqueue(spec.nodeName);
  all.attachments.addHandler({
    add: ofAttachment,
    update: ofAttachment,
    delete: (attachment) => {
      logic.detached(attachment);
      ofAttachment(attachment);
    },
  });
  caches.nodes.addHandler({
    update(node, old) {
      const same =
        deepEqual(node.status?.volumesInUse, old.status?.volumesInUse) &&
        deepEqual(node.spec?.taints, old.spec?.taints) &&
        isNodeReady(node) === isNodeReady(old);
      if (!same) controller.enqueue(node.metadata?.name ?? "");
    },
    delete: (node) => {
      logic.gone(node);
      controller.enqueue(node.metadata?.name ?? "");
    },
  });
  return { controller };
}

class AttachDetach {
  readonly #context: ControllerContext;
  readonly #all: Informers;
  /** Since when each attachment, by name, is wanted by nobody though its node may have it mounted. */
  readonly #unwantedSinceMs = new Map<string, number>();
  /** Of each node that went while attachments of it are left: what it said last that it has in use. */
  readonly #lastInUse = new Map<string, readonly string[]>();
  readonly #forced;

  constructor(context: ControllerContext, all: Informers) {
    this.#forced = context.metrics.counter(
      "attach_detach_controller_attachdetach_controller_forced_detaches",
      "Volumes that were taken from nodes that may have had them mounted.",
      ["reason"],
    );
    this.#context = context;
    this.#all = all;
  }

  detached({ metadata }: VolumeAttachment): void {
    this.#unwantedSinceMs.delete(metadata?.name ?? "");
  }

  gone({ metadata, status }: Node): void {
    this.#lastInUse.set(metadata?.name ?? "", status?.volumesInUse ?? []);
  }

  async reconcile(name: string): Promise<ReconcileResult | void> {
    const { caches, client, env } = this.#context;
    const node = caches.nodes.lister.get(name);
    const attachments = this.#all.attachments.lister.list();
    if (node !== undefined || !attachments.some(({ spec }) => spec.nodeName === name)) this.#lastInUse.delete(name);
    const nowMs = env.clock.monotonic();
    const lastInUse = this.#lastInUse.get(name);
    const facts = { node, nowMs, unwantedSinceMs: this.#unwantedSinceMs, uses: this.#usesOn(name), attachments };
    const plan = planAttachments(name, lastInUse === undefined ? facts : { ...facts, lastInUse });
    this.#await(name, plan.mounted, nowMs);
    this.#tell(name, plan);
    await settleAll([
      ...plan.create.map((one) => this.#ignoring("AlreadyExists", client.create(VOLUME_ATTACHMENTS, one))),
      this.#detachAll(node, plan),
    ]);
    const waits = [
      ...(plan.held.length === 0 ? [] : [HELD_RETRY_MS]),
      ...plan.mounted
        .map((one) => (this.#unwantedSinceMs.get(one) ?? nowMs) + FORCED_DETACH_MS - nowMs)
        .filter((ms) => ms > 0),
    ];
    return waits.length === 0 ? undefined : { requeueAfterMs: Math.min(...waits) };
  }

  /** The node is told first: it mounts what it believes to be attached. */
  async #detachAll(node: Node | undefined, { volumesAttached, remove, forced }: AttachPlan): Promise<void> {
    if (node !== undefined && !deepEqual(node.status?.volumesAttached ?? [], volumesAttached)) {
      const { client } = this.#context;
      const { name = "" } = node.metadata ?? {};
      const status = { volumesAttached: volumesAttached.length === 0 ? null : volumesAttached };
      const type = "application/merge-patch+json";
      await this.#ignoring("NotFound", client.patch(NODES, { name }, type, { status }, { subresource: "status" }));
    }
    await settleAll(remove.map((one) => this.#detach(one, forced.get(one))));
  }

  async #detach({ metadata }: VolumeAttachment, forced: ForcedReason | undefined): Promise<void> {
    const { client } = this.#context;
    await this.#ignoring("NotFound", client.delete(VOLUME_ATTACHMENTS, { name: metadata?.name ?? "" }));
    if (forced !== undefined) this.#forced.inc({ reason: forced });
  }

  /** Begins to count for what nobody wants any more, and forgets what is wanted again or gone. */
  #await(node: string, mounted: readonly string[], nowMs: number): void {
    for (const { metadata, spec } of this.#all.attachments.lister.list()) {
      const name = metadata?.name ?? "";
      if (spec.nodeName === node && !mounted.includes(name)) this.#unwantedSinceMs.delete(name);
    }
    for (const name of mounted) if (!this.#unwantedSinceMs.has(name)) this.#unwantedSinceMs.set(name, nowMs);
  }

  /** Volumes of drivers that attach, with the pods of the node that use them. */
  #usesOn(node: string): Use[] {
    const uses = new Map<string, { volume: PersistentVolume; pods: Pod[] }>();
    const pods = this.#context.caches.pods.lister.byIndex(BY_NODE, node).filter((pod) => !isPodTerminal(pod));
    for (const pod of pods) {
      for (const volume of this.#volumesOf(pod)) {
        const use = uses.get(uniqueName(volume)) ?? { volume, pods: [] };
        use.pods.push(pod);
        uses.set(uniqueName(volume), use);
      }
    }
    return [...uses.values()];
  }

  #volumesOf(pod: Pod): PersistentVolume[] {
    const { claims, volumes, drivers } = this.#all;
    return (pod.spec?.volumes ?? []).flatMap((each) => {
      const name = claimNameOf(pod, each);
      const claim = name === undefined ? undefined : claims.lister.get(`${pod.metadata?.namespace ?? ""}/${name}`);
      if (claim === undefined || !isFullyBound(claim)) return [];
      const volume = volumes.lister.get(claim.spec?.volumeName ?? "");
      const driver = volume?.spec?.csi?.driver;
      if (volume === undefined || driver === undefined) return [];
      // A driver that has not told of itself attaches.
      return drivers.lister.get(driver)?.spec.attachRequired === false ? [] : [volume];
    });
  }

  #tell(node: string, { held, attached, failed }: AttachPlan): void {
    const name = ({ volume }: Use): string => JSON.stringify(volume.metadata?.name ?? "");
    for (const use of attached) {
      this.#event(use, "Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume ${name(use)} `);
    }
    for (const { use, message } of failed) {
      const text = `AttachVolume.Attach failed for volume ${name(use)} : ${message}`;
      this.#event(use, "Warning", "FailedAttachVolume", text);
    }
    for (const use of held) {
      const others = this.#usersElsewhere(node, use);
      for (const pod of use.pods) {
        const text = `Multi-Attach error for volume ${name(use)} ${whyHeld(pod, others)}`;
        this.#event({ ...use, pods: [pod] }, "Warning", "FailedAttachVolume", text);
      }
    }
  }

  /** Pods of other nodes that use the volume. */
  #usersElsewhere(node: string, { volume }: Use): Pod[] {
    const { namespace = "", name = "" } = volume.spec?.claimRef ?? {};
    const pods = this.#context.caches.pods.lister.byIndex(BY_CLAIM, `${namespace}/${name}`);
    return pods.filter((pod) => {
      const on = pod.spec?.nodeName ?? "";
      return on !== "" && on !== node && !isPodTerminal(pod);
    });
  }

  #event({ pods }: Use, type: "Normal" | "Warning", reason: string, message: string): void {
    for (const pod of pods)
      this.#context.recorder.event({ ...pod, apiVersion: "v1", kind: "Pod" }, type, reason, message);
  }

  async #ignoring(reason: "AlreadyExists" | "NotFound", call: Promise<unknown>): Promise<void> {
    try {
      await call;
    } catch (error) {
      if (!isReason(error, reason)) throw error;
    }
  }
}
