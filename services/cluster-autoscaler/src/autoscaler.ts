// The loop of the leader: look, mend, bring nodes for pods that wait, take away nodes that nobody needs. Guarantees:
// - A provider, a scheduler or an api-server that does not answer costs a scan, and nothing else.
// - Nodes that are on their way count: the same pods do not bring nodes twice.
// - No group leaves its range.
// - No node stays marked as going that nobody takes away: neither after a death of the leader nor after a failure.
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import { NODES, type Node } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { EventRecorder, ResourceClient } from "@coxswain/client";
import type { AutoscalerMetrics } from "./autoscaler-metrics.ts";
import type { CloudProvider } from "./cloud-provider.ts";
import { Drainer } from "./drainer.ts";
import { groupState, isUnhealthy, nextSince, type GroupFacts } from "./group-state.ts";
import { DELETION_CANDIDATE, TO_BE_DELETED } from "./node-facts.ts";
import { deleteNode } from "./node-writer.ts";
import { BY_NODE, daemonPods, observeGroups, type Listers } from "./observe.ts";
import type { AutoscalerOptions } from "./options.ts";
import type { Placement } from "./placement.ts";
import { ScaleDown } from "./scale-down.ts";
import { ScaleUp, type Observed } from "./scale-up.ts";
import { statusDocument } from "./status-document.ts";
import { StatusMap } from "./status-map.ts";
import { unschedulablePods } from "./unschedulable-pods.ts";

export interface AutoscalerParts {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: AutoscalerMetrics;
  /** Its writes are fenced. */
  readonly client: ResourceClient;
  readonly recorder: EventRecorder;
  readonly listers: Listers;
  readonly provider: CloudProvider;
  readonly placement: Placement;
  readonly options: AutoscalerOptions;
}

export class Autoscaler {
  readonly #parts: AutoscalerParts;
  readonly #status: StatusMap;
  readonly #up: ScaleUp;
  readonly #down: ScaleDown;
  #since: ReadonlyMap<string, number> = new Map();
  #clean = false;
  /** When a scan last succeeded, on the monotonic clock; undefined before the first. */
  lastSuccessMs: number | undefined;
  /** Node groups, as the last scan saw them. */
  groups = 0;

  constructor(parts: AutoscalerParts) {
    this.#parts = parts;
    const { listers, metrics } = parts;
    this.#status = new StatusMap(parts.client);
    const budgets = () => listers.budgets.list();
    const evicted = (result: string): void => metrics.evicted.inc({ eviction_result: result });
    const drainer = new Drainer({ ...parts, budgets, evicted });
    this.#up = new ScaleUp({ ...parts, status: this.#status });
    const podsOn = (node: string) => listers.pods.byIndex(BY_NODE, node);
    this.#down = new ScaleDown({ ...parts, status: this.#status, drainer, podsOn, budgets });
  }

  /** Scans until leadership is lost. */
  async run(signal: AbortSignal): Promise<void> {
    const { env, options, logger, metrics } = this.#parts;
    this.#clean = false;
    this.#since = new Map();
    this.#down.forget();
    while (!signal.aborted) {
      const startedMs = env.clock.monotonic();
      try {
        await this.scan(signal);
        this.lastSuccessMs = env.clock.monotonic();
      } catch (error) {
        if (isAbort(error) || signal.aborted) break;
        metrics.errors.inc({ type: isReason(error, "ServiceUnavailable") ? "apiCallError" : "internalError" });
        logger.warn({ err: error }, "a scan failed");
      }
      const tookMs = env.clock.monotonic() - startedMs;
      metrics.duration.observe(tookMs / 1000, { function: "main" });
      try {
        await env.timers.sleep(Math.max(0, options.scanIntervalMs - tookMs), signal);
      } catch (error) {
        if (!isAbort(error)) throw error;
      }
    }
    await this.#down.settle();
  }

  async scan(signal: AbortSignal): Promise<void> {
    const { env, listers, options, provider } = this.#parts;
    const nodes = listers.nodes.list();
    const all = await this.#observe(provider, nodes);
    await this.#unmark(all);
    const nowMs = env.clock.now();
    this.#since = nextSince(all, this.#since, nowMs);
    const observed = all.map((facts): Observed => ({
      facts,
      state: groupState(facts, this.#since, options.maxNodeProvisionMs, nowMs),
    }));
    this.groups = all.length;
    const healthy = !isUnhealthy(
      observed.map(({ state }) => state),
      options,
    );
    this.#report(observed, healthy);
    for (const node of observed.flatMap(({ state }) => state.gone)) await deleteNode(this.#parts.client, node);
    if (healthy && !(await this.#up.mend(observed))) await this.#scale(observed, signal);
    await this.#writeStatus(observed, healthy);
  }

  /** Nobody takes nodes away while the provider does not answer: none stays marked for that. */
  async #observe(provider: CloudProvider, nodes: readonly Node[]): Promise<GroupFacts[]> {
    try {
      return await observeGroups(provider, nodes);
    } catch (error) {
      await this.#unmark([]);
      throw error;
    }
  }

  /** A leader that is new asks the api-server: its own cache may not have heard yet of what the one before has marked. */
  async #unmark(all: readonly GroupFacts[]): Promise<void> {
    const { client, listers } = this.#parts;
    if (this.#clean) return this.#down.unmarkStrays(listers.nodes.list(), all, [TO_BE_DELETED]);
    const { items } = await client.list<Node>(NODES);
    await this.#down.unmarkStrays(items, all, [TO_BE_DELETED, DELETION_CANDIDATE]);
    this.#clean = true;
  }

  async #scale(observed: readonly Observed[], signal: AbortSignal): Promise<void> {
    const { env, listers, options, metrics } = this.#parts;
    const pods = unschedulablePods(listers.pods.list(), options, env.clock.now());
    metrics.unschedulable.set(pods.length, { type: "unschedulable" });
    const growing = await this.#up.run(pods, observed, daemonPods(listers.daemonSets.list()));
    signal.throwIfAborted();
    if (options.scaleDownEnabled) await this.#down.run(observed, !growing, this.#up.lastAddMs, signal);
  }

  #report(observed: readonly Observed[], healthy: boolean): void {
    const { metrics } = this.#parts;
    const total = (of: (state: Observed["state"]) => number): number =>
      observed.reduce((sum, { state }) => sum + of(state), 0);
    metrics.safe.set(healthy ? 1 : 0);
    metrics.groups.set(observed.length, { node_group_type: "autoscaled" });
    metrics.nodes.set(
      total((state) => state.ready.length),
      { state: "ready" },
    );
    metrics.nodes.set(
      total((state) => state.unready.length),
      { state: "unready" },
    );
    metrics.nodes.set(
      total((state) => state.starting.length),
      { state: "notStarted" },
    );
    metrics.nodes.set(
      total((state) => state.unregistered.length),
      { state: "unregistered" },
    );
    metrics.nodes.set(
      total((state) => state.longUnregistered.length),
      { state: "longUnregistered" },
    );
  }

  async #writeStatus(observed: readonly Observed[], healthy: boolean): Promise<void> {
    const nowMs = this.#parts.env.clock.now();
    const groups = observed.map(({ facts, state }) => ({
      facts,
      state,
      resting: this.#up.resting(facts.group.id),
      candidates: this.#down.candidatesOf(facts.group.id),
    }));
    await this.#status.write(statusDocument({ nowMs, healthy, groups }), nowMs);
  }
}
