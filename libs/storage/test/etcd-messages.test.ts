// The messages that are put together and read without a descriptor are those that etcd's descriptor says.
import fc from "fast-check";
import { expect, test } from "vitest";
import { placeOf, revisionOf } from "@coxswain/apimachinery";
import type { Condition, Mutation, Transaction } from "@coxswain/storage";
import { createKeyspace, encodeRecord, type RawEvent } from "../src/etcd/encoding.ts";
import { decodeTxnAnswer, encodeGroup, type Placed } from "../src/etcd/group-message.ts";
import { TXN, WATCH } from "../src/etcd/rpc.ts";
import { decodeWatchAnswer } from "../src/etcd/watch-message.ts";
import { MAX_MUTATIONS } from "../src/transaction.ts";

const keyspace = createKeyspace("/coxswain");
const keys = fc.oneof(fc.stringMatching(/^[a-z/]{1,200}$/), fc.string({ unit: "grapheme", minLength: 1 }));
const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ minLength: 16_000, maxLength: 20_000 }));
const buffers = bytes.map((data) => Buffer.from(data));
const int64 = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });

const conditions: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ key: keys, is: fc.constant("absent" as const) }),
  fc.record({ key: keys, is: fc.constant("at" as const), rv: fc.bigInt({ min: 0n, max: 2n ** 60n }) }),
);
const mutations: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ op: fc.constant("put" as const), key: keys, value: buffers }),
  fc.record({ op: fc.constant("delete" as const), key: keys }),
);
const transactions: fc.Arbitrary<Transaction> = fc.record({
  conditions: fc.array(conditions, { maxLength: 3 }),
  mutations: fc.array(mutations, { maxLength: 3 }),
});

function place(transactions: readonly Transaction[]): Placed[] {
  let firstPlace = 0;
  return transactions.map((transaction) => {
    const placed = { transaction, firstPlace };
    firstPlace += transaction.mutations.length;
    return placed;
  });
}

/** What the message must say, in the descriptor's words. */
function expected(group: readonly Placed[]): object {
  const key = (name: string): Buffer => Buffer.from(`/coxswain${name}`);
  const deletes: { key: string; place: number }[] = [];
  const txns = group.map(({ transaction, firstPlace }) => ({
    compare: transaction.conditions.map((condition) => {
      const base = { result: "Equal", key: key(condition.key) };
      if (condition.is !== "at") return { ...base, target: "Create", create_revision: "0" };
      const possible = condition.rv >= 1024n && placeOf(condition.rv) < MAX_MUTATIONS;
      return { ...base, target: "Mod", mod_revision: possible ? String(revisionOf(condition.rv)) : "-1" };
    }),
    success: transaction.mutations.map((mutation, at) => {
      const number = firstPlace + at;
      if (mutation.op === "delete") {
        deletes.push({ key: mutation.key, place: number });
        return { request_delete_range: { key: key(mutation.key) } };
      }
      const value = Buffer.concat([Buffer.from([1, number >> 8, number & 255, 0]), mutation.value]);
      return { request_put: { key: key(mutation.key), value } };
    }),
    failure: transaction.conditions.map((condition) => ({ request_range: { key: key(condition.key) } })),
  }));
  const recorded = deletes.length > 1 || (deletes.length === 1 && deletes[0]!.place !== 0);
  const record = recorded ? [{ request_put: { key: key("\0commit"), value: encodeRecord(deletes) } }] : [];
  if (txns.length === 1) return { ...txns[0]!, success: [...txns[0]!.success, ...record] };
  return { compare: [], success: [...txns.map((txn) => ({ request_txn: txn })), ...record], failure: [] };
}

test("a group of transactions is what the descriptor makes of it", () => {
  fc.assert(
    fc.property(fc.array(transactions, { minLength: 1, maxLength: 4 }), (members) => {
      const group = place(members);
      const wanted = TXN.requestSerialize(expected(group) as never);
      // The order of fields is free, so both are read again.
      const read = (message: Buffer): unknown => TXN.requestDeserialize(message);
      expect(read(encodeGroup(keyspace, group))).toEqual(read(wanted));
    }),
  );
});

interface Answer {
  readonly succeeded: boolean;
  readonly responses: readonly (Answer | { kv: { value: Buffer; revision: bigint } | undefined } | null)[];
}

const held = fc.option(fc.record({ value: buffers, revision: int64 }), { nil: undefined });
const { answer } = fc.letrec<{ answer: Answer; response: Answer["responses"][number] }>((tie) => ({
  answer: fc.record({ succeeded: fc.boolean(), responses: fc.array(tie("response"), { maxLength: 4 }) }),
  response: fc.oneof({ depthSize: "small" }, fc.record({ kv: held }), fc.constant(null), tie("answer")),
}));

function described({ succeeded, responses }: Answer, revision: bigint): object {
  return {
    header: { cluster_id: "18446744073709551615", member_id: "7", revision: String(revision), raft_term: "3" },
    succeeded,
    responses: responses.map((each) => {
      if (each === null) return { response_put: { header: { revision: String(revision) } } };
      if ("responses" in each) return { response_txn: described(each, revision) };
      const kvs = each.kv === undefined ? [] : [{ ...pair("k", each.kv), version: "9", lease: "12" }];
      return { response_range: { kvs, more: true, count: "5" } };
    }),
  };
}

function pair(key: string, { value, revision }: { value: Buffer; revision: bigint }): object {
  return { key: Buffer.from(key), value, mod_revision: String(revision), create_revision: String(revision) };
}

function understood({ succeeded, responses }: Answer, revision: bigint): object {
  return {
    revision,
    succeeded,
    responses: responses.map((each) => {
      if (each === null) return null;
      if ("responses" in each) return understood(each, revision);
      return each.kv === undefined ? undefined : { key: Buffer.from("k"), ...each.kv };
    }),
  };
}

test("an answer is read as the descriptor wrote it", () => {
  fc.assert(
    fc.property(answer, int64, (given, revision) => {
      const message = TXN.responseSerialize(described(given, revision) as never);
      expect(decodeTxnAnswer(message)).toEqual(understood(given, revision));
    }),
  );
});

const events: fc.Arbitrary<RawEvent> = fc.record({
  type: fc.constantFrom("Put" as const, "Delete" as const),
  key: buffers,
  value: buffers,
  revision: int64,
});

test("the events of a watch are read as the descriptor wrote them", () => {
  const answers = fc.record({
    created: fc.boolean(),
    canceled: fc.boolean(),
    compactRevision: int64,
    cancelReason: fc.string({ unit: "grapheme" }),
    fragment: fc.boolean(),
    events: fc.array(events, { maxLength: 4 }),
  });
  fc.assert(
    fc.property(answers, (given) => {
      const message = WATCH.responseSerialize({
        header: { cluster_id: "1", revision: "12" },
        watch_id: "5",
        created: given.created,
        canceled: given.canceled,
        compact_revision: String(given.compactRevision),
        cancel_reason: given.cancelReason,
        fragment: given.fragment,
        events: given.events.map(({ type, key, value, revision }) => ({
          type,
          kv: { key, value, mod_revision: String(revision), create_revision: "4", version: "2", lease: "8" },
          prev_kv: { key, value },
        })),
      });
      expect(decodeWatchAnswer(message)).toEqual(given);
    }),
  );
});

test("a message that was cut off is refused", () => {
  const kv = { key: Buffer.from("k"), value: Buffer.from("value"), mod_revision: "300" };
  const message = WATCH.responseSerialize({ events: [{ type: "Put", kv }] });
  for (let length = 1; length < message.length; length++) {
    expect(() => decodeWatchAnswer(message.subarray(0, length))).toThrow(RangeError);
  }
});
