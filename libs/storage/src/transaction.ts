// The limits that every store puts on a transaction, and the rule by which transactions may share a revision.
// Guarantee: members of a group behave as if they ran one after the other, although all their conditions are evaluated
// before the first of them writes: no member reads or writes a key that an earlier member writes.
import { StatusError } from "@coxswain/apimachinery";
import type { Transaction } from "./contract.ts";

/** Mutations in one transaction, and in one group. */
export const MAX_MUTATIONS = 127;
/** Bytes of keys and values in one transaction: etcd's request limit of 1.5 MiB less room for the framing. */
export const MAX_TRANSACTION_BYTES = 1_572_864 - 16_384;
/** Bytes in a group of several; a larger transaction goes alone. */
export const MAX_GROUP_BYTES = 1_048_576;

/** Bytes that a transaction's keys and values take on the wire, with an allowance for framing. */
export function transactionBytes(transaction: Transaction): number {
  let bytes = 0;
  for (const condition of transaction.conditions) {
    bytes += 2 * condition.key.length + 64 + (condition.is === "equal" ? condition.value.length : 0);
  }
  for (const mutation of transaction.mutations) {
    bytes += 2 * mutation.key.length + 32 + (mutation.op === "put" ? mutation.value.length : 0);
  }
  return bytes;
}

/**
 * Refuses what no store can commit.
 * @returns the transaction's bytes
 * @throws StatusError RequestEntityTooLarge over the limits; Error where a key is mutated twice or is not a user's key
 */
export function checkTransaction(transaction: Transaction): number {
  const { conditions, mutations } = transaction;
  if (mutations.length > MAX_MUTATIONS || conditions.length > MAX_MUTATIONS) {
    throw new StatusError(
      "RequestEntityTooLarge",
      413,
      `Request entity too large: a transaction holds at most ${MAX_MUTATIONS} mutations and as many conditions`,
    );
  }
  const bytes = transactionBytes(transaction);
  if (bytes > MAX_TRANSACTION_BYTES) {
    throw new StatusError(
      "RequestEntityTooLarge",
      413,
      `Request entity too large: limit is ${MAX_TRANSACTION_BYTES} bytes, the transaction has ${bytes}`,
    );
  }
  if (mutations.length > 1) checkDistinct(mutations);
  for (const { key } of conditions) checkKey(key);
  for (const { key } of mutations) checkKey(key);
  return bytes;
}

function checkDistinct(mutations: Transaction["mutations"]): void {
  const seen = new Set<string>();
  for (const { key } of mutations) {
    if (seen.has(key)) throw new Error(`a transaction mutates the key ${JSON.stringify(key)} twice`);
    seen.add(key);
  }
}

function checkKey(key: string): void {
  if (key === "" || key.startsWith("\0")) throw new Error(`${JSON.stringify(key)} is not a key of a transaction`);
}

/** A group being filled: says who may still join. */
export class GroupPlan<T extends { readonly transaction: Transaction; readonly bytes: number }> {
  readonly members: T[] = [];
  #mutations = 0;
  #bytes = 0;
  #width = 0;
  readonly #written = new Set<string>();

  /** Joins and returns true, or changes nothing. An empty group takes anything. */
  tryJoin(member: T): boolean {
    const { conditions, mutations } = member.transaction;
    const width = Math.max(this.#width, conditions.length, mutations.length);
    if (this.members.length > 0) {
      if (this.#mutations + mutations.length > MAX_MUTATIONS) return false;
      if (this.#bytes + member.bytes > MAX_GROUP_BYTES) return false;
      // etcd counts a nested transaction's operations on top of the outer one's; one place is for the commit record.
      if (this.members.length + 2 + width > MAX_MUTATIONS + 1) return false;
      if (conditions.some(({ key }) => this.#written.has(key))) return false;
      if (mutations.some(({ key }) => this.#written.has(key))) return false;
    }
    this.members.push(member);
    this.#mutations += mutations.length;
    this.#bytes += member.bytes;
    this.#width = width;
    for (const { key } of mutations) this.#written.add(key);
    return true;
  }
}

/** Fewer share one group: another costs etcd and its client more than they gain. */
const LEAST_MEMBERS = 32;

/**
 * How many of `waiting` the next group takes, where `underWay` are in groups that etcd works on and so many groups may be there at
 * once: each has a part of all. Where all were in one, etcd would stand still while its client works, and the client while etcd does,
 * and those whose writes follow each other stay together for ever.
 */
export function groupSize(waiting: number, underWay: number, groups: number): number {
  return Math.max(LEAST_MEMBERS, Math.ceil((waiting + underWay) / groups));
}

/**
 * Takes the next group off the front of `queue`. A transaction that cannot join waits, and so does every later one that
 * touches a key of one that waits, or a key in `writing`: writes of a key keep the order in which they came.
 */
export function takeGroup<T extends { readonly transaction: Transaction; readonly bytes: number }>(
  queue: T[],
  writing: ReadonlySet<string> = new Set(),
  maxMembers = MAX_MUTATIONS,
): T[] {
  const group = new GroupPlan<T>();
  const waiting: T[] = [];
  const held = new Set(writing);
  const touches = (member: T): boolean =>
    held.size > 0 &&
    (member.transaction.mutations.some(({ key }) => held.has(key)) ||
      member.transaction.conditions.some(({ key }) => held.has(key)));
  let at = 0;
  for (; at < queue.length && group.members.length < maxMembers; at++) {
    const member = queue[at]!;
    if (!touches(member) && group.tryJoin(member)) continue;
    waiting.push(member);
    for (const { key } of member.transaction.mutations) held.add(key);
  }
  queue.splice(0, at, ...waiting);
  return group.members;
}
