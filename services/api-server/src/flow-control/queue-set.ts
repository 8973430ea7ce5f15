// The queues of one priority level: a pure machine, told the time with each call. Guarantees:
// - Seats in use never exceed the limit, but that one request too wide for it runs while nothing else does.
// - While somebody waits, whoever is next does not fit: no seat stays empty that could be taken.
// - Within a queue the first to come is the first to go; among queues the one whose next request would end first in virtual
//   time, so that flows get equal shares of seat-seconds however many requests they send (KEP-1040).
// - A request that is queued ends exactly once: executed and finished, cancelled, or refused at once.
import { PassingMap } from "@coxswain/apimachinery";

/** A dispatched request counts as long as this until it has finished, s. */
const GUESS_S = 60;

export interface QueueSetOptions {
  /** 0: nobody waits, who does not fit is refused. */
  readonly queues: number;
  readonly queueLengthLimit: number;
  /** Seats. */
  readonly limit: number;
  /** Nobody ever waits. */
  readonly exempt: boolean;
}

export type TicketState = "waiting" | "executing" | "over";

export interface Ticket {
  readonly id: number;
  readonly width: number;
  readonly arrivedMs: number;
  /** Of its queue; -1 where there is none. */
  readonly queue: number;
  /** What the caller remembers of it. */
  readonly request: unknown;
  state: TicketState;
  startedMs: number;
}

interface Waiting extends Ticket {
  readonly arrivalR: number;
}

interface Queue {
  readonly index: number;
  waiting: Waiting[];
  executing: number;
  seats: number;
  /** When, in virtual time, its next request would begin. */
  nextDispatchR: number;
}

export type Arrival =
  | { readonly ticket: Ticket; readonly refused?: undefined }
  | { readonly refused: "queue-full" | "concurrency-limit"; readonly ticket?: undefined };

export interface QueueView {
  readonly index: number;
  readonly waiting: readonly Ticket[];
  readonly executing: number;
  readonly seats: number;
  readonly nextDispatchR: number;
  readonly waitingSeats: number;
}

export class QueueSet {
  readonly #options: QueueSetOptions;
  readonly #queues: readonly Queue[];
  readonly #onDispatch: (ticket: Ticket) => void;
  readonly #executing = new PassingMap<number, Ticket>();
  #tickets = 0;
  #limit: number;
  #seats = 0;
  #waiting = 0;
  #waitingSeats = 0;
  #active = 0;
  #r = 0;
  #lastMs: number;
  /** Where the search for the next queue begins, so that equals take turns. */
  #turn = 0;

  /** `onDispatch` is told of tickets that had to wait and now execute. */
  constructor(options: QueueSetOptions, nowMs: number, onDispatch: (ticket: Ticket) => void) {
    this.#options = options;
    this.#limit = options.limit;
    this.#onDispatch = onDispatch;
    this.#lastMs = nowMs;
    this.#queues = Array.from({ length: options.queues }, (_, index) => ({
      index,
      waiting: [],
      executing: 0,
      seats: 0,
      nextDispatchR: 0,
    }));
  }

  get seatsInUse(): number {
    return this.#seats;
  }

  get limit(): number {
    return this.#limit;
  }

  get waitingCount(): number {
    return this.#waiting;
  }

  get waitingSeats(): number {
    return this.#waitingSeats;
  }

  get executingCount(): number {
    return this.#executing.size;
  }

  get executing(): Iterable<Ticket> {
    return this.#executing.values();
  }

  get activeQueues(): number {
    return this.#active;
  }

  queues(): QueueView[] {
    return this.#queues.map(({ index, waiting, executing, seats, nextDispatchR }) => {
      const waitingSeats = waiting.reduce((sum, { width }) => sum + width, 0);
      return { index, waiting, executing, seats, nextDispatchR, waitingSeats };
    });
  }

  /** `hand` are the queues that the flow may use. The ticket's state says whether it executes or waits. */
  arrive(nowMs: number, hand: readonly number[], width: number, request?: unknown): Arrival {
    this.#advance(nowMs);
    if (this.#options.exempt || this.#queues.length === 0) {
      if (!this.#options.exempt && !this.#fits(width)) return { refused: "concurrency-limit" };
      const id = this.#tickets++;
      const ticket: Ticket = { id, width, arrivedMs: nowMs, queue: -1, request, state: "executing", startedMs: nowMs };
      this.#seats += width;
      this.#executing.set(ticket.id, ticket);
      return { ticket };
    }
    const queue = this.#choose(hand);
    if (queue.waiting.length >= this.#options.queueLengthLimit) return { refused: "queue-full" };
    const ticket: Waiting = {
      id: this.#tickets++,
      width,
      arrivedMs: nowMs,
      arrivalR: this.#r,
      queue: queue.index,
      request,
      state: "waiting",
      startedMs: 0,
    };
    if (queue.executing === 0 && queue.waiting.length === 0) {
      this.#active++;
      queue.nextDispatchR = this.#r;
    }
    if (this.#waiting === 0 && this.#fits(width)) {
      this.#execute(queue, ticket, nowMs);
      return { ticket };
    }
    queue.waiting.push(ticket);
    this.#waiting++;
    this.#waitingSeats += width;
    this.#dispatch(nowMs, ticket);
    return { ticket };
  }

  /** An executing request has ended. */
  finish(nowMs: number, ticket: Ticket): void {
    if (ticket.state !== "executing") throw new Error(`a ticket that is ${ticket.state} cannot finish`);
    this.#advance(nowMs);
    ticket.state = "over";
    this.#executing.take(ticket.id);
    this.#seats -= ticket.width;
    const queue = this.#queues[ticket.queue];
    if (queue !== undefined) {
      queue.executing--;
      queue.seats -= ticket.width;
      queue.nextDispatchR -= ticket.width * (GUESS_S - (nowMs - ticket.startedMs) / 1000);
      this.#rest(queue);
    }
    this.#dispatch(nowMs);
  }

  /** A waiting request gives up; says whether it was waiting. */
  cancel(nowMs: number, ticket: Ticket): boolean {
    const queue = this.#queues[ticket.queue];
    if (ticket.state !== "waiting" || queue === undefined) return false;
    this.#advance(nowMs);
    ticket.state = "over";
    queue.waiting = queue.waiting.filter((each) => each !== ticket);
    this.#waiting--;
    this.#waitingSeats -= ticket.width;
    this.#rest(queue);
    this.#dispatch(nowMs);
    return true;
  }

  setLimit(nowMs: number, limit: number): void {
    this.#advance(nowMs);
    this.#limit = limit;
    this.#dispatch(nowMs);
  }

  #fits(width: number): boolean {
    return this.#seats === 0 || this.#seats + width <= this.#limit;
  }

  /** Virtual time goes as fast as each active queue would be served if all had equal shares. */
  #advance(nowMs: number): void {
    const elapsed = nowMs - this.#lastMs;
    if (elapsed <= 0) return;
    this.#lastMs = nowMs;
    if (this.#active === 0) return;
    this.#r += ((elapsed / 1000) * Math.min(this.#seats + this.#waitingSeats, this.#limit)) / this.#active;
  }

  /** The queue of the hand with the least to do. */
  #choose(hand: readonly number[]): Queue {
    let best = this.#queues[hand[0]!]!;
    let least = loadOf(best);
    for (let at = 1; at < hand.length && least > 0; at++) {
      const queue = this.#queues[hand[at]!]!;
      const load = loadOf(queue);
      if (load < least) [best, least] = [queue, load];
    }
    return best;
  }

  #rest(queue: Queue): void {
    if (queue.executing === 0 && queue.waiting.length === 0) this.#active--;
  }

  #dispatch(nowMs: number, arriving?: Ticket): void {
    while (this.#waiting > 0) {
      const queue = this.#next();
      const ticket = queue.waiting[0]!;
      if (!this.#fits(ticket.width)) return;
      queue.waiting.shift();
      this.#waiting--;
      this.#waitingSeats -= ticket.width;
      this.#turn = (queue.index + 1) % this.#queues.length;
      this.#execute(queue, ticket, nowMs);
      if (ticket !== arriving) this.#onDispatch(ticket);
    }
  }

  #next(): Queue {
    let best: Queue | undefined;
    let soonest = Number.POSITIVE_INFINITY;
    for (let step = 0; step < this.#queues.length; step++) {
      const queue = this.#queues[(this.#turn + step) % this.#queues.length]!;
      const head = queue.waiting[0];
      if (head === undefined) continue;
      const finish = Math.max(queue.nextDispatchR, head.arrivalR) + head.width * GUESS_S;
      if (finish < soonest) [best, soonest] = [queue, finish];
    }
    return best!;
  }

  #execute(queue: Queue, ticket: Waiting, nowMs: number): void {
    ticket.state = "executing";
    ticket.startedMs = nowMs;
    queue.nextDispatchR = Math.max(queue.nextDispatchR, ticket.arrivalR) + ticket.width * GUESS_S;
    queue.executing++;
    queue.seats += ticket.width;
    this.#seats += ticket.width;
    this.#executing.set(ticket.id, ticket);
  }
}

function loadOf(queue: Queue): number {
  let load = queue.seats;
  for (const { width } of queue.waiting) load += width;
  return load;
}
