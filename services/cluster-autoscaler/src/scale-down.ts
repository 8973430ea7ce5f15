// Finds nodes that nobody needs and takes them away: the executor of plan-scale-down. Nodes go in the background, scans go on.
import type { Node, Pod, PodDisruptionBudget } from "@coxswain/api";
import type { EventRecorder, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { AutoscalerMetrics } from "./autoscaler-metrics.ts";
import type { Drainer } from "./drainer.ts";
import type { GroupFacts } from "./group-state.ts";
import { DELETION_CANDIDATE, hasTaint, nameOf } from "./node-facts.ts";
import { markNode, unmarkNode } from "./node-writer.ts";
import type { AutoscalerOptions } from "./options.ts";
import type { Placement } from "./placement.ts";
import { nextUnneeded, planCandidates, planRemovals, type Candidate } from "./plan-scale-down.ts";
import { podKey } from "./pod-facts.ts";
import type { Observed } from "./scale-up.ts";
import type { StatusMap } from "./status-map.ts";

export interface ScaleDownDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly client: ResourceClient;
  readonly recorder: EventRecorder;
  readonly placement: Placement;
  readonly drainer: Drainer;
  readonly status: StatusMap;
  readonly metrics: AutoscalerMetrics;
  readonly options: AutoscalerOptions;
  readonly podsOn: (node: string) => readonly Pod[];
  readonly budgets: () => readonly PodDisruptionBudget[];
}

export class ScaleDown {
  readonly #deps: ScaleDownDeps;
  #since: ReadonlyMap<string, number> = new Map();
  /** Node → until when it is left alone. */
  readonly #resting = new Map<string, number>();
  readonly #going = new Map<
    string,
    { readonly group: string; readonly draining: boolean; readonly done: Promise<void> }
  >();
  #lastDeleteMs = -Infinity;
  #lastFailureMs = -Infinity;
  #unneeded: readonly Candidate[] = [];

  constructor(deps: ScaleDownDeps) {
    this.#deps = deps;
  }

  /** Unneeded nodes of a group, as the last scan saw them. */
  candidatesOf(group: string): number {
    return this.#unneeded.filter((one) => one.group === group).length;
  }

  /** Resolves when no node is on its way out any more. */
  async settle(): Promise<void> {
    await Promise.all([...this.#going.values()].map(({ done }) => done));
  }

  /** Nothing is known any more of how long nodes have been unneeded. */
  forget(): void {
    this.#since = new Map();
    this.#unneeded = [];
  }

  /** Looks which nodes are unneeded now, and marks them; `mayRemove`: takes those away that were so for long enough. */
  async run(
    observed: readonly Observed[],
    mayRemove: boolean,
    lastAddMs: number | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { env, options, metrics } = this.#deps;
    const nowMs = env.clock.now();
    const spare = this.#spare(observed);
    this.#unneeded = await this.#findUnneeded(observed, spare);
    this.#since = nextUnneeded(this.#unneeded, this.#since, nowMs);
    metrics.unneeded.set(this.#unneeded.length);
    await this.#markCandidates(observed, nowMs);
    const cooling =
      nowMs - (lastAddMs ?? -Infinity) < options.scaleDownDelayAfterAddMs ||
      nowMs - this.#lastDeleteMs < options.scaleDownDelayAfterDeleteMs ||
      nowMs - this.#lastFailureMs < options.scaleDownDelayAfterFailureMs;
    if (!mayRemove || cooling) return;
    const draining = [...this.#going.values()].filter((one) => one.draining).length;
    const going = { all: this.#going.size, draining };
    const chosen = planRemovals({ unneeded: this.#unneeded, since: this.#since, spare, going, nowMs }, options);
    for (const candidate of chosen) this.#remove(candidate, signal);
  }

  /** How many nodes each group can do without: those that are going still count in its size. */
  #spare(observed: readonly Observed[]): Map<string, number> {
    return new Map(
      observed.map(({ facts: { group, targetSize } }) => {
        const going = [...this.#going.values()].filter((one) => one.group === group.id).length;
        return [group.id, targetSize - going - group.minSize];
      }),
    );
  }

  async #findUnneeded(observed: readonly Observed[], spare: ReadonlyMap<string, number>): Promise<Candidate[]> {
    const { env, options, placement, podsOn, budgets } = this.#deps;
    const nowMs = env.clock.now();
    const inputs = observed.flatMap(({ facts, state }) =>
      [...state.ready, ...state.unready]
        .filter((node) => !this.#going.has(nameOf(node)) && !((this.#resting.get(nameOf(node)) ?? 0) > nowMs))
        .map((node) => ({ node, group: facts.group.id, pods: podsOn(nameOf(node)) })),
    );
    const { candidates } = planCandidates(inputs, budgets(), options, nowMs);
    // Those that were unneeded before come first: a node must not lose its turn to one that is just as empty.
    const known = (one: Candidate): number => (this.#since.has(nameOf(one.node)) ? 0 : 1);
    const left = new Map(spare);
    const accepted: Candidate[] = [];
    for (const candidate of candidates.toSorted((a, b) => known(a) - known(b))) {
      const room = left.get(candidate.group) ?? 0;
      if (room < 1) continue;
      const moved = [...accepted, candidate].flatMap(({ move }) => move).map(podKey);
      const leaving = [...this.#going.keys(), ...accepted.map(({ node }) => nameOf(node)), nameOf(candidate.node)];
      if (moved.length > 0) {
        const { places } = await placement.ask({ removeNodes: leaving, pods: moved });
        if (places.some(({ node }) => node === "")) continue;
      }
      left.set(candidate.group, room - 1);
      accepted.push(candidate);
    }
    return accepted;
  }

  /** Others should rather not put pods on nodes that may soon go. */
  async #markCandidates(observed: readonly Observed[], nowMs: number): Promise<void> {
    const { client, options } = this.#deps;
    const unneeded = new Set(this.#unneeded.map(({ node }) => nameOf(node)));
    const all = observed.flatMap(({ state }) => [...state.ready, ...state.unready]);
    const wrong = all.filter((node) => hasTaint(node, DELETION_CANDIDATE) !== unneeded.has(nameOf(node)));
    for (const node of wrong.slice(0, options.maxBulkSoftTaintCount)) {
      const name = nameOf(node);
      if (this.#going.has(name)) continue;
      if (unneeded.has(name)) await markNode(client, name, DELETION_CANDIDATE, nowMs);
      else await unmarkNode(client, name, [DELETION_CANDIDATE]);
    }
  }

  #remove(candidate: Candidate, signal: AbortSignal): void {
    const { recorder, status, logger } = this.#deps;
    const { node, group, move, utilization } = candidate;
    const name = nameOf(node);
    const empty = move.length === 0;
    const pods = move.map(podKey).join(",");
    const used = `{cpu: ${utilization.cpu.toFixed(3)}, memory: ${utilization.memory.toFixed(3)}}`;
    const message = empty
      ? `Scale-down: removing empty node "${name}"`
      : `Scale-down: removing node ${name}, utilization: ${used}, pods to reschedule: ${pods}`;
    recorder.event(status.object, "Normal", empty ? "ScaleDownEmpty" : "ScaleDown", message);
    logger.info({ node: name, group, pods: move.length, utilization: utilization.share }, "removing a node");
    const done = this.#take(candidate, signal).finally(() => this.#going.delete(name));
    this.#going.set(name, { group, draining: !empty, done });
  }

  /** Never rejects. */
  async #take(candidate: Candidate, signal: AbortSignal): Promise<void> {
    const { env, drainer, recorder, status, metrics, logger, options } = this.#deps;
    const name = nameOf(candidate.node);
    const empty = candidate.move.length === 0;
    try {
      await drainer.remove(candidate, signal);
      this.#lastDeleteMs = env.clock.now();
      metrics.scaledDown.inc({ reason: empty ? "empty" : "underutilized" });
      metrics.lastActivity.set(env.clock.now() / 1000, { activity: "scaleDown" });
      const message = empty ? `Scale-down: empty node ${name} removed` : `Scale-down: node ${name} removed with drain`;
      recorder.event(status.object, "Normal", empty ? "ScaleDownEmpty" : "ScaleDown", message);
      logger.info({ node: name }, "removed a node");
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.#lastFailureMs = env.clock.now();
      this.#resting.set(name, env.clock.now() + options.unremovableNodeRecheckMs);
      logger.warn({ node: name, err: error }, "could not remove a node");
    }
  }

  /** Takes the marks of `keys` off nodes that this process is not about to take away, unless their machine is on its way out. */
  async unmarkStrays(nodes: readonly Node[], all: readonly GroupFacts[], keys: readonly string[]): Promise<void> {
    const leaving = new Set(all.flatMap(leavingNodes));
    for (const node of nodes) {
      const name = nameOf(node);
      if (this.#going.has(name) || leaving.has(name) || !keys.some((key) => hasTaint(node, key))) continue;
      await unmarkNode(this.#deps.client, name, keys);
    }
  }
}

/** Names of the Nodes whose machine is gone or going. */
function leavingNodes({ nodes, instances }: GroupFacts): string[] {
  const staying = new Set(instances.filter(({ state }) => state !== "deleting").map(({ id }) => id));
  return nodes.filter(({ spec }) => spec?.providerID && !staying.has(spec.providerID)).map(nameOf);
}
