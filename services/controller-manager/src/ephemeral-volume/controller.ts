// The ephemeral volume controller: makes the claim of each generic ephemeral volume, owned by its pod, so that it goes with the pod.
// Guarantee: a claim that is there and was not made for the pod is never taken for its own.
// https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
import { PERSISTENT_VOLUME_CLAIMS, type PersistentVolumeClaim, type Pod, type Volume } from "@coxswain/api";
import { claimNameOf, isClaimOfPod } from "@coxswain/api/core-v1/persistent-volume/binding";
import { deepClone, isReason, objectKey } from "@coxswain/apimachinery";
import { createController, settleAll } from "@coxswain/controller-runtime";
import { BY_CLAIM, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { controllerReference } from "../ownership/controller-ref.ts";
import { isPodTerminal } from "../pods/pod-state.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";

/** The claim that the volume asks for. Pure. */
export function claimForVolume(pod: Pod, volume: Volume): PersistentVolumeClaim {
  const { metadata, spec } = deepClone(volume.ephemeral?.volumeClaimTemplate) ?? {};
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: claimNameOf(pod, volume) ?? "",
      namespace: pod.metadata?.namespace ?? "",
      ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ownerReferences: [controllerReference(pod, "v1", "Pod")],
    },
    ...(spec === undefined ? {} : { spec }),
  };
}

/** Says that a claim of that name belongs to somebody else, in upstream's words. */
export function notOwned(claim: PersistentVolumeClaim, pod: Pod): string {
  return `PVC ${objectKey(claim)} was not created for pod ${objectKey(pod)} (pod is not owner)`;
}

export function createEphemeralVolumeController(context: ControllerContext): ManagedController {
  const { caches, client, informers, metrics, recorder } = context;
  const tried = metrics.counter("ephemeral_volume_controller_create_total", "Claims that were to be made.");
  const failed = metrics.counter("ephemeral_volume_controller_create_failures_total", "Claims that could not be.");
  const claims = informers.informer<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);

  async function reconcile(key: string): Promise<void> {
    const pod = caches.pods.lister.get(key);
    if (pod === undefined || pod.metadata?.deletionTimestamp !== undefined || isPodTerminal(pod)) return;
    const volumes = (pod.spec?.volumes ?? []).filter(({ ephemeral }) => ephemeral !== undefined);
    await settleAll(volumes.map((volume) => ensureSaying(pod, volume)));
  }

  async function ensureSaying(pod: Pod, volume: Volume): Promise<void> {
    try {
      await ensure(pod, volume);
    } catch (error) {
      const message = `ephemeral volume ${volume.name}: ${error instanceof Error ? error.message : String(error)}`;
      recorder.event({ ...pod, apiVersion: "v1", kind: "Pod" }, "Warning", "FailedBinding", message);
      throw error;
    }
  }

  async function ensure(pod: Pod, volume: Volume): Promise<void> {
    const wanted = claimForVolume(pod, volume);
    const present = claims.lister.get(objectKey(wanted)) ?? (await create(wanted));
    if (present !== undefined && !isClaimOfPod(present, pod)) throw new Error(notOwned(present, pod));
  }

  /** Undefined where it was made; else the one that was there first. */
  async function create(wanted: PersistentVolumeClaim): Promise<PersistentVolumeClaim | undefined> {
    const { namespace = "", name = "" } = wanted.metadata ?? {};
    tried.inc();
    try {
      await client.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, wanted);
      return undefined;
    } catch (error) {
      failed.inc();
      if (isNamespaceTerminating(error)) return undefined;
      if (!isReason(error, "AlreadyExists")) throw error;
      return client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, { namespace, name });
    }
  }

  const controller = createController({ name: "ephemeral-volume-controller", reconcile }, context);
  const enqueue = (pod: Pod): void => {
    if (pod.spec?.volumes?.some(({ ephemeral }) => ephemeral !== undefined)) controller.enqueue(objectKey(pod));
  };
  caches.pods.addHandler({ add: enqueue, update: enqueue });
  // One that somebody deleted is made anew, as long as its pod lives.
  claims.addHandler({
    delete: (claim) => caches.pods.lister.byIndex(BY_CLAIM, objectKey(claim)).forEach(enqueue),
  });
  return { controller };
}
