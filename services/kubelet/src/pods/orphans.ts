// Ends what is on the node of pods that the API does not have: containers within their grace, sandboxes, volumes, cgroups.
// Guarantees: each pod's remains are dealt with once at a time, and again at the next look where that failed.
import type { Logger } from "@coxswain/component-base";
import type { Cri } from "../cri/contract.ts";
import type { RuntimePod } from "./plan-adoption.ts";
import type { PodCgroups } from "./pod-cgroups.ts";
import type { PodLogs } from "./pod-logs.ts";
import type { PodVolumes } from "../volumes/contract.ts";

/** What a container gets whose pod nobody knows any more: its own grace is not known either. */
const GRACE_SECONDS = 30;

export interface OrphanDeps {
  readonly cri: Cri;
  readonly logger: Logger;
  readonly volumes?: PodVolumes;
  readonly cgroups?: PodCgroups;
  readonly logs?: PodLogs;
}

export class Orphans {
  readonly #deps: OrphanDeps;
  readonly #busy = new Set<string>();

  constructor(deps: OrphanDeps) {
    this.#deps = deps;
  }

  /** In the background. `found` is empty where only files and cgroups are left. */
  end(uid: string, found: RuntimePod): void {
    if (this.#busy.has(uid)) return;
    this.#busy.add(uid);
    void this.#try(uid, found);
  }

  async #try(uid: string, found: RuntimePod): Promise<void> {
    const { logger } = this.#deps;
    try {
      await this.#end(uid, found);
      logger.info({ uid, sandboxes: found.sandboxes.length }, "what was left of a pod is gone");
    } catch (error) {
      logger.warn({ uid, err: error }, "what is left of a pod could not be removed yet");
    } finally {
      this.#busy.delete(uid);
    }
  }

  /** Uids of pods that have volumes, cgroups or logs on the node. */
  async traces(): Promise<Set<string>> {
    const { volumes, cgroups, logs } = this.#deps;
    const known = await Promise.all([volumes, cgroups, logs].map(async (one) => (await one?.known()) ?? []));
    return new Set(known.flat());
  }

  async #end(uid: string, { sandboxes, containers }: RuntimePod): Promise<void> {
    const { cri, volumes, cgroups, logs } = this.#deps;
    const running = containers.filter((one) => one.state === "CONTAINER_RUNNING");
    await Promise.all(running.map((one) => cri.stopContainer(one.id, GRACE_SECONDS)));
    for (const { id } of sandboxes) {
      await cri.stopPodSandbox(id);
      await cri.removePodSandbox(id);
    }
    await volumes?.tearDown(uid);
    await cgroups?.remove(uid);
    await logs?.remove(uid);
  }
}
