// Lease-held elections in memory: first come, first elected; a leader that does not renew in time is replaced.
import type { Env, TimerHandle } from "@coxswain/env";

export interface Contender {
  readonly id: string;
  /** False while its client cannot reach the store: it is passed over. */
  reachable(): boolean;
  elected(term: bigint): void;
}

interface Leader {
  readonly contender: Contender;
  readonly ttlMs: number;
  readonly term: bigint;
  expiry: TimerHandle;
}

interface Election {
  leader: Leader | undefined;
  readonly waiting: { readonly contender: Contender; readonly ttlMs: number }[];
}

export class Elections {
  readonly #env: Pick<Env, "timers">;
  readonly #elections = new Map<string, Election>();
  #term = 0n;

  constructor(env: Pick<Env, "timers">) {
    this.#env = env;
  }

  #of(name: string): Election {
    let election = this.#elections.get(name);
    if (election === undefined) this.#elections.set(name, (election = { leader: undefined, waiting: [] }));
    return election;
  }

  join(name: string, contender: Contender, ttlMs: number): void {
    this.#of(name).waiting.push({ contender, ttlMs });
    this.#elect(name);
  }

  /** Ends a candidacy or a leadership. */
  leave(name: string, contender: Contender): void {
    const election = this.#of(name);
    const at = election.waiting.findIndex((waiting) => waiting.contender === contender);
    if (at >= 0) election.waiting.splice(at, 1);
    if (election.leader?.contender === contender) this.#depose(name, election.leader);
  }

  /** True where `contender` leads, for another time to live from now. */
  renew(name: string, contender: Contender): boolean {
    const leader = this.#of(name).leader;
    if (leader?.contender !== contender) return false;
    this.#env.timers.clear(leader.expiry);
    leader.expiry = this.#expiry(name, leader.ttlMs);
    return true;
  }

  /** To be called when clients may have become reachable. */
  electAll(): void {
    for (const name of this.#elections.keys()) this.#elect(name);
  }

  #expiry(name: string, ttlMs: number): TimerHandle {
    return this.#env.timers.setTimeout(() => {
      const leader = this.#of(name).leader;
      if (leader !== undefined) this.#depose(name, leader);
    }, ttlMs);
  }

  #depose(name: string, leader: Leader): void {
    this.#env.timers.clear(leader.expiry);
    this.#of(name).leader = undefined;
    this.#elect(name);
  }

  #elect(name: string): void {
    const election = this.#of(name);
    if (election.leader !== undefined) return;
    const at = election.waiting.findIndex(({ contender }) => contender.reachable());
    if (at < 0) return;
    const [next] = election.waiting.splice(at, 1);
    const term = ++this.#term;
    election.leader = { ...next!, term, expiry: this.#expiry(name, next!.ttlMs) };
    next!.contender.elected(term);
  }
}
