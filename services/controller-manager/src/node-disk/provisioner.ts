// The provisioner of volumes on nodes' disks. It writes objects only: the folder is the node's kubelet's to make and to remove
// (docs/adr/0007-node-disk.md). Guarantees:
// - A claim gets one volume: its name follows from the claim's uid.
// - A released volume with policy Delete goes; its object stays until its folder is gone, or its node is.
import {
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  STORAGE_CLASSES,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from "@coxswain/api";
import { annotationOf, classOf, PROVISIONED_BY, SELECTED_NODE } from "@coxswain/api/core-v1/persistent-volume/binding";
import {
  NODE_DISK_FINALIZER,
  NODE_DISK_LABEL,
  NODE_DISK_PROVISIONER,
} from "@coxswain/api/storage-v1/storage-class/node-disk";
import { isReason, objectKey } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { withoutFinalizer } from "../volume-protection/plan.ts";
import { isOurs, isToDelete, refusal, selectedNode, volumeFor } from "./plan.ts";

const CLAIM = "claim/";
const VOLUME = "volume/";
const RETRY_MS = 15_000;

export function createNodeDiskProvisioner(context: ControllerContext): ManagedController {
  const { informers, caches } = context;
  const claims = informers.informer<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);
  const volumes = informers.informer<PersistentVolume>(PERSISTENT_VOLUMES);
  const classes = informers.informer<StorageClass>(STORAGE_CLASSES);
  const provisioner = new Provisioner(context, { claims, volumes, classes });
  const controller = createController(
    { name: "node-disk-provisioner", reconcile: (key) => provisioner.reconcile(key) },
    context,
  );
  const enqueueClaim = (claim: PersistentVolumeClaim): void => {
    if (isOurs(claim)) controller.enqueue(CLAIM + objectKey(claim));
  };
  const enqueueVolume = (volume: PersistentVolume): void => {
    if (annotationOf(volume, PROVISIONED_BY) === NODE_DISK_PROVISIONER) controller.enqueue(VOLUME + objectKey(volume));
  };
  claims.addHandler({ add: enqueueClaim, update: enqueueClaim });
  volumes.addHandler({ add: enqueueVolume, update: enqueueVolume });
  caches.nodes.addHandler({ delete: () => volumes.lister.list().forEach(enqueueVolume) });
  return { controller };
}

interface Informers {
  readonly claims: SharedInformer<PersistentVolumeClaim>;
  readonly volumes: SharedInformer<PersistentVolume>;
  readonly classes: SharedInformer<StorageClass>;
}

class Provisioner {
  readonly #context: ControllerContext;
  readonly #informers: Informers;

  constructor(context: ControllerContext, informers: Informers) {
    this.#context = context;
    this.#informers = informers;
  }

  async reconcile(key: string): Promise<ReconcileResult | void> {
    if (key.startsWith(CLAIM)) return this.#provision(key.slice(CLAIM.length));
    return this.#remove(key.slice(VOLUME.length));
  }

  async #provision(key: string): Promise<ReconcileResult | void> {
    const { classes, claims } = this.#informers;
    const claim = claims.lister.get(key);
    if (claim === undefined || !isOurs(claim)) return undefined;
    const className = classOf(claim);
    const storageClass = classes.lister.get(className);
    if (storageClass === undefined) return undefined;
    const why = refusal(claim, storageClass);
    if (why !== undefined) {
      this.#failed(claim, className, why);
      return { requeueAfterMs: RETRY_MS };
    }
    const name = selectedNode(claim);
    if (name === "") return undefined;
    const node = await this.#node(name);
    if (node === undefined) return this.#reschedule(claim, className, name);
    const what = `External provisioner is provisioning volume for claim "${key}"`;
    this.#tell(claim, "Normal", "Provisioning", what);
    const volume = volumeFor(claim, storageClass, node);
    try {
      await this.#context.client.create(PERSISTENT_VOLUMES, volume);
    } catch (error) {
      // An earlier attempt made it, and its answer was lost.
      if (!isReason(error, "AlreadyExists")) throw error;
    }
    const done = `Successfully provisioned volume ${volume.metadata?.name ?? ""}`;
    this.#tell(claim, "Normal", "ProvisioningSucceeded", done);
    return undefined;
  }

  /** As the api-server has it. */
  async #node(name: string): Promise<Node | undefined> {
    try {
      return await this.#context.client.get<Node>(NODES, { name });
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  /** The scheduler is to choose another node. */
  async #reschedule(claim: PersistentVolumeClaim, className: string, node: string): Promise<void> {
    this.#failed(claim, className, `error getting target node: nodes ${JSON.stringify(node)} not found`);
    const { [SELECTED_NODE]: _gone, ...annotations } = claim.metadata?.annotations ?? {};
    const metadata = { ...claim.metadata, annotations };
    await this.#context.client.update(PERSISTENT_VOLUME_CLAIMS, { ...claim, metadata });
  }

  async #remove(name: string): Promise<void> {
    const { client } = this.#context;
    const volume = this.#informers.volumes.lister.get(name);
    if (volume === undefined) return;
    const { uid, resourceVersion, deletionTimestamp, finalizers = [], labels } = volume.metadata ?? {};
    try {
      if (isToDelete(volume)) {
        await client.delete(PERSISTENT_VOLUMES, { name }, { preconditions: { uid, resourceVersion } });
      } else if (deletionTimestamp !== undefined && finalizers.includes(NODE_DISK_FINALIZER)) {
        // Nobody can remove a folder of a node that is no more.
        const node = labels?.[NODE_DISK_LABEL] ?? "";
        if ((await this.#node(node)) !== undefined) return;
        await client.update(PERSISTENT_VOLUMES, withoutFinalizer(volume, NODE_DISK_FINALIZER));
      }
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  #failed(claim: PersistentVolumeClaim, className: string, why: string): void {
    const message = `failed to provision volume with StorageClass ${JSON.stringify(className)}: ${why}`;
    this.#tell(claim, "Warning", "ProvisioningFailed", message);
  }

  #tell(claim: PersistentVolumeClaim, type: "Normal" | "Warning", reason: string, message: string): void {
    const about = { ...claim, apiVersion: "v1", kind: "PersistentVolumeClaim" };
    this.#context.recorder.event(about, type, reason, message);
  }
}
