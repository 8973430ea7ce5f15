// A group of transactions as etcd's TxnRequest, and its answer. Every write of the cluster goes through here, so the bytes are put
// together at once, each value copied once, instead of through objects that a descriptor is asked about.
// https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto
import type { MethodDefinition } from "@grpc/grpc-js";
import { placeOf, revisionOf } from "@coxswain/apimachinery";
import type { Condition, Mutation, Transaction } from "../contract.ts";
import { MAX_MUTATIONS } from "../transaction.ts";
import { HEADER_BYTES, writeHeader, encodeRecord, type Keyspace } from "./encoding.ts";
import { TXN } from "./rpc.ts";
import { fieldSize, int64Size, Reader, Writer } from "./wire.ts";

/** A transaction, and the place of its first mutation in the group's revision. */
export interface Placed {
  readonly transaction: Transaction;
  readonly firstPlace: number;
}

// Fields with their types, by the message that they are of.
const COMPARE_TARGET = 0x10;
const COMPARE_KEY = 0x1a;
const COMPARE_CREATE_REVISION = 0x28;
const COMPARE_MOD_REVISION = 0x30;
const TARGET_CREATE = 1;
const TARGET_MOD = 2;
const TXN_COMPARE = 0x0a;
const TXN_SUCCESS = 0x12;
const TXN_FAILURE = 0x1a;
const OP_RANGE = 0x0a;
const OP_PUT = 0x12;
const OP_DELETE = 0x1a;
const OP_TXN = 0x22;
const KEY = 0x0a;
const PUT_VALUE = 0x12;

/** A part of the message: its size is wanted before it is written. */
interface Part {
  readonly size: number;
  write(out: Writer): void;
}

class Compare implements Part {
  readonly size: number;
  readonly #key: string;
  readonly #keySize: number;
  /** Undefined: the key is absent. */
  readonly #revision: bigint | undefined;

  constructor(keyspace: Keyspace, condition: Condition) {
    if (condition.is === "equal") throw new Error("an equal condition reaches the committer unresolved");
    this.#key = keyspace.full(condition.key);
    this.#keySize = Buffer.byteLength(this.#key);
    this.#revision = condition.is === "absent" ? undefined : revisionAt(condition.rv);
    this.size = 2 + fieldSize(this.#keySize) + 1 + (this.#revision === undefined ? 1 : int64Size(this.#revision));
  }

  write(out: Writer): void {
    out.byte(COMPARE_TARGET);
    out.byte(this.#revision === undefined ? TARGET_CREATE : TARGET_MOD);
    out.byte(COMPARE_KEY);
    out.text(this.#key, this.#keySize);
    out.byte(this.#revision === undefined ? COMPARE_CREATE_REVISION : COMPARE_MOD_REVISION);
    if (this.#revision === undefined) out.byte(0);
    else out.int64(this.#revision);
  }
}

/**
 * A key is mutated at most once a revision, so its revision alone identifies a version. Places above the largest that a commit
 * gives belong to lists: nothing is ever at one. -1 never equals a revision.
 */
function revisionAt(rv: bigint): bigint {
  return rv >= 1024n && placeOf(rv) < MAX_MUTATIONS ? revisionOf(rv) : -1n;
}

/** A read or a deletion of a key: a message with the key alone. */
class OfKey implements Part {
  readonly size: number;
  readonly #tag: number;
  readonly #key: string;
  readonly #keySize: number;

  constructor(tag: number, key: string) {
    this.#tag = tag;
    this.#key = key;
    this.#keySize = Buffer.byteLength(key);
    this.size = fieldSize(fieldSize(this.#keySize));
  }

  write(out: Writer): void {
    out.byte(this.#tag);
    out.length(fieldSize(this.#keySize));
    out.byte(KEY);
    out.text(this.#key, this.#keySize);
  }
}

class Put implements Part {
  readonly size: number;
  readonly #key: string;
  readonly #keySize: number;
  readonly #value: Buffer;
  /** Undefined: the value is nobody's who reads places. */
  readonly #place: number | undefined;

  constructor(key: string, value: Buffer, place: number | undefined) {
    this.#key = key;
    this.#keySize = Buffer.byteLength(key);
    this.#value = value;
    this.#place = place;
    this.size = fieldSize(this.#messageSize());
  }

  #valueSize(): number {
    return this.#value.length + (this.#place === undefined ? 0 : HEADER_BYTES);
  }

  #messageSize(): number {
    return fieldSize(this.#keySize) + fieldSize(this.#valueSize());
  }

  write(out: Writer): void {
    out.byte(OP_PUT);
    out.length(this.#messageSize());
    out.byte(KEY);
    out.text(this.#key, this.#keySize);
    out.byte(PUT_VALUE);
    out.length(this.#valueSize());
    if (this.#place !== undefined) writeHeader(this.#place, (byte) => out.byte(byte));
    out.raw(this.#value);
  }
}

class Txn implements Part {
  readonly size: number;
  readonly #compares: readonly Part[];
  readonly #success: readonly Part[];
  readonly #failure: readonly Part[];

  constructor(compares: readonly Part[], success: readonly Part[], failure: readonly Part[]) {
    this.#compares = compares;
    this.#success = success;
    this.#failure = failure;
    this.size = sizeOf(compares) + sizeOf(success) + sizeOf(failure);
  }

  write(out: Writer): void {
    writeAll(out, TXN_COMPARE, this.#compares);
    writeAll(out, TXN_SUCCESS, this.#success);
    writeAll(out, TXN_FAILURE, this.#failure);
  }
}

class NestedTxn implements Part {
  readonly size: number;
  readonly #txn: Txn;

  constructor(txn: Txn) {
    this.#txn = txn;
    this.size = fieldSize(txn.size);
  }

  write(out: Writer): void {
    out.byte(OP_TXN);
    out.length(this.#txn.size);
    this.#txn.write(out);
  }
}

function sizeOf(parts: readonly Part[]): number {
  let size = 0;
  for (const part of parts) size += fieldSize(part.size);
  return size;
}

function writeAll(out: Writer, tag: number, parts: readonly Part[]): void {
  for (const part of parts) {
    out.byte(tag);
    out.length(part.size);
    part.write(out);
  }
}

function opOf(keyspace: Keyspace, mutation: Mutation, place: number): Part {
  const key = keyspace.full(mutation.key);
  return mutation.op === "put" ? new Put(key, mutation.value, place) : new OfKey(OP_DELETE, key);
}

function txnOf(keyspace: Keyspace, { transaction, firstPlace }: Placed, more: readonly Part[] = []): Txn {
  const { conditions, mutations } = transaction;
  return new Txn(
    conditions.map((condition) => new Compare(keyspace, condition)),
    [...mutations.map((mutation, at) => opOf(keyspace, mutation, firstPlace + at)), ...more],
    conditions.map(({ key }) => new OfKey(OP_RANGE, keyspace.full(key))),
  );
}

/** The outer transaction. A group of one is sent as it is; a record goes behind where deletes need their places. */
export function encodeGroup(keyspace: Keyspace, group: readonly Placed[]): Buffer<ArrayBuffer> {
  const deletes = group.flatMap(({ transaction, firstPlace }) =>
    transaction.mutations.flatMap(({ op, key }, at) => (op === "delete" ? [{ key, place: firstPlace + at }] : [])),
  );
  const alone = deletes.length === 1 && deletes[0]!.place === 0;
  const record =
    deletes.length === 0 || alone ? [] : [new Put(keyspace.commitRecord.toString(), encodeRecord(deletes), undefined)];
  const txn =
    group.length === 1
      ? txnOf(keyspace, group[0]!, record)
      : new Txn([], [...group.map((placed) => new NestedTxn(txnOf(keyspace, placed))), ...record], []);
  const out = new Writer(txn.size);
  txn.write(out);
  return out.finish();
}

/** What a key held. */
export interface Held {
  readonly value: Buffer;
  readonly revision: bigint;
}

/** Of a transaction, or of one nested in it. */
export interface TxnAnswer {
  /** Of the outer one. */
  readonly revision: bigint;
  readonly succeeded: boolean;
  /** One an operation that ran: a nested transaction's answer; what was read, undefined where there was nothing; null for others. */
  readonly responses: readonly (TxnAnswer | Held | undefined | null)[];
}

/** The answer to a TxnRequest whose reads are of single keys. */
export function decodeTxnAnswer(bytes: Buffer): TxnAnswer {
  return readTxn(new Reader(bytes));
}

function readTxn(reader: Reader): TxnAnswer {
  let revision = 0n;
  let succeeded = false;
  const responses: (TxnAnswer | Held | undefined | null)[] = [];
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 1) revision = readRevision(reader.message());
    else if (field === 2) succeeded = reader.flag();
    else if (field === 3) responses.push(readResponse(reader.message()));
    else reader.skip();
  }
  return { revision, succeeded, responses };
}

/** Of a ResponseHeader. */
function readRevision(reader: Reader): bigint {
  let revision = 0n;
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 3) revision = reader.int64();
    else reader.skip();
  }
  return revision;
}

function readResponse(reader: Reader): TxnAnswer | Held | undefined | null {
  let response: TxnAnswer | Held | undefined | null = null;
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 1) response = readRange(reader.message());
    else if (field === 4) response = readTxn(reader.message());
    else reader.skip();
  }
  return response;
}

function readRange(reader: Reader): Held | undefined {
  let held: Held | undefined;
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 2) held ??= readKeyValue(reader.message());
    else reader.skip();
  }
  return held;
}

const NOTHING: Buffer = Buffer.alloc(0);

/** A mvccpb.KeyValue. */
export function readKeyValue(reader: Reader): Held & { readonly key: Buffer } {
  let [key, value, revision] = [NOTHING, NOTHING, 0n];
  for (let field = reader.next(); field > 0; field = reader.next()) {
    if (field === 1) key = reader.data();
    else if (field === 3) revision = reader.int64();
    else if (field === 5) value = reader.data();
    else reader.skip();
  }
  return { key, value, revision };
}

/** The request is bytes already. */
export const GROUP_TXN: MethodDefinition<Buffer, TxnAnswer> = {
  ...TXN,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: () => {
    throw new Error("nobody answers this here");
  },
  responseDeserialize: decodeTxnAnswer,
};
