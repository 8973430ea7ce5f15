// Commits in groups: transactions that arrive together go to etcd as nested transactions of one, in one revision. Each
// has its own conditions and succeeds or fails on its own. Where the group's outcome is unknown, so is every member's.
import { makeResourceVersion } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { CommitResult, Condition, StoredValue, Transaction } from "../contract.ts";
import { checkTransaction, groupSize, MAX_MUTATIONS, takeGroup } from "../transaction.ts";
import { type Connection, unreachable } from "./connection.ts";
import { decodeStored, type Keyspace } from "./encoding.ts";
import { encodeGroup, GROUP_TXN, type Held, type Placed, type TxnAnswer } from "./group-message.ts";

/** Two: one is being built and answered while etcd works on the other. */
const GROUPS_IN_FLIGHT = 2;
/** Where groups are off. */
const SINGLES_IN_FLIGHT = 256;

interface Member {
  readonly transaction: Transaction;
  readonly bytes: number;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: unknown) => void;
}

interface PlacedMember extends Placed {
  readonly member: Member;
}

function currentOf(conditions: readonly Condition[], { responses }: TxnAnswer): (StoredValue | undefined)[] {
  return conditions.map(({ key }, at) => {
    const held = responses[at] as Held | undefined;
    return held === undefined ? undefined : decodeStored(key, held.value, held.revision);
  });
}

function resultOf({ member, firstPlace }: PlacedMember, revision: bigint, answer: TxnAnswer): CommitResult {
  const { conditions, mutations } = member.transaction;
  if (!answer.succeeded) return { committed: false, current: currentOf(conditions, answer) };
  return { committed: true, rvs: mutations.map((_, at) => makeResourceVersion(revision, firstPlace + at)) };
}

/** Gives each mutation of a group its place. */
function placeMembers(members: readonly Member[]): PlacedMember[] {
  let place = 0;
  return members.map((member) => {
    const firstPlace = place;
    place += member.transaction.mutations.length;
    return { member, transaction: member.transaction, firstPlace };
  });
}

export class Committer {
  readonly #env: Env;
  readonly #connection: Connection;
  readonly #keyspace: Keyspace;
  readonly #maxMembers: number;
  readonly #maxInFlight: number;
  readonly #queue: Member[] = [];
  /** Keys that groups under way write: whoever touches one waits. */
  readonly #writing = new Set<string>();
  #inFlight = 0;
  /** Members of the groups under way. */
  #membersInFlight = 0;
  #scheduled = false;
  #closed = false;

  constructor(deps: { env: Env; connection: Connection; keyspace: Keyspace; grouping: boolean }) {
    this.#env = deps.env;
    this.#connection = deps.connection;
    this.#keyspace = deps.keyspace;
    this.#maxMembers = deps.grouping ? MAX_MUTATIONS : 1;
    this.#maxInFlight = deps.grouping ? GROUPS_IN_FLIGHT : SINGLES_IN_FLIGHT;
  }

  /** Conditions are `absent` or `at` only. */
  commit(transaction: Transaction): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      const member: Member = { transaction, bytes: checkTransaction(transaction), resolve, reject };
      if (this.#closed) {
        reject(unreachable(new Error("the storage is closed")));
      } else {
        this.#queue.push(member);
        this.#schedule();
      }
    });
  }

  close(): void {
    this.#closed = true;
    for (const member of this.#queue.splice(0)) member.reject(unreachable(new Error("the storage is closed")));
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#maxInFlight || this.#queue.length === 0) return;
    this.#scheduled = true;
    this.#env.timers.defer(() => {
      this.#scheduled = false;
      while (this.#inFlight < this.#maxInFlight) {
        const size = groupSize(this.#queue.length, this.#membersInFlight, this.#maxInFlight);
        const group = takeGroup(this.#queue, this.#writing, Math.min(size, this.#maxMembers));
        if (group.length === 0) return;
        void this.#sendGroup(group);
      }
    });
  }

  async #sendGroup(group: readonly Member[]): Promise<void> {
    const keys = group.flatMap(({ transaction }) => transaction.mutations.map(({ key }) => key));
    for (const key of keys) this.#writing.add(key);
    this.#inFlight++;
    this.#membersInFlight += group.length;
    await this.#send(group);
    this.#inFlight--;
    this.#membersInFlight -= group.length;
    for (const key of keys) this.#writing.delete(key);
    this.#schedule();
  }

  /** Settles every member; never rejects. */
  async #send(members: readonly Member[]): Promise<void> {
    const group = placeMembers(members);
    try {
      const answer = await this.#connection.write(GROUP_TXN, encodeGroup(this.#keyspace, group));
      for (const [at, placed] of group.entries()) {
        const own = group.length === 1 ? answer : (answer.responses[at] as TxnAnswer);
        placed.member.resolve(resultOf(placed, answer.revision, own));
      }
    } catch (error) {
      for (const { reject } of members) reject(error);
    }
  }
}
