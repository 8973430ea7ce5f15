// The event bus in memory: a hub that several clients share, as processes share one NATS server. Deterministic: messages
// arrive one tick after they were published, in the order of publishing. Failpoint: bus.publish (an error loses the
// message, a delay is not meant here).
import { FailpointError, type Env } from "@coxswain/env";
import type { BusMessage, EventBus } from "../contract.ts";
import { isSubject, subjectMatches } from "../subject.ts";

interface Subscription {
  readonly pattern: string;
  readonly onMessage: (message: BusMessage) => void;
}

interface LossRule {
  readonly pattern: string;
  readonly client: string | undefined;
  left: number;
}

/** A client's end, with a cable that can be pulled. */
export interface MemoryBus extends EventBus {
  readonly name: string;
  disconnect(): void;
  reconnect(): void;
}

export class MemoryBusHub {
  readonly #env: Env;
  readonly #clients = new Set<MemoryClient>();
  #losses: LossRule[] = [];
  #connected = true;
  #queue: BusMessage[] = [];
  #scheduled = false;
  #lost = 0;

  constructor(options: { env: Env }) {
    this.#env = options.env;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Deliveries that loss rules have taken so far. */
  get lost(): number {
    return this.#lost;
  }

  /** A client; `name` is what loss rules call it. */
  client(name: string): MemoryBus {
    const client = new MemoryClient(this, name);
    this.#clients.add(client);
    return client;
  }

  /** The server dies: all that is under way is lost, and all that is published until `reconnect`. */
  disconnect(): void {
    this.#connected = false;
    this.#queue = [];
    for (const client of this.#clients) client.changed();
  }

  reconnect(): void {
    this.#connected = true;
    for (const client of this.#clients) client.changed();
  }

  /** Loses the next `count` deliveries of subjects that match, to the client of that name, or to each in turn. */
  loseNext(count: number, pattern: string, client?: string): void {
    this.#losses.push({ pattern, client, left: count });
  }

  publish(message: BusMessage): void {
    this.#queue.push(message);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#env.timers.defer(() => this.#deliver());
  }

  /** Calls `done` after all that was published so far has been delivered. */
  afterDelivery(done: () => void): void {
    this.#env.timers.defer(done);
  }

  remove(client: MemoryClient): void {
    this.#clients.delete(client);
  }

  faulty(): boolean {
    return this.#env.failpoints.armed("bus.publish");
  }

  hit(): Promise<void> {
    return this.#env.failpoints.hit("bus.publish");
  }

  #deliver(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    for (const message of queue) {
      for (const client of this.#clients.values().toArray()) {
        if (client.hears(message.subject) && !this.#loses(client.name, message.subject)) client.receive(message);
      }
    }
  }

  #loses(client: string, subject: string): boolean {
    const rule = this.#losses.find(
      (rule) => (rule.client === undefined || rule.client === client) && subjectMatches(rule.pattern, subject),
    );
    if (rule === undefined) return false;
    this.#lost++;
    if (--rule.left <= 0) this.#losses = this.#losses.filter((other) => other !== rule);
    return true;
  }
}

/** A client of `hub`, or of a hub of its own. */
export function createMemoryBus(options: { env: Env; hub?: MemoryBusHub; name?: string }): MemoryBus {
  return (options.hub ?? new MemoryBusHub(options)).client(options.name ?? "client");
}

class MemoryClient implements MemoryBus {
  readonly name: string;
  readonly #hub: MemoryBusHub;
  readonly #subscriptions = new Set<Subscription>();
  readonly #listeners = new Set<(connected: boolean) => void>();
  #plugged = true;
  #closed = false;
  #told = true;

  constructor(hub: MemoryBusHub, name: string) {
    this.#hub = hub;
    this.name = name;
    this.#told = this.connected;
  }

  get connected(): boolean {
    return this.#plugged && !this.#closed && this.#hub.connected;
  }

  publish(subject: string, headers: Readonly<Record<string, string>>, data: Buffer): void {
    if (!isSubject(subject)) throw new Error(`${JSON.stringify(subject)} is not a subject to publish to`);
    if (!this.connected) return;
    const message: BusMessage = { subject, headers: { ...headers }, data: Buffer.from(data) };
    if (!this.#hub.faulty()) {
      this.#hub.publish(message);
      return;
    }
    this.#hub.hit().then(
      () => this.#hub.publish(message),
      (error: unknown) => {
        // A lost message is what the fault stands for.
        if (!(error instanceof FailpointError)) throw error;
      },
    );
  }

  subscribe(pattern: string, onMessage: (message: BusMessage) => void): { unsubscribe(): void } {
    const subscription: Subscription = { pattern, onMessage };
    this.#subscriptions.add(subscription);
    return { unsubscribe: () => void this.#subscriptions.delete(subscription) };
  }

  hears(subject: string): boolean {
    if (!this.connected) return false;
    for (const { pattern } of this.#subscriptions) if (subjectMatches(pattern, subject)) return true;
    return false;
  }

  receive(message: BusMessage): void {
    for (const subscription of this.#subscriptions.values().toArray()) {
      if (!this.#subscriptions.has(subscription) || !subjectMatches(subscription.pattern, message.subject)) continue;
      subscription.onMessage(message);
    }
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells the listeners where `connected` is no longer what they were told. */
  changed(): void {
    if (this.#told === this.connected) return;
    this.#told = this.connected;
    for (const listener of this.#listeners.values().toArray()) listener(this.#told);
  }

  disconnect(): void {
    this.#plugged = false;
    this.changed();
  }

  reconnect(): void {
    this.#plugged = true;
    this.changed();
  }

  flush(): Promise<void> {
    if (!this.connected) return Promise.reject(new Error("the event bus is not connected"));
    return new Promise((resolve) => this.#hub.afterDelivery(resolve));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#subscriptions.clear();
    this.#hub.remove(this);
    this.changed();
    await Promise.resolve();
  }
}
