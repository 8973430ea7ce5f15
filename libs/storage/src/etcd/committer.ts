// Commits in groups: transactions that arrive together go to etcd as nested transactions of one, in one revision. Each
// has its own conditions and succeeds or fails on its own. Where the group's outcome is unknown, so is every member's.
import { makeResourceVersion, revisionOf, placeOf } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { CommitResult, Condition, Mutation, StoredValue, Transaction } from "../contract.ts";
import { checkTransaction, MAX_MUTATIONS, takeGroup } from "../transaction.ts";
import { type Connection, unreachable } from "./connection.ts";
import { decodeStored, encodeRecord, encodeValue, type Keyspace } from "./encoding.ts";
import { type Compare, type RequestOp, type ResponseOp, TXN, type TxnRequest, type TxnResponse } from "./rpc.ts";

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

interface Placed {
  readonly member: Member;
  readonly firstPlace: number;
}

function compareOf(keyspace: Keyspace, condition: Condition): Compare {
  const key = keyspace.encode(condition.key);
  if (condition.is === "absent") return { result: "Equal", target: "Create", key, create_revision: "0" };
  if (condition.is === "equal") throw new Error("an equal condition reaches the committer unresolved");
  // A key is mutated at most once a revision, so its revision alone identifies a version. Places above the largest
  // that a commit gives belong to lists: nothing is ever at one. -1 never equals a revision.
  const possible = condition.rv >= 1024n && placeOf(condition.rv) < MAX_MUTATIONS;
  return { result: "Equal", target: "Mod", key, mod_revision: possible ? String(revisionOf(condition.rv)) : "-1" };
}

function opOf(keyspace: Keyspace, mutation: Mutation, place: number): RequestOp {
  const key = keyspace.encode(mutation.key);
  return mutation.op === "put"
    ? { request_put: { key, value: encodeValue(place, mutation.value) } }
    : { request_delete_range: { key } };
}

function txnOf(keyspace: Keyspace, { member, firstPlace }: Placed): TxnRequest {
  const { conditions, mutations } = member.transaction;
  return {
    compare: conditions.map((condition) => compareOf(keyspace, condition)),
    success: mutations.map((mutation, at) => opOf(keyspace, mutation, firstPlace + at)),
    failure: conditions.map(({ key }) => ({ request_range: { key: keyspace.encode(key) } })),
  };
}

/** The outer transaction. A group of one is sent as it is; a record goes in front where deletes need their places. */
export function planGroup(keyspace: Keyspace, group: readonly Placed[]): TxnRequest {
  const deletes = group.flatMap(({ member, firstPlace }) =>
    member.transaction.mutations.flatMap(({ op, key }, at) =>
      op === "delete" ? [{ key, place: firstPlace + at }] : [],
    ),
  );
  const alone = deletes.length === 1 && deletes[0]!.place === 0;
  const record: RequestOp[] =
    deletes.length === 0 || alone
      ? []
      : [{ request_put: { key: keyspace.commitRecord, value: encodeRecord(deletes) } }];
  if (group.length === 1) {
    const txn = txnOf(keyspace, group[0]!);
    return { ...txn, success: [...txn.success, ...record] };
  }
  const nested = group.map((placed): RequestOp => ({ request_txn: txnOf(keyspace, placed) }));
  return { compare: [], success: [...nested, ...record], failure: [] };
}

function currentOf(conditions: readonly Condition[], responses: readonly ResponseOp[]): (StoredValue | undefined)[] {
  return conditions.map(({ key }, at) => {
    const kv = responses[at]?.response_range?.kvs[0];
    return kv === undefined ? undefined : decodeStored(key, kv);
  });
}

function resultOf({ member, firstPlace }: Placed, revision: bigint, answer: TxnResponse): CommitResult {
  const { conditions, mutations } = member.transaction;
  if (!answer.succeeded) return { committed: false, current: currentOf(conditions, answer.responses) };
  return { committed: true, rvs: mutations.map((_, at) => makeResourceVersion(revision, firstPlace + at)) };
}

/** Gives each mutation of a group its place. */
function placeMembers(members: readonly Member[]): Placed[] {
  let place = 0;
  return members.map((member) => {
    const firstPlace = place;
    place += member.transaction.mutations.length;
    return { member, firstPlace };
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
        const group = takeGroup(this.#queue, this.#writing, this.#maxMembers);
        if (group.length === 0) return;
        void this.#sendGroup(group);
      }
    });
  }

  async #sendGroup(group: readonly Member[]): Promise<void> {
    const keys = group.flatMap(({ transaction }) => transaction.mutations.map(({ key }) => key));
    for (const key of keys) this.#writing.add(key);
    this.#inFlight++;
    await this.#send(group);
    this.#inFlight--;
    for (const key of keys) this.#writing.delete(key);
    this.#schedule();
  }

  /** Settles every member; never rejects. */
  async #send(members: readonly Member[]): Promise<void> {
    const group = placeMembers(members);
    try {
      const answer = await this.#connection.write(TXN, planGroup(this.#keyspace, group));
      const revision = BigInt(answer.header.revision);
      for (const [at, placed] of group.entries()) {
        const own = group.length === 1 ? answer : answer.responses[at]!.response_txn!;
        placed.member.resolve(resultOf(placed, revision, own));
      }
    } catch (error) {
      for (const { reject } of members) reject(error);
    }
  }
}
