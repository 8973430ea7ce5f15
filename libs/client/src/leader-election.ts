// Leader election by a Lease. Guarantees:
// - Who holds the Lease is judged by how long it has not changed on the local monotonic clock, never by the wall clock of
//   another machine.
// - Leadership is given up before others may take over: when it was not renewed within the renew deadline, also where this
//   process itself stood still (a stopped process wakes as a leader of the past, and must not say that it leads).
// - Each takeover raises leaseTransitions: with the holder it is the fence that the leader's writes carry.
import { isReason, type KubeObject } from "@coxswain/apimachinery";
import { LEASES, type Lease } from "@coxswain/api";
import type { Logger } from "@coxswain/component-base";
import { AbortError, isAbort, type Env } from "@coxswain/env";
import type { Fence, ResourceClient } from "./resource-client.ts";
import type { EventRecorder, LeaderElectionOptions, LeaderElector } from "./runtime-contract.ts";

export interface LeaderElectorDeps {
  readonly env: Env;
  readonly client: ResourceClient;
  readonly logger: Logger;
  readonly recorder?: EventRecorder;
}

interface Settings {
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

/** When a write was sent, by both clocks. */
interface SentAt {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

const JITTER = 1.2;
/** Of the renew deadline: how long one attempt to renew is waited for, so that there is time for another. */
const ATTEMPT_PART = 0.5;

/** MicroTime of metav1: six places after the second. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace("Z", "000Z");

/** What a Lease says, without the times that a renewal changes. */
export interface ObservedLease {
  readonly lease: Lease;
  /** The local monotonic time when this version was first seen. */
  readonly seenAtMs: number;
}

export type LeasePlan =
  | { readonly do: "create" | "renew" | "take over"; readonly spec: NonNullable<Lease["spec"]> }
  | { readonly do: "wait" };

/** Decides what `identity` may do about the lease as it was observed. */
export function planLease(
  observed: ObservedLease | undefined,
  identity: string,
  leaseDurationMs: number,
  now: { wallMs: number; monotonicMs: number },
): LeasePlan {
  const time = microTime(now.wallMs);
  const mine = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000), renewTime: time };
  const spec = observed?.lease.spec;
  if (observed === undefined) return { do: "create", spec: { ...mine, acquireTime: time, leaseTransitions: 0 } };
  const holder = spec?.holderIdentity ?? "";
  const transitions = spec?.leaseTransitions ?? 0;
  if (holder === identity) {
    return {
      do: "renew",
      spec: { ...spec, ...mine, acquireTime: spec?.acquireTime ?? time, leaseTransitions: transitions },
    };
  }
  // Each holder names its own term; the longer of both is safe.
  const termMs = Math.max(leaseDurationMs, (spec?.leaseDurationSeconds ?? 0) * 1000);
  if (holder !== "" && observed.seenAtMs + termMs > now.monotonicMs) return { do: "wait" };
  return { do: "take over", spec: { ...spec, ...mine, acquireTime: time, leaseTransitions: transitions + 1 } };
}

class LeaseElector implements LeaderElector {
  readonly #options: LeaderElectionOptions;
  readonly #settings: Settings;
  readonly #deps: LeaderElectorDeps;
  #observed: ObservedLease | undefined;
  /** The proof of the present leadership; set from the acquisition to the loss. */
  #fence: Fence | undefined;
  /** When the write that acquired or renewed last was sent: monotonic, and by the wall clock. */
  #renewed: SentAt = { monotonicMs: 0, wallMs: 0 };
  #reported = "";
  /** Numbers the attempts: the answer to one that was given up must not make a leader. */
  #attempt = 0;

  constructor(options: LeaderElectionOptions, deps: LeaderElectorDeps) {
    this.#options = options;
    this.#deps = deps;
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
    if (leaseDurationMs <= renewDeadlineMs) throw new Error("leaseDuration must be greater than renewDeadline");
    if (renewDeadlineMs <= JITTER * retryPeriodMs) {
      throw new Error("renewDeadline must be greater than retryPeriod*JitterFactor");
    }
    this.#settings = { leaseDurationMs, renewDeadlineMs, retryPeriodMs };
  }

  isLeader(): boolean {
    return this.fence() !== undefined;
  }

  leader(): string {
    return this.#observed?.lease.spec?.holderIdentity ?? "";
  }

  fence(): Fence | undefined {
    // Checked at each use: after a standstill no timer has run yet, and the wall clock moved even where the monotonic
    // one stood still (a suspended machine).
    return this.#fence !== undefined && this.#heldForMs() < this.#settings.renewDeadlineMs ? this.#fence : undefined;
  }

  async run(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        await this.#acquire(signal);
        await this.#leadOnce(lead, signal);
      }
    } catch (error) {
      if (!(signal.aborted && isAbort(error))) throw error;
    }
  }

  #heldForMs(): number {
    const { clock } = this.#deps.env;
    return Math.max(clock.monotonic() - this.#renewed.monotonicMs, clock.now() - this.#renewed.wallMs);
  }

  async #acquire(signal: AbortSignal): Promise<void> {
    const { env } = this.#deps;
    while (!(await this.#tryLease(signal))) {
      // What came too late to lead by it must not stand in the way of the next try.
      this.#fence = undefined;
      await env.timers.sleep(this.#settings.retryPeriodMs * (1 + (JITTER - 1) * env.random.float()), signal);
    }
  }

  async #leadOnce(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const { logger } = this.#deps;
    if (signal.aborted) {
      await this.#release(signal);
      return;
    }
    const lost = new AbortController();
    const onAbort = (): void => lost.abort(new AbortError("stopping"));
    signal.addEventListener("abort", onAbort, { once: true });
    this.#announce();
    const leading = this.#whileLeading(lead, lost);
    try {
      await this.#renewUntilLost(lost.signal);
      if (!signal.aborted) logger.warn({ lease: this.#name() }, "leadership lost");
    } finally {
      this.#attempt++;
      if (!signal.aborted) this.#fence = undefined;
      lost.abort(new AbortError("leadership lost"));
      signal.removeEventListener("abort", onAbort);
      // The last writes of a leader that stops in good order still carry its fence; then it lets go.
      try {
        await leading;
      } finally {
        await this.#release(signal);
      }
    }
  }

  async #whileLeading(lead: (signal: AbortSignal) => Promise<void>, lost: AbortController): Promise<void> {
    try {
      await lead(lost.signal);
    } catch (error) {
      if (!(lost.signal.aborted && isAbort(error))) throw error;
    } finally {
      lost.abort(new AbortError("no longer leading"));
    }
  }

  async #renewUntilLost(signal: AbortSignal): Promise<void> {
    const { env } = this.#deps;
    while (!signal.aborted) {
      const untilDeadline = this.#settings.renewDeadlineMs - this.#heldForMs();
      const pause = Math.min(this.#settings.retryPeriodMs, Math.max(1, untilDeadline));
      try {
        await env.timers.sleep(pause, signal);
      } catch (error) {
        if (isAbort(error)) return;
        throw error;
      }
      if (this.fence() === undefined) return;
      await this.#renewOnce(signal);
      if (this.fence() === undefined) return;
    }
  }

  /** Tries to renew; gives up waiting for the answer when the deadline passes, or after half of its time. */
  async #renewOnce(signal: AbortSignal): Promise<void> {
    const { timers } = this.#deps.env;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    const { renewDeadlineMs } = this.#settings;
    const deadline = timers
      .sleep(Math.min(renewDeadlineMs * ATTEMPT_PART, renewDeadlineMs - this.#heldForMs()), stop.signal)
      .catch((error: unknown) => {
        if (!isAbort(error)) throw error;
      });
    await Promise.race([this.#tryLease(signal), deadline]);
    stop.abort();
    signal.removeEventListener("abort", onAbort);
  }

  /** One attempt to hold the lease; true where it is held now. Failures are logged: the caller tries again. */
  async #tryLease(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#deps.env;
    const sent = { monotonicMs: clock.monotonic(), wallMs: clock.now() };
    try {
      return (await this.#hold(sent, signal)) && this.fence() !== undefined;
    } catch (error) {
      if (signal.aborted) return false;
      this.#deps.logger.warn({ lease: this.#name(), err: error }, "leader election attempt failed");
      return false;
    }
  }

  async #hold(sent: SentAt, signal: AbortSignal): Promise<boolean> {
    const attempt = ++this.#attempt;
    if (this.fence() !== undefined) {
      // A leader knows the Lease as it wrote it last. Where somebody else has written it since, this is refused.
      try {
        return await this.#write(attempt, sent, signal);
      } catch (error) {
        this.#deps.logger.debug(
          { lease: this.#name(), err: error },
          "could not renew the lease as it was last, reading it",
        );
      }
    }
    if (attempt !== this.#attempt) return false;
    await this.#observe();
    return await this.#write(attempt, sent, signal);
  }

  /** Creates, renews or takes over the Lease as it was observed last; false where that may not be. */
  async #write(attempt: number, sent: SentAt, signal: AbortSignal): Promise<boolean> {
    const { client, env } = this.#deps;
    const { namespace, name, identity } = this.#options;
    if (attempt !== this.#attempt) return false;
    const now = { wallMs: env.clock.now(), monotonicMs: env.clock.monotonic() };
    const plan = planLease(this.#observed, identity, this.#settings.leaseDurationMs, now);
    if (plan.do !== "renew") this.#fence = undefined;
    if (plan.do === "wait" || signal.aborted) return false;
    // A fence that has run out must not come back by a late renewal: the world may have moved on. Taking part anew does.
    if (plan.do === "renew" && this.#fence !== undefined && this.fence() === undefined) return false;
    const lease: Lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: this.#observed?.lease.metadata ?? { namespace, name },
      spec: plan.spec,
    };
    const stored =
      plan.do === "create"
        ? await client.create<Lease>(LEASES, lease, { namespace })
        : await client.update<Lease>(LEASES, lease);
    this.#see(stored);
    if (attempt !== this.#attempt) return false;
    this.#renewed = sent;
    const transitions = stored.spec?.leaseTransitions ?? 0;
    this.#fence = { lease: this.#name(), holder: identity, transitions };
    return true;
  }

  async #observe(): Promise<void> {
    const { client } = this.#deps;
    const { namespace, name } = this.#options;
    try {
      this.#see(await client.get<Lease>(LEASES, { namespace, name }));
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
      this.#observed = undefined;
    }
  }

  #see(lease: Lease): void {
    const known = this.#observed?.lease.metadata;
    const changed = known?.resourceVersion !== lease.metadata?.resourceVersion || known?.uid !== lease.metadata?.uid;
    if (changed || this.#observed === undefined) {
      this.#observed = { lease, seenAtMs: this.#deps.env.clock.monotonic() };
    }
    const holder = this.leader();
    if (holder === this.#reported) return;
    this.#reported = holder;
    this.#deps.logger.info({ lease: this.#name(), holder }, "new leader observed");
  }

  /** Lets go of the lease, so that another may lead at once. */
  async #release(signal: AbortSignal): Promise<void> {
    const fence = this.fence();
    const lease = this.#observed?.lease;
    if (!signal.aborted || fence === undefined || lease === undefined) return;
    const time = microTime(this.#deps.env.clock.now());
    const spec = {
      leaseDurationSeconds: 1,
      renewTime: time,
      acquireTime: time,
      holderIdentity: "",
      leaseTransitions: fence.transitions,
    };
    this.#fence = undefined;
    try {
      this.#see(await this.#deps.client.update<Lease>(LEASES, { ...lease, spec }));
    } catch (error) {
      this.#deps.logger.warn({ lease: fence.lease, err: error }, "could not release the lease; it will run out");
    }
  }

  #announce(): void {
    const lease = this.#observed?.lease;
    const { identity } = this.#options;
    this.#deps.logger.info({ lease: this.#name(), identity }, "became leader");
    if (lease === undefined) return;
    const about: KubeObject = { ...lease, apiVersion: "coordination.k8s.io/v1", kind: "Lease" };
    this.#deps.recorder?.event(about, "Normal", "LeaderElection", `${identity} became leader`);
  }

  #name(): string {
    return `${this.#options.namespace}/${this.#options.name}`;
  }
}

/** An elector that does not campaign yet. Throws where the times do not fit together, as upstream's does. */
export function createLeaderElector(options: LeaderElectionOptions, deps: LeaderElectorDeps): LeaderElector {
  return new LeaseElector(options, deps);
}
