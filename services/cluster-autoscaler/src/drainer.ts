// Takes one node out of the cluster: marks it, evicts its pods and waits for them, has its machine removed, and deletes its Node.
// Guarantees:
// - No pod is deleted that its budgets hold: pods go by eviction alone.
// - Where anything fails before the machine is gone, the mark is taken off again.
// - Abortion leaves the mark: whoever leads next takes it off.
import { isReason } from "@coxswain/apimachinery";
import { PODS, type Node, type Pod, type PodDisruptionBudget } from "@coxswain/api";
import type { EventRecorder, ResourceClient } from "@coxswain/client";
import { isAbort, type Env } from "@coxswain/env";
import type { CloudProvider } from "./cloud-provider.ts";
import { describeBlocked, planDrain } from "./drain-rules.ts";
import { nameOf, providerNode, TO_BE_DELETED } from "./node-facts.ts";
import { deleteNode, markNode, unmarkNode } from "./node-writer.ts";
import type { AutoscalerOptions } from "./options.ts";
import type { Candidate } from "./plan-scale-down.ts";
import { podKey } from "./pod-facts.ts";

export interface DrainerDeps {
  readonly env: Env;
  /** Its writes are fenced. */
  readonly client: ResourceClient;
  readonly recorder: EventRecorder;
  readonly provider: Pick<CloudProvider, "deleteNodes">;
  readonly options: AutoscalerOptions;
  readonly budgets: () => readonly PodDisruptionBudget[];
  /** Counts evictions: succeeded or failed. */
  readonly evicted: (result: "succeeded" | "failed") => void;
}

export class DrainError extends Error {
  override readonly name = "DrainError";
}

const EVICTION_RETRY_MS = 10_000;
const LOOK_MS = 1_000;
/** On top of their grace period, pods get as long to be gone. */
const HEADROOM_MS = 30_000;

export class Drainer {
  readonly #deps: DrainerDeps;

  constructor(deps: DrainerDeps) {
    this.#deps = deps;
  }

  /** Rejects where the node stays; with AbortError where `signal` aborted. */
  async remove(candidate: Candidate, signal: AbortSignal): Promise<void> {
    const { client, recorder, provider, env } = this.#deps;
    const name = nameOf(candidate.node);
    const node = await markNode(client, name, TO_BE_DELETED, env.clock.now());
    recorder.event(node, "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable");
    try {
      await this.#empty(node, candidate, signal);
      signal.throwIfAborted();
      await provider.deleteNodes(candidate.group, [providerNode(node)]);
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error;
      const message = error instanceof Error ? error.message : String(error);
      const what =
        candidate.move.length === 0
          ? `failed to delete empty node: ${message}`
          : `failed to drain the node, aborting ScaleDown: ${message}`;
      recorder.event(node, "Warning", "ScaleDownFailed", what);
      await unmarkNode(client, name, [TO_BE_DELETED]);
      throw error;
    }
    recorder.event(node, "Normal", "ScaleDown", "nodes removed by cluster autoscaler");
    await deleteNode(client, node);
  }

  /** Nothing new can come any more: the mark keeps it off. */
  async #empty(node: Node, candidate: Candidate, signal: AbortSignal): Promise<void> {
    const { env, options, budgets } = this.#deps;
    const plan = planDrain(await this.#podsOn(node), budgets(), options, env.clock.now());
    if (plan.blocked !== undefined) throw new DrainError(`pod ${describeBlocked(plan.blocked)}`);
    const known = new Set(candidate.move.map(podKey));
    const stranger = plan.move.find((pod) => !known.has(podKey(pod)));
    if (stranger !== undefined) throw new DrainError(`pod ${podKey(stranger)} came meanwhile`);
    // All are tried, also where one fails: whoever decides next sees what is so.
    const outcomes = await Promise.allSettled(plan.move.map((pod) => this.#evict(pod, signal)));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    await this.#awaitGone(node, plan.move, signal);
  }

  async #podsOn(node: Node): Promise<Pod[]> {
    const { items } = await this.#deps.client.list<Pod>(PODS, { fieldSelector: `spec.nodeName=${nameOf(node)}` });
    return items;
  }

  #graceMs(pod: Pod): number {
    const seconds = pod.spec?.terminationGracePeriodSeconds ?? 30;
    return Math.min(seconds * 1000, this.#deps.options.maxGracefulTerminationMs);
  }

  async #evict(pod: Pod, signal: AbortSignal): Promise<void> {
    const { env, client, recorder, options, evicted } = this.#deps;
    const { name = "", namespace = "", uid } = pod.metadata ?? {};
    const giveUpAt = env.clock.monotonic() + options.maxPodEvictionMs;
    const eviction = {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name, namespace },
      deleteOptions: {
        gracePeriodSeconds: Math.floor(this.#graceMs(pod) / 1000),
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      },
    };
    recorder.event(pod, "Normal", "ScaleDown", "deleting pod for node scale down");
    for (;;) {
      try {
        await client.create(PODS, eviction, { namespace, name, subresource: "eviction" });
        evicted("succeeded");
        return;
      } catch (error) {
        // Gone, or another of the same name by now.
        if (isReason(error, "NotFound") || isReason(error, "Conflict")) return;
        if (env.clock.monotonic() + EVICTION_RETRY_MS > giveUpAt) {
          evicted("failed");
          recorder.event(pod, "Warning", "ScaleDownFailed", "failed to delete pod for ScaleDown");
          throw new DrainError(`failed to evict pod ${podKey(pod)}: ${(error as Error).message}`, { cause: error });
        }
        await env.timers.sleep(EVICTION_RETRY_MS, signal);
      }
    }
  }

  async #awaitGone(node: Node, moved: readonly Pod[], signal: AbortSignal): Promise<void> {
    if (moved.length === 0) return;
    const { env } = this.#deps;
    const uids = new Set(moved.map(({ metadata }) => metadata?.uid));
    const giveUpAt = env.clock.monotonic() + Math.max(...moved.map((pod) => this.#graceMs(pod))) + HEADROOM_MS;
    for (;;) {
      const left = (await this.#podsOn(node)).filter(({ metadata }) => uids.has(metadata?.uid));
      if (left.length === 0) return;
      if (env.clock.monotonic() > giveUpAt)
        throw new DrainError(`pods remain after their grace period: ${left.map(podKey).join(", ")}`);
      await env.timers.sleep(LOOK_MS, signal);
    }
  }
}
