// API Priority and Fairness: lets each request in at once, after a wait in its flow's queue, or not at all. Guarantees: who is
// let in holds seats until release(), which counts once; who waits is let in, or refused after a quarter of a request's time, or
// goes; a change of the configuration counts for the next request; a request that nobody contends with never waits for a turn
// of the loop.
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
import { MANDATORY_LEVELS, MANDATORY_SCHEMAS } from "@coxswain/api";
import type { FlowSchema, PriorityLevelConfiguration } from "@coxswain/api";
import type { Metrics } from "@coxswain/component-base";
import { AbortError, type Env } from "@coxswain/env";
import type { AuthorizationAttributes } from "../pipeline/contract.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import { SUGGESTED_PRIORITY_LEVELS, SUGGESTED_SCHEMAS } from "./bootstrap-objects.ts";
import { distinguisherOf, inOrder, schemaMatches } from "./classify.ts";
import type { FlowRequest } from "./flow-request.ts";
import { FLOW_SCHEMAS, PRIORITY_LEVELS } from "./resources.ts";
import { createFlowMetrics, type FlowMetrics } from "./flow-metrics.ts";
import { planCurrentLimits, planNominalLimits, smoothDemand } from "./plan-limits.ts";
import { PriorityLevel } from "./priority-level.ts";
import type { Ticket } from "./queue-set.ts";
import { TooBusyError } from "./too-busy.ts";

/** A quarter of the time that a request may take. */
const MAX_WAIT_MS = 15_000;
const ADJUST_EVERY_MS = 10_000;

export type RefusalReason = "queue-full" | "concurrency-limit" | "time-out" | "cancelled";

export interface Seat {
  readonly schemaUid: string;
  readonly levelUid: string;
  /** Counts once. */
  release(): void;
}

export interface FlowControlDeps {
  readonly env: Env;
  readonly metrics: Metrics;
  readonly source: ObjectSource;
  /** Seats of the whole server. */
  readonly serverLimit: number;
}

interface Classified {
  readonly schema: FlowSchema;
  readonly level: PriorityLevel;
}

export class FlowControl {
  readonly #deps: FlowControlDeps;
  readonly #metrics: FlowMetrics;
  #levels = new Map<string, PriorityLevel>();
  #schemas: readonly Classified[] = [];
  #dirty = true;

  constructor(deps: FlowControlDeps) {
    this.#deps = deps;
    this.#metrics = createFlowMetrics(deps.metrics);
    const mark = (): void => {
      this.#dirty = true;
    };
    deps.source.onChange(FLOW_SCHEMAS, mark);
    deps.source.onChange(PRIORITY_LEVELS, mark);
  }

  /** Moves seats to where they are wanted until `signal` aborts. */
  run(signal: AbortSignal): void {
    const { timers } = this.#deps.env;
    const timer = timers.setInterval(() => this.#adjust(), ADJUST_EVERY_MS);
    signal.addEventListener("abort", () => timers.clear(timer), { once: true });
  }

  /** Present levels, in order of their names. */
  levels(): PriorityLevel[] {
    this.#refresh();
    return [...this.#levels.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Brings gauges up to date: for whoever reads the metrics. */
  measure(): void {
    this.#metrics.measure(this.levels());
  }

  /**
   * A seat at once where there is one. `width` tells how many seats the request takes, of at most so many. The asker's signal
   * is looked at only where it has to wait. Rejects with TooBusyError, or AbortError where that aborts meanwhile.
   */
  admit(
    attributes: AuthorizationAttributes,
    width: (max: number) => number,
    asker: { readonly signal: AbortSignal },
  ): Seat | Promise<Seat> {
    this.#refresh();
    const nowMs = this.#deps.env.clock.monotonic();
    const { schema, level } = this.#classify(attributes);
    const name = schema.metadata?.name ?? "";
    const distinguisher = distinguisherOf(schema, attributes);
    let enter: (() => void) | undefined;
    const request: FlowRequest = { schema: name, distinguisher, attributes, let: () => enter?.() };
    const arrival = level.arrive(nowMs, request, level.exempt ? 1 : width(level.maxWidth));
    if (arrival.refused !== undefined) {
      this.#metrics.refused(name, level.name, arrival.refused);
      throw new TooBusyError();
    }
    const { ticket } = arrival;
    const seat = this.#seat(schema, level, ticket);
    if (ticket.state === "executing") {
      this.#metrics.dispatched(name, level.name, level.exempt ? undefined : 0);
      return seat;
    }
    const admitted = Promise.withResolvers<Seat>();
    enter = () => {
      this.#metrics.dispatched(name, level.name, (ticket.startedMs - ticket.arrivedMs) / 1000);
      admitted.resolve(seat);
    };
    return this.#waiting(admitted, level, ticket, name, asker.signal);
  }

  async #waiting(
    admitted: PromiseWithResolvers<Seat>,
    level: PriorityLevel,
    ticket: Ticket,
    schema: string,
    signal: AbortSignal,
  ): Promise<Seat> {
    const { clock, timers } = this.#deps.env;
    const leave = (reason: RefusalReason, error: Error): void => {
      if (!level.cancel(clock.monotonic(), ticket)) return;
      level.left(reason);
      this.#metrics.refused(schema, level.name, reason);
      admitted.reject(error);
    };
    const late = timers.setTimeout(() => leave("time-out", new TooBusyError()), MAX_WAIT_MS);
    const gone = (): void => leave("cancelled", new AbortError());
    if (signal.aborted) gone();
    else signal.addEventListener("abort", gone, { once: true });
    try {
      return await admitted.promise;
    } finally {
      timers.clear(late);
      signal.removeEventListener("abort", gone);
    }
  }

  #seat(schema: FlowSchema, level: PriorityLevel, ticket: Ticket): Seat {
    const { clock } = this.#deps.env;
    let held = true;
    return {
      schemaUid: schema.metadata?.uid ?? "",
      levelUid: level.uid,
      release: () => {
        if (!held) return;
        held = false;
        const nowMs = clock.monotonic();
        level.finish(nowMs, ticket);
        if (!level.exempt) {
          this.#metrics.executed(schema.metadata?.name ?? "", level.name, (nowMs - ticket.startedMs) / 1000);
        }
      },
    };
  }

  #classify(attributes: AuthorizationAttributes): Classified {
    for (const each of this.#schemas) if (schemaMatches(each.schema, attributes)) return each;
    // The last of them takes all who have a group, and everybody has one.
    return this.#schemas.at(-1)!;
  }

  #refresh(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    const { source, env, serverLimit } = this.#deps;
    const storedSchemas = present<FlowSchema>(source, FLOW_SCHEMAS);
    // Of all objects this one is stored last. Before that a cluster begins, and what will be there counts already.
    const beginning = !storedSchemas.some(({ metadata }) => metadata?.name === "catch-all");
    const expected = <T>(mandatory: readonly T[], suggested: readonly T[]): readonly T[] =>
      beginning ? [...suggested, ...mandatory] : mandatory;
    const levels = withExpected(
      present<PriorityLevelConfiguration>(source, PRIORITY_LEVELS),
      expected(MANDATORY_LEVELS, SUGGESTED_PRIORITY_LEVELS),
    );
    const limits = planNominalLimits(levels, serverLimit);
    const nowMs = env.clock.monotonic();
    const next = new Map<string, PriorityLevel>();
    for (const config of levels) {
      const name = config.metadata?.name ?? "";
      const known = this.#levels.get(name);
      const mine = limits.get(name)!;
      // One of another shape begins anew; those who wait in the old one still get their turn there.
      const kept = known?.takes(config) === true ? known : new PriorityLevel(config, mine, nowMs);
      kept.configure(config, mine, nowMs);
      next.set(name, kept);
    }
    this.#levels = next;
    const schemas = inOrder(withExpected(storedSchemas, expected(MANDATORY_SCHEMAS, SUGGESTED_SCHEMAS)));
    this.#schemas = schemas.flatMap((schema) => {
      const level = next.get(schema.spec?.priorityLevelConfiguration.name ?? "");
      return level === undefined ? [] : [{ schema, level }];
    });
  }

  #adjust(): void {
    const nowMs = this.#deps.env.clock.monotonic();
    const demands = this.levels().map((level) => {
      const demand = level.demand(nowMs);
      level.smooth = smoothDemand(level.smooth, demand);
      return { name: level.name, ...level.limits, high: demand.high, smooth: level.smooth };
    });
    const limits = planCurrentLimits(demands, this.#deps.serverLimit);
    for (const [name, limit] of limits) this.#levels.get(name)?.setLimit(nowMs, limit);
  }
}

function present<T>(source: ObjectSource, ref: typeof FLOW_SCHEMAS): T[] {
  return source.list(ref).map(({ object }) => object as T);
}

interface Named {
  readonly metadata?: { readonly name?: string };
}

/** Expected ones are there before anybody has stored them. */
function withExpected<T extends Named>(stored: readonly T[], expected: readonly T[]): T[] {
  const names = new Set(stored.map(({ metadata }) => metadata?.name));
  return [...stored, ...expected.filter(({ metadata }) => !names.has(metadata?.name))];
}
