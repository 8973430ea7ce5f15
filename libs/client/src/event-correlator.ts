// What becomes of a reported event, by the rules of client-go's recorder; knows nothing of the network. Guarantees:
// - The same event again is the first one with a higher count, which counts also what was not let through.
// - More than 10 similar events (other messages) within 10 minutes become one combined event.
// - A source may say at most 25 things at once about an object, then one in 5 minutes.
// - It remembers a bounded number of events, those used last.
import type { Event } from "@coxswain/api";
import { RecentMap } from "@coxswain/apimachinery";

export const MAX_REMEMBERED = 4_096;
const SIMILAR_LIMIT = 10;
const SIMILAR_WINDOW_MS = 600_000;
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;

/** An event to write, under the key that all of its repetitions share. */
export interface Correlated {
  readonly event: Event;
  readonly key: string;
}

interface Observed {
  readonly name: string | undefined;
  readonly firstTimestamp: string | undefined;
  count: number;
}

/** Decides which events are one, and which are too many. */
export class EventCorrelator {
  readonly #similar = new RecentMap<string, { messages: Set<string>; lastMs: number }>(MAX_REMEMBERED);
  readonly #buckets = new RecentMap<string, { tokens: number; atMs: number }>(MAX_REMEMBERED);
  readonly #observed = new RecentMap<string, Observed>(MAX_REMEMBERED);

  /** Undefined where it is spam. The event may be combined with others, and has the first one's name and time. */
  correlate(event: Event, nowMs: number): Correlated | undefined {
    const { involvedObject: about, source, type, reason } = event;
    const subject = JSON.stringify([
      source?.component,
      source?.host,
      about.kind,
      about.namespace,
      about.name,
      about.uid,
      about.apiVersion,
    ]);
    const group = `combined\n${subject}\n${type}\n${reason}\n${event.reportingComponent}`;
    const combined = this.#isOneOfMany(group, event.message ?? "", nowMs);
    const message = combined ? `(combined from similar events): ${event.message}` : event.message;
    const key = combined ? group : `${subject}\n${about.fieldPath ?? ""}\n${type}\n${reason}\n${event.message}`;
    const counted = this.#observe(combined ? { ...event, message } : event, key);
    return this.#allow(subject, nowMs) ? { event: counted, key } : undefined;
  }

  #isOneOfMany(group: string, message: string, nowMs: number): boolean {
    let similar = this.#similar.get(group);
    if (similar === undefined || nowMs - similar.lastMs > SIMILAR_WINDOW_MS) {
      similar = { messages: new Set(), lastMs: nowMs };
      this.#similar.set(group, similar);
    }
    similar.lastMs = nowMs;
    similar.messages.add(message);
    if (similar.messages.size < SIMILAR_LIMIT) return false;
    // The set must stay bounded: dropping one keeps it at the limit.
    const [oldest] = similar.messages;
    similar.messages.delete(oldest ?? "");
    similar.messages.add(message);
    return true;
  }

  #observe(event: Event, key: string): Event {
    const first = this.#observed.get(key);
    if (first === undefined) {
      const { name } = event.metadata;
      this.#observed.set(key, { name, firstTimestamp: event.firstTimestamp, count: 1 });
      return event;
    }
    first.count++;
    const { name, firstTimestamp, count } = first;
    return {
      ...event,
      metadata: { ...event.metadata, ...(name === undefined ? {} : { name }) },
      ...(firstTimestamp === undefined ? {} : { firstTimestamp }),
      count,
    };
  }

  #allow(source: string, nowMs: number): boolean {
    let bucket = this.#buckets.get(source);
    if (bucket === undefined) this.#buckets.set(source, (bucket = { tokens: SPAM_BURST, atMs: nowMs }));
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + (nowMs - bucket.atMs) / SPAM_REFILL_MS);
    bucket.atMs = nowMs;
    const allowed = bucket.tokens >= 1;
    if (allowed) bucket.tokens--;
    return allowed;
  }
}
