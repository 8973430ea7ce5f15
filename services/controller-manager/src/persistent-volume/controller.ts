// The binder: gives claims their volumes, and keeps the phases of both. Guarantees:
// - A claim has one volume and a volume one claim: both sides name each other, and where a write was lost on the way the next
//   look goes on from there.
// - One key is looked at at a time, so that two claims never take one volume from the same view of the cluster.
import {
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  STORAGE_CLASSES,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from "@coxswain/api";
import {
  annotationOf,
  BETA_STORAGE_PROVISIONER,
  BIND_COMPLETED,
  STORAGE_PROVISIONER,
} from "@coxswain/api/core-v1/persistent-volume/binding";
import { defaultStorageClass } from "@coxswain/api/storage-v1/storage-class/storage-class";
import { isReason, objectKey } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import { createController, type Controller, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_CLAIM, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { isPodTerminal } from "../pods/pod-state.ts";
import { createBindingWriter, type BindingWriter } from "./bind.ts";
import { followNewest, type Newest } from "./newest.ts";
import { planClaim, type ClaimFacts, type PlannedEvent } from "./plan-claim.ts";
import { planVolume, type ReclaimPlan } from "./plan-volume.ts";
import { tallyVolumes } from "./volume-tallies.ts";

/** What waits is looked at again this often, and says again why it waits: upstream's interval of syncs. */
const LOOK_AGAIN_MS = 15_000;
const CLAIM = "claim/";
const VOLUME = "volume/";
/** Index of claims: those that are not bound. */
const UNBOUND = "unbound";

export function createVolumeBinder(context: ControllerContext): ManagedController {
  const { informers } = context;
  const claims = informers.informer<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);
  const volumes = informers.informer<PersistentVolume>(PERSISTENT_VOLUMES);
  const classes = informers.informer<StorageClass>(STORAGE_CLASSES);
  claims.addIndex(UNBOUND, (claim) => (annotationOf(claim, BIND_COMPLETED) === undefined ? [UNBOUND] : []));
  const binder = new Binder(context, followNewest(claims), followNewest(volumes), classes);
  const controller = createController(
    { name: "persistentvolume-binder-controller", reconcile: (key) => binder.reconcile(key) },
    context,
  );
  binder.askFor = (claim) => controller.enqueue(CLAIM + claim);
  follow({ claims, volumes, classes }, controller);
  tallyVolumes(context.metrics, volumes, claims);
  return { controller };
}

interface Informers {
  readonly claims: SharedInformer<PersistentVolumeClaim>;
  readonly volumes: SharedInformer<PersistentVolume>;
  readonly classes: SharedInformer<StorageClass>;
}

function follow({ claims, volumes, classes }: Informers, controller: Controller): void {
  const enqueueClaim = (claim: PersistentVolumeClaim): void => controller.enqueue(CLAIM + objectKey(claim));
  const enqueueUnbound = (): void => claims.lister.byIndex(UNBOUND, UNBOUND).forEach(enqueueClaim);
  const enqueueVolumeOf = (claim: PersistentVolumeClaim): void => {
    const name = claim.spec?.volumeName ?? "";
    if (name !== "") controller.enqueue(VOLUME + name);
  };
  claims.addHandler({
    add: enqueueClaim,
    update: enqueueClaim,
    delete(claim) {
      enqueueVolumeOf(claim);
      // A volume that was reserved for it alone is not named by it.
      for (const volume of volumes.lister.list()) {
        if (volume.spec?.claimRef?.uid === claim.metadata?.uid)
          controller.enqueue(VOLUME + (volume.metadata?.name ?? ""));
      }
    },
  });
  const changed = (volume: PersistentVolume): void => {
    controller.enqueue(VOLUME + (volume.metadata?.name ?? ""));
    if (volume.status?.phase === "Available") enqueueUnbound();
  };
  volumes.addHandler({
    add: changed,
    update: changed,
    delete(volume) {
      const { namespace = "", name = "" } = volume.spec?.claimRef ?? {};
      if (name !== "") controller.enqueue(`${CLAIM}${namespace}/${name}`);
    },
  });
  classes.addHandler({ add: enqueueUnbound, update: enqueueUnbound });
}

class Binder {
  readonly #context: ControllerContext;
  readonly #claims: Newest<PersistentVolumeClaim>;
  readonly #volumes: Newest<PersistentVolume>;
  readonly #classes: SharedInformer<StorageClass>;
  readonly #write: BindingWriter;
  /** Looks at a claim soon. */
  askFor: (claim: string) => void = () => undefined;

  constructor(
    context: ControllerContext,
    claims: Newest<PersistentVolumeClaim>,
    volumes: Newest<PersistentVolume>,
    classes: SharedInformer<StorageClass>,
  ) {
    this.#context = context;
    this.#claims = claims;
    this.#volumes = volumes;
    this.#classes = classes;
    this.#write = createBindingWriter({ client: context.client, claims, volumes });
  }

  async reconcile(key: string): Promise<ReconcileResult | void> {
    if (key.startsWith(CLAIM)) return this.#syncClaim(key.slice(CLAIM.length));
    return this.#syncVolume(key.slice(VOLUME.length));
  }

  async #syncClaim(key: string): Promise<ReconcileResult | void> {
    const claim = this.#claims.get(key);
    if (claim === undefined) return undefined;
    const plan = planClaim(claim, this.#factsFor(claim));
    switch (plan.do) {
      case "bind":
        return this.#write.bind(plan.volume, claim);
      case "setClass":
        await this.#write.updateClaim({ ...claim, spec: { ...claim.spec, storageClassName: plan.storageClass } });
        return undefined;
      case "lose":
        if (claim.status?.phase === "Lost") return undefined;
        await this.#write.setClaimPhase(claim, "Lost");
        return this.#tell(claim, plan.event);
      case "fail":
        throw new Error(plan.message);
      case "provision":
        await this.#askProvisioner(claim, plan.provisioner, plan.event);
        return { requeueAfterMs: LOOK_AGAIN_MS };
      case "wait":
        if (plan.event !== undefined) this.#tell(claim, plan.event);
        await this.#write.setClaimPhase(claim, "Pending");
        return { requeueAfterMs: LOOK_AGAIN_MS };
    }
  }

  #factsFor(claim: PersistentVolumeClaim): ClaimFacts {
    const { caches } = this.#context;
    const pods = caches.pods.lister.byIndex(BY_CLAIM, objectKey(claim));
    const waiting = pods.filter((pod) => (pod.spec?.nodeName ?? "") === "" && !isPodTerminal(pod));
    return {
      volumes: this.#volumes.list(),
      volume: (name) => this.#volumes.get(name),
      storageClass: (name) => this.#classes.lister.get(name),
      defaultClass: defaultStorageClass(this.#classes.lister.list())?.metadata?.name,
      unscheduledPods: waiting.map((pod) => pod.metadata?.name ?? "").toSorted(),
    };
  }

  async #askProvisioner(claim: PersistentVolumeClaim, provisioner: string, event: PlannedEvent): Promise<void> {
    const asked = { [BETA_STORAGE_PROVISIONER]: provisioner, [STORAGE_PROVISIONER]: provisioner };
    const known = Object.keys(asked).every((name) => annotationOf(claim, name) === provisioner);
    if (!known) {
      const annotations = { ...claim.metadata?.annotations, ...asked };
      await this.#write.updateClaim({ ...claim, metadata: { ...claim.metadata, annotations } });
    }
    this.#tell(claim, event);
  }

  async #syncVolume(name: string): Promise<ReconcileResult | void> {
    const volume = this.#volumes.get(name);
    if (volume === undefined) return undefined;
    const claim = await this.#claimOf(volume);
    const plan = planVolume(volume, claim);
    switch (plan.do) {
      case "phase":
        await this.#write.setPhase(volume, plan.phase);
        return undefined;
      case "unbind":
        return this.#write.unbind(volume);
      case "askClaim": {
        const { namespace = "", name: claimName = "" } = volume.spec?.claimRef ?? {};
        return this.askFor(`${namespace}/${claimName}`);
      }
      case "mismatch":
        this.#tellOf(volume, plan.ofVolume);
        if (claim !== undefined) this.#tell(claim, plan.ofClaim);
        return { requeueAfterMs: LOOK_AGAIN_MS };
      case "release":
        return this.#release(volume, plan.reclaim);
    }
  }

  /** Before a volume counts as released the api-server is asked: the cache may not have shown the claim yet. */
  async #claimOf(volume: PersistentVolume): Promise<PersistentVolumeClaim | undefined> {
    const { namespace = "", name = "", uid = "" } = volume.spec?.claimRef ?? {};
    if (uid === "") return undefined;
    const known = this.#claims.get(`${namespace}/${name}`);
    const { phase } = volume.status ?? {};
    if (known?.metadata?.uid === uid || phase === "Released" || phase === "Failed") return known;
    try {
      const target = { namespace, name };
      return await this.#context.client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, target);
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #release(volume: PersistentVolume, reclaim: ReclaimPlan): Promise<void> {
    const { phase } = volume.status ?? {};
    // A failure stays to be seen.
    const released = phase === "Failed" ? volume : await this.#write.setPhase(volume, "Released");
    if (reclaim.do === "leave" || phase === "Failed") return;
    const { event } = reclaim;
    await this.#write.setPhase(released, "Failed", event.message);
    this.#tellOf(volume, event);
  }

  #tellOf(volume: PersistentVolume, { type, reason, message }: PlannedEvent): void {
    this.#context.recorder.event({ ...volume, apiVersion: "v1", kind: "PersistentVolume" }, type, reason, message);
  }

  #tell(claim: PersistentVolumeClaim, { type, reason, message }: PlannedEvent): void {
    const about = { ...claim, apiVersion: "v1", kind: "PersistentVolumeClaim" };
    this.#context.recorder.event(about, type, reason, message);
  }
}
