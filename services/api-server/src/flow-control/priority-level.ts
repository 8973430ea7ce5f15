// One priority level at work: its queues, the hands that its flows were dealt, and what it wanted of late.
import type { PriorityLevelConfiguration } from "@coxswain/api";
import { DemandMeter } from "./demand-meter.ts";
import type { FlowRequest } from "./flow-request.ts";
import type { Demand, LevelLimits } from "./plan-limits.ts";
import { QueueSet, type Arrival, type Ticket } from "./queue-set.ts";
import { dealHand } from "./shuffle-sharding.ts";

/** A list takes as many at most. */
const MAX_SEATS = 10;
/** And no more than this part of its level. */
const MAX_PART = 0.15;
const MAX_HANDS = 8_192;
const NO_HAND: readonly number[] = [];

interface Shape {
  readonly exempt: boolean;
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

function shapeOf({ spec }: PriorityLevelConfiguration): Shape {
  const queuing = spec?.limited?.limitResponse?.queuing;
  return {
    exempt: spec?.type === "Exempt",
    queues: queuing?.queues ?? 0,
    handSize: queuing?.handSize ?? 0,
    queueLengthLimit: queuing?.queueLengthLimit ?? 0,
  };
}

export class PriorityLevel {
  readonly name: string;
  readonly exempt: boolean;
  readonly #shape: Shape;
  readonly #set: QueueSet;
  readonly #meter: DemandMeter;
  readonly #hands = new Map<string, readonly number[]>();
  readonly counts = { dispatched: 0, rejected: 0, timedOut: 0, cancelled: 0 };
  uid = "";
  limits: LevelLimits;
  /** The demand that is reckoned with. */
  smooth = 0;

  constructor(config: PriorityLevelConfiguration, limits: LevelLimits, nowMs: number) {
    this.name = config.metadata?.name ?? "";
    this.limits = limits;
    this.#shape = shapeOf(config);
    this.exempt = this.#shape.exempt;
    this.#meter = new DemandMeter(nowMs);
    const { queues, queueLengthLimit, exempt } = this.#shape;
    const options = { queues, queueLengthLimit, exempt, limit: Math.max(1, limits.nominal) };
    this.#set = new QueueSet(options, nowMs, (ticket) => {
      this.counts.dispatched++;
      (ticket.request as FlowRequest).let();
    });
  }

  /** True where the configuration asks for queues as they are. */
  takes(config: PriorityLevelConfiguration): boolean {
    const wanted = shapeOf(config);
    const keys = ["exempt", "queues", "handSize", "queueLengthLimit"] as const;
    return keys.every((key) => wanted[key] === this.#shape[key]);
  }

  configure(config: PriorityLevelConfiguration, limits: LevelLimits, nowMs: number): void {
    this.uid = config.metadata?.uid ?? "";
    if (limits.nominal !== this.limits.nominal) this.#set.setLimit(nowMs, Math.max(1, limits.nominal));
    this.limits = limits;
  }

  get queues(): QueueSet {
    return this.#set;
  }

  get maxWidth(): number {
    return Math.max(1, Math.min(MAX_SEATS, Math.ceil(this.limits.nominal * MAX_PART)));
  }

  arrive(nowMs: number, request: FlowRequest, width: number): Arrival {
    const arrival = this.#set.arrive(nowMs, this.#handOf(request), width, request);
    if (arrival.refused !== undefined) this.counts.rejected++;
    else if (arrival.ticket.state === "executing") this.counts.dispatched++;
    this.#measure(nowMs);
    return arrival;
  }

  finish(nowMs: number, ticket: Ticket): void {
    this.#set.finish(nowMs, ticket);
    this.#measure(nowMs);
  }

  /** Says whether it was still waiting. */
  cancel(nowMs: number, ticket: Ticket): boolean {
    const waited = this.#set.cancel(nowMs, ticket);
    this.#measure(nowMs);
    return waited;
  }

  /** Counts one that did not wait until its turn. */
  left(reason: string): void {
    if (reason === "cancelled") this.counts.cancelled++;
    else this.counts.timedOut++;
  }

  setLimit(nowMs: number, limit: number): void {
    if (limit !== this.#set.limit) this.#set.setLimit(nowMs, limit);
  }

  demand(nowMs: number): Demand {
    return this.#meter.take(nowMs);
  }

  #measure(nowMs: number): void {
    this.#meter.set(nowMs, this.#set.seatsInUse + this.#set.waitingSeats);
  }

  #handOf({ schema, distinguisher }: FlowRequest): readonly number[] {
    const { queues, handSize } = this.#shape;
    if (queues === 0) return NO_HAND;
    const flow = `${schema}\0${distinguisher}`;
    let hand = this.#hands.get(flow);
    if (hand === undefined) {
      hand = dealHand(schema, distinguisher, queues, handSize);
      if (this.#hands.size >= MAX_HANDS) this.#hands.clear();
      this.#hands.set(flow, hand);
    }
    return hand;
  }
}
