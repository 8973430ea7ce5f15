// Ends volumes on the disks of this process's nodes: for each whose object is being deleted it has the folder removed, then takes off
// the finalizer that kept the object. Guarantees: the folder goes before the object; a failure is tried again until it works, and
// one volume's failure holds up no other's.
import { PERSISTENT_VOLUMES, type PersistentVolume } from "@coxswain/api";
import { isNodeDisk, NODE_DISK_FINALIZER, NODE_DISK_LABEL } from "@coxswain/api/storage-v1/storage-class/node-disk";
import { isReason } from "@coxswain/apimachinery";
import { createWorkQueue, type InformerFactory, type ResourceClient, type SharedInformer } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";

export interface DiskReclaimerDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly nodes: readonly string[];
  /** Absent: the nodes are simulated and have no folders. */
  readonly removeFolder?: (volume: string) => Promise<void>;
}

export class DiskReclaimer {
  readonly #deps: DiskReclaimerDeps;
  readonly #volumes: SharedInformer<PersistentVolume>;
  readonly #queue;
  readonly #nodes: ReadonlySet<string>;

  /** Before the informers' start. */
  constructor(deps: DiskReclaimerDeps) {
    this.#deps = deps;
    this.#nodes = new Set(deps.nodes);
    this.#queue = createWorkQueue({ env: deps.env, name: "node-disks" });
    // One node may list its own volumes only; a pack has too many to name.
    const labelSelector = deps.nodes.length === 1 ? `${NODE_DISK_LABEL}=${deps.nodes[0]}` : NODE_DISK_LABEL;
    const options = { labelSelector, direct: true };
    this.#volumes = deps.informers.informer<PersistentVolume>(PERSISTENT_VOLUMES, options);
    const look = (volume: PersistentVolume): void => {
      if (this.#isLeaving(volume)) this.#queue.add(volume.metadata?.name ?? "");
    };
    this.#volumes.addHandler({ add: look, update: look });
  }

  hasSynced(): boolean {
    return this.#volumes.hasSynced();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const queue = this.#queue;
    const stop = (): void => queue.shutDown();
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    for (let name = await queue.get(); name !== undefined && !signal.aborted; name = await queue.get()) {
      try {
        await this.#reclaim(name);
        queue.forget(name);
      } catch (error) {
        this.#deps.logger.warn({ volume: name, err: error }, "a volume's folder could not be removed yet");
        queue.addRateLimited(name);
      } finally {
        queue.done(name);
      }
    }
  }

  #isLeaving({ metadata }: PersistentVolume): boolean {
    const mine = this.#nodes.has(metadata?.labels?.[NODE_DISK_LABEL] ?? "");
    const held = metadata?.finalizers?.includes(NODE_DISK_FINALIZER) === true;
    return mine && held && metadata.deletionTimestamp !== undefined;
  }

  async #reclaim(name: string): Promise<void> {
    const { client, removeFolder } = this.#deps;
    const volume = this.#volumes.lister.get(name);
    if (volume === undefined || !this.#isLeaving(volume)) return;
    // One that only looks like ours has no folder of ours.
    if (isNodeDisk(volume)) await removeFolder?.(name);
    const finalizers = (volume.metadata?.finalizers ?? []).filter((one) => one !== NODE_DISK_FINALIZER);
    try {
      await client.update(PERSISTENT_VOLUMES, { ...volume, metadata: { ...volume.metadata, finalizers } });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}
