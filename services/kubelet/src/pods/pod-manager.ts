// The pods of one node: a worker for each, found again by key and by uid. Guarantees:
// - At most one worker a uid; a pod that was deleted and made anew under the same name gets a worker of its own while the old
//   one's containers still end.
// - No pod is synced before it is known what an earlier process left in the runtime: that is adopted, not started again.
// - What belongs to no pod of the API is ended, once the API's pods are known.
import type { Pod } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import { isAbort } from "@coxswain/env";
import type { ContainerEvent } from "../cri/contract.ts";
import { PullManager } from "../images/pull-manager.ts";
import type { NodeContext } from "./node-context.ts";
import { CpuClock } from "../stats/cpu-clock.ts";
import { Orphans } from "./orphans.ts";
import type { RuntimePod } from "./plan-adoption.ts";
import { occupyingState, type PodState } from "./pod-state.ts";
import { PodWorker } from "./pod-worker.ts";
import { VolumesInUse } from "../volumes/volumes-in-use.ts";
import { listRuntimePods, RuntimeLister, type RuntimePods } from "./runtime-lister.ts";

const RETRY_MS = 500;
/** How often files and cgroups of pods that are gone are looked for. */
const TRACES_EVERY_MS = 60_000;

export interface PodManagerOptions {
  /** True once the API's pods are known; from then on what has no pod is ended. */
  readonly podsKnown: () => boolean;
}

export class PodManager {
  readonly context: NodeContext;
  /** Counts what a simulated node uses. */
  readonly nodeClock: CpuClock;
  readonly #options: PodManagerOptions;
  readonly #byUid = new Map<string, PodWorker>();
  readonly #byKey = new Map<string, PodWorker>();
  readonly #stopListening: () => void;
  readonly #lister: RuntimeLister | undefined;
  readonly #orphans: Orphans;
  readonly #stop = new AbortController();
  /** What an earlier process left, until a worker takes it. */
  #found = new Map<string, RuntimePod>();
  /** Uids without a worker that the latest list had: those that stay are orphans. */
  #suspects: ReadonlySet<string> = new Set();
  #tracesDueMs = 0;
  #opening = false;
  #open = false;

  constructor(
    context: Omit<NodeContext, "activePods" | "occupants" | "open" | "lookAgain" | "bornMs" | "pulls" | "volumesInUse">,
    options: PodManagerOptions,
  ) {
    this.#options = options;
    const {
      cri: images,
      env: { clock },
      logger: log,
      pullRecords: store,
    } = context;
    this.context = {
      ...context,
      pulls: new PullManager({ clock, logger: log, cri: images, ...(store === undefined ? {} : { store }) }),
      bornMs: context.env.clock.now(),
      open: () => this.#open,
      activePods: (but) => this.#active(but).map(({ pod }) => pod),
      occupants: (but) => this.#active(but).map(occupyingState),
      lookAgain: () => this.#lister?.soon(),
      volumesInUse: new VolumesInUse(context.nodeStatusChanged ?? ((): void => {}), () => this.#takenOver()),
    };
    const { cri, env, logger } = this.context;
    this.nodeClock = new CpuClock(this.context.bornMs);
    this.#orphans = new Orphans(this.context);
    this.#stopListening = cri.events?.((event) => this.#onRuntimeEvent(event)) ?? ((): void => {});
    // Events tell nothing of pods that are gone: a real node is looked at as a whole in any case.
    if (cri.events === undefined || context.cgroups !== undefined) {
      this.#lister = new RuntimeLister({ env, logger, cri, listed: (pods) => this.#observe(pods) });
    }
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

  /** The node is registered: its pods may run, as soon as it is known what the runtime has. */
  open(): void {
    if (this.#opening) return;
    this.#opening = true;
    this.#begin().catch((error: unknown) => {
      if (!isAbort(error)) this.context.logger.error({ err: error }, "the pods of a node could not be taken over");
    });
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
    const found = this.#found.get(uid);
    this.#found.delete(uid);
    const worker = new PodWorker(this.context, pod, (done) => this.#byUid.delete(done.uid), found);
    this.#byUid.set(uid, worker);
    this.#byKey.set(key, worker);
    worker.sync();
  }

  /** The API has no such pod any more. */
  remove(pod: Pod): void {
    const worker = this.#byUid.get(pod.metadata?.uid ?? "");
    if (worker !== undefined) this.#orphan(worker);
  }

  /** Something that pods wait for may be there now. */
  syncAll(): void {
    for (const worker of this.#byUid.values()) worker.sync();
  }

  close(): void {
    this.#stop.abort();
    this.#lister?.stop();
    this.#stopListening();
    for (const worker of this.#byUid.values()) worker.close();
  }

  async #begin(): Promise<void> {
    const { cri, env, logger } = this.context;
    for (let failed = false; ; failed = true) {
      try {
        this.#found = new Map(await listRuntimePods(cri));
        break;
      } catch (error) {
        if (!failed) logger.warn({ err: error }, "the runtime does not say what it has; asking until it does");
        await env.timers.sleep(RETRY_MS, this.#stop.signal);
      }
    }
    if (this.#stop.signal.aborted) return;
    for (const [uid, worker] of this.#byUid) {
      const found = this.#found.get(uid);
      this.#found.delete(uid);
      if (found !== undefined) worker.adopt(found);
    }
    this.#open = true;
    this.context.volumesInUse.lookAgain();
    this.syncAll();
    await this.#lister?.run();
  }

  /** True once every pod that an earlier process left has a worker that knows what it has. */
  #takenOver(): boolean {
    if (!this.#open || !this.#options.podsKnown()) return false;
    return this.#byUid.values().every((worker) => worker.takenOver);
  }

  #orphan(worker: PodWorker): void {
    if (this.#byKey.get(worker.key) === worker) this.#byKey.delete(worker.key);
    worker.orphan();
    this.#retryResizes();
  }

  /** There is room now that there was not. */
  #retryResizes(): void {
    for (const worker of this.#byUid.values()) if (worker.state.resize.pending !== undefined) worker.sync();
  }

  #active(but: Pod): PodState[] {
    const states: PodState[] = [];
    for (const worker of this.#byUid.values()) {
      if (worker.uid !== but.metadata?.uid && worker.admitted && !worker.over) states.push(worker.state);
    }
    return states;
  }

  #onRuntimeEvent(event: ContainerEvent): void {
    if (event.type !== "CONTAINER_STOPPED_EVENT") return;
    for (const worker of this.#byUid.values()) worker.onRuntimeEvent(event);
  }

  /** What the runtime has now, of pods that are known and of others. */
  #observe(pods: RuntimePods): void {
    for (const [uid, worker] of this.#byUid) worker.observe(pods.get(uid) ?? { sandboxes: [], containers: [] });
    const suspects = new Set<string>();
    for (const [uid, found] of pods) {
      if (this.#byUid.has(uid) || !this.#options.podsKnown()) continue;
      suspects.add(uid);
      // A pod may have come and gone while the list was made.
      if (!this.#suspects.has(uid)) continue;
      this.#found.delete(uid);
      this.#orphans.end(uid, found);
    }
    this.#suspects = suspects;
    this.#endTraces(pods);
  }

  #endTraces(pods: RuntimePods): void {
    const { env, logger } = this.context;
    if (!this.#options.podsKnown() || env.clock.now() < this.#tracesDueMs) return;
    this.#tracesDueMs = env.clock.now() + TRACES_EVERY_MS;
    const end = async (): Promise<void> => {
      for (const uid of await this.#orphans.traces()) {
        if (!this.#byUid.has(uid) && !pods.has(uid)) this.#orphans.end(uid, { sandboxes: [], containers: [] });
      }
    };
    end().catch((error: unknown) => logger.warn({ err: error }, "what pods left on the node could not be read"));
  }
}
