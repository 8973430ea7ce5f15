// Looks at all that a runtime has, again and again, where the runtime tells of nothing by itself: what upstream calls the
// pod lifecycle event generator. Guarantees: one look at a time, every second, and soon after something was asked of the
// runtime; a runtime that cannot be reached is asked again as often, and says nothing meanwhile.
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import { isAbort } from "@coxswain/env";
import type { ContainerStatus, Cri, PodSandbox } from "../cri/contract.ts";
import type { RuntimePod } from "./plan-adoption.ts";

const PERIOD_MS = 1_000;
/** What ends at once has ended by then. */
const SOON_MS = 100;

/** All that the runtime has, by the uid of the pod. */
export type RuntimePods = ReadonlyMap<string, RuntimePod>;

export async function listRuntimePods(cri: Cri): Promise<RuntimePods> {
  // Containers first: each of them then has its sandbox in the list, unless that has gone.
  const containers = await cri.listContainers();
  const sandboxes = await cri.listPodSandbox();
  return groupByPod(sandboxes, containers);
}

/** Containers whose sandbox is not there belong to nobody, and cannot run. */
export function groupByPod(sandboxes: readonly PodSandbox[], containers: readonly ContainerStatus[]): RuntimePods {
  const uids = new Map(sandboxes.map((one) => [one.id, one.config.uid]));
  const pods = new Map<string, { sandboxes: PodSandbox[]; containers: ContainerStatus[] }>();
  const of = (uid: string): { sandboxes: PodSandbox[]; containers: ContainerStatus[] } => {
    const found = pods.get(uid) ?? { sandboxes: [], containers: [] };
    pods.set(uid, found);
    return found;
  };
  for (const one of sandboxes) of(one.config.uid).sandboxes.push(one);
  for (const one of containers) {
    const uid = uids.get(one.sandboxId);
    if (uid !== undefined) of(uid).containers.push(one);
  }
  return pods;
}

export interface RuntimeListerDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly cri: Cri;
  /** Never rejects. */
  listed(pods: RuntimePods): void;
}

export class RuntimeLister {
  readonly #deps: RuntimeListerDeps;
  readonly #stop = new AbortController();
  #wake: (() => void) | undefined;
  #soon = false;

  constructor(deps: RuntimeListerDeps) {
    this.#deps = deps;
  }

  /** Looks once soon, without waiting for its time. */
  soon(): void {
    this.#soon = true;
    this.#wake?.();
  }

  stop(): void {
    this.#stop.abort();
    this.#wake?.();
  }

  async run(): Promise<void> {
    const { logger, cri } = this.#deps;
    let failed = false;
    while (!this.#stop.signal.aborted) {
      await this.#pause();
      if (this.#stop.signal.aborted) return;
      try {
        const pods = await listRuntimePods(cri);
        failed = false;
        if (!this.#stop.signal.aborted) this.#deps.listed(pods);
      } catch (error) {
        if (!failed) logger.warn({ err: error }, "the runtime's pods could not be listed");
        failed = true;
      }
    }
  }

  async #pause(): Promise<void> {
    if (!this.#soon) await this.#sleep(PERIOD_MS, true);
    if (this.#soon) await this.#sleep(SOON_MS, false);
    this.#soon = false;
  }

  /** Ends early where something is to be looked at soon, if it may. */
  async #sleep(ms: number, mayWake: boolean): Promise<void> {
    const { timers } = this.#deps.env;
    const cut = new AbortController();
    this.#wake = () => {
      if (mayWake || this.#stop.signal.aborted) cut.abort();
    };
    try {
      await timers.sleep(ms, cut.signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
    this.#wake = undefined;
  }
}
