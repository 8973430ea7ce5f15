// EventBus: fire-and-forget messages on dotted subjects. A hint, never the truth: messages may be lost, and a
// subscriber that must not miss anything verifies by the change feed's chain (change-feed.ts).
// Guarantees: messages of one publisher on one connection arrive in order, or not at all; never twice.

export interface BusMessage {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Buffer;
}

export interface BusSubscription {
  unsubscribe(): void;
}

export interface EventBus {
  /** Queues a message; drops it while disconnected. */
  publish(subject: string, headers: Readonly<Record<string, string>>, data: Buffer): void;
  /** `pattern` as in NATS: `*` matches one token, a final `>` one or more. */
  subscribe(pattern: string, onMessage: (message: BusMessage) => void): BusSubscription;
  readonly connected: boolean;
  /** Called on each change of `connected`; returns the way to stop. */
  onConnection(listener: (connected: boolean) => void): () => void;
  /** Resolves when the server has taken all that was published and subscribed so far. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
