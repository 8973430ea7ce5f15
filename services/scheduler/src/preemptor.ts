// Carries a preemption out: takes back the nominations of less important pods to the same node, marks the victims and
// deletes them. Everything is fenced, and repeating it does no harm: a victim is deleted by its uid.
import { formatTime, isReason } from "@coxswain/apimachinery";
import { PODS, type PodCondition } from "@coxswain/api";
import type { BatchOperation, EventRecorder, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { WaitingPods } from "./framework/waiting-pods.ts";
import type { PodInfo } from "./pod-info.ts";
import { statusPatch } from "./pod-status.ts";
import type { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";

export interface Preemption {
  readonly preemptor: PodInfo;
  readonly node: string;
  readonly victims: readonly PodInfo[];
}

export interface PreemptorDeps {
  readonly env: Env;
  /** Fenced. */
  readonly client: ResourceClient;
  readonly recorder: EventRecorder;
  readonly logger: Logger;
  readonly snapshot: ClusterSnapshot;
  readonly waiting: WaitingPods;
}

/** Whom the preemptor pushes off the node's list of nominated pods. */
export function lowerNominations({ preemptor, node }: Preemption, snapshot: ClusterSnapshot): PodInfo[] {
  return snapshot.nominations.on(node).filter((other) => other.priority < preemptor.priority);
}

/** The condition that tells the victim's owner why; undefined where the victim has it already. */
export function disruptionTarget({ preemptor }: Preemption, victim: PodInfo, nowMs: number): PodCondition | undefined {
  const { generation } = victim.pod.metadata ?? {};
  const old = victim.pod.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  const reason = "PreemptionByScheduler";
  const message = `${preemptor.pod.spec?.schedulerName ?? ""}: preempting to accommodate a higher priority pod`;
  if (old?.status === "True" && old.reason === reason && old.message === message) return undefined;
  return {
    type: "DisruptionTarget",
    status: "True",
    reason,
    message,
    lastTransitionTime:
      old?.status === "True" && old.lastTransitionTime !== undefined ? old.lastTransitionTime : formatTime(nowMs),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}

const target = ({ namespace, name }: PodInfo): { namespace: string; name: string } => ({ namespace, name });

function deletion(info: PodInfo): BatchOperation {
  return { op: "delete", ref: PODS, target: target(info), options: { preconditions: { uid: info.uid } } };
}

export class Preemptor {
  readonly #deps: PreemptorDeps;

  constructor(deps: PreemptorDeps) {
    this.#deps = deps;
  }

  /** True once every victim is being deleted or gone; false where that is not known of one. Never rejects. */
  async preempt(preemption: Preemption): Promise<boolean> {
    const cleared = await this.#clearNominations(preemption);
    const running = preemption.victims.filter((victim) => !victim.terminating);
    const rejected = running.filter((victim) => this.#deps.waiting.preempt(victim.uid));
    const bound = running.filter((victim) => !rejected.includes(victim));
    for (const victim of rejected) this.#tell(preemption, victim);
    const evicted = await this.#evict(preemption, bound);
    return cleared && evicted;
  }

  async #evict(preemption: Preemption, victims: readonly PodInfo[]): Promise<boolean> {
    const nowMs = this.#deps.env.clock.now();
    const marks = new Map(victims.map((victim) => [victim, disruptionTarget(preemption, victim, nowMs)]));
    const unmarked = victims.filter((victim) => marks.get(victim) !== undefined);
    const marked = await this.#each(unmarked, (victim) => statusPatch(victim.pod, { conditions: [marks.get(victim)] }));
    const doomed = victims.filter((victim) => marks.get(victim) === undefined || marked.done.includes(victim));
    const deleted = await this.#each(doomed, deletion);
    for (const victim of deleted.done) this.#tell(preemption, victim);
    return marked.failed + deleted.failed === 0;
  }

  async #clearNominations(preemption: Preemption): Promise<boolean> {
    const lower = lowerNominations(preemption, this.#deps.snapshot);
    for (const other of lower) this.#deps.snapshot.nominations.remove(other.key);
    const cleared = await this.#each(lower, (other) => statusPatch(other.pod, { nominatedNodeName: null }));
    return cleared.failed === 0;
  }

  /** Writes one operation a pod; a pod that has gone counts neither as done nor as failed. */
  async #each(
    pods: readonly PodInfo[],
    operation: (info: PodInfo) => BatchOperation,
  ): Promise<{ done: PodInfo[]; failed: number }> {
    if (pods.length === 0) return { done: [], failed: 0 };
    const done: PodInfo[] = [];
    let failed = 0;
    const fail = (error: unknown): void => {
      failed++;
      this.#deps.logger.warn({ err: error }, "could not preempt a pod");
    };
    try {
      await this.#deps.env.failpoints.hit("scheduler.preempt");
      const outcomes = await this.#deps.client.batch(pods.map(operation));
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome.ok) done.push(pods[at]!);
        // Conflict: another pod has its name now.
        else if (!isReason(outcome.error, "NotFound", "Conflict")) fail(outcome.error);
      }
    } catch (error) {
      fail(error);
    }
    return { done, failed };
  }

  #tell({ preemptor, node }: Preemption, victim: PodInfo): void {
    const message = `Preempted by pod ${preemptor.uid} on node ${node}`;
    this.#deps.recorder.event(victim.pod, "Normal", "Preempted", message);
  }
}
