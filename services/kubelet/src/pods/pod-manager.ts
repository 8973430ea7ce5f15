// The pods of one node: a worker for each, found again by key and by uid. Guarantees: at most one worker a uid; a pod that
// was deleted and made anew under the same name gets a worker of its own while the old one's containers still end.
import type { Pod } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import type { ContainerEvent } from "../cri/contract.ts";
import type { NodeContext } from "./node-context.ts";
import { PodWorker } from "./pod-worker.ts";

export class PodManager {
  readonly context: NodeContext;
  readonly #byUid = new Map<string, PodWorker>();
  readonly #byKey = new Map<string, PodWorker>();
  readonly #stopListening: () => void;
  #open = false;

  constructor(context: Omit<NodeContext, "activePods" | "open">) {
    this.context = { ...context, open: () => this.#open, activePods: (but) => this.#activePods(but) };
    this.#stopListening = context.cri.events?.((event) => this.#onRuntimeEvent(event)) ?? ((): void => {});
  }

  /** The pods that are not gone. */
  pods(): Pod[] {
    return [...this.#byKey.values()].map((worker) => worker.pod);
  }

  get size(): number {
    return this.#byKey.size;
  }

  worker(namespace: string, name: string): PodWorker | undefined {
    return this.#byKey.get(`${namespace}/${name}`);
  }

  /** The node is registered: its pods may run. */
  open(): void {
    if (this.#open) return;
    this.#open = true;
    for (const worker of this.#byUid.values()) worker.sync();
  }

  /** A pod as the API has it now. */
  upsert(pod: Pod): void {
    const uid = pod.metadata?.uid ?? "";
    const key = objectKey(pod);
    const known = this.#byUid.get(uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    const other = this.#byKey.get(key);
    if (other !== undefined) this.#orphan(other);
    const worker = new PodWorker(this.context, pod, (done) => this.#byUid.delete(done.uid));
    this.#byUid.set(uid, worker);
    this.#byKey.set(key, worker);
    worker.sync();
  }

  /** The API has no such pod any more. */
  remove(pod: Pod): void {
    const worker = this.#byUid.get(pod.metadata?.uid ?? "");
    if (worker !== undefined) this.#orphan(worker);
  }

  close(): void {
    this.#stopListening();
    for (const worker of this.#byUid.values()) worker.close();
  }

  #orphan(worker: PodWorker): void {
    if (this.#byKey.get(worker.key) === worker) this.#byKey.delete(worker.key);
    worker.orphan();
  }

  #activePods(but: Pod): Pod[] {
    const pods: Pod[] = [];
    for (const worker of this.#byUid.values()) {
      if (worker.uid !== but.metadata?.uid && worker.admitted && !worker.over) pods.push(worker.state.pod);
    }
    return pods;
  }

  #onRuntimeEvent(event: ContainerEvent): void {
    if (event.type !== "CONTAINER_STOPPED_EVENT") return;
    for (const worker of this.#byUid.values()) worker.onRuntimeEvent(event);
  }
}
