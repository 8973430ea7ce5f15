// The part of etcd's RPCs that the commit path, the reads, the watch and the leases speak, with their types. int64 travel as strings
// of digits: they overflow Number. An enum name that the descriptor does not know would be encoded as 0 without an
// error, so the names below are types, not text.
import type { MethodDefinition } from "@grpc/grpc-js";
import { foreignServices } from "@coxswain/protos";
import { descriptor } from "./rpc.gen.ts";

export interface Header {
  readonly revision: string;
}
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly mod_revision: string;
}
export interface RangeRequest {
  key: Buffer;
  range_end?: Buffer;
  limit?: string;
  revision?: string;
  count_only?: boolean;
  serializable?: boolean;
}
export interface RangeResponse {
  readonly header: Header;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}
export interface Compare {
  result: "Equal";
  target: "Create" | "Mod";
  key: Buffer;
  create_revision?: string;
  mod_revision?: string;
}
export type RequestOp =
  | { request_put: { key: Buffer; value: Buffer; lease?: string } }
  | { request_delete_range: { key: Buffer } }
  | { request_range: RangeRequest }
  | { request_txn: TxnRequest };
export interface TxnRequest {
  compare: Compare[];
  success: RequestOp[];
  failure: RequestOp[];
}
export interface ResponseOp {
  readonly response_range?: RangeResponse;
  readonly response_txn?: TxnResponse;
}
export interface TxnResponse {
  readonly header: Header;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}
export type WatchRequest =
  | { create_request: { key: Buffer; range_end: Buffer; start_revision: string; fragment: boolean } }
  | { progress_request: Record<string, never> };
export interface KeepAliveRequest {
  ID: string;
}
export interface KeepAliveResponse {
  readonly ID: string;
  /** In seconds; "0" where the lease is gone. */
  readonly TTL: string;
}

const services = foreignServices(
  descriptor,
  ["KV", "Watch", "Lease"].map((name) => `etcdserverpb.${name}`),
);

function method<Request extends object, Response extends object>(
  service: string,
  name: string,
): MethodDefinition<Request, Response> {
  const found = services[`etcdserverpb.${service}`]?.[name];
  if (found === undefined) throw new Error(`the descriptor lacks ${service}.${name}`);
  return found as unknown as MethodDefinition<Request, Response>;
}

export const RANGE = method<RangeRequest, RangeResponse>("KV", "Range");
export const TXN = method<TxnRequest, TxnResponse>("KV", "Txn");
export const COMPACT = method<{ revision: string }, { readonly header: Header }>("KV", "Compact");
export const WATCH = method<WatchRequest, object>("Watch", "Watch");
export const LEASE_GRANT = method<{ TTL: string }, { readonly ID: string }>("Lease", "LeaseGrant");
export const LEASE_REVOKE = method<{ ID: string }, { readonly header: Header }>("Lease", "LeaseRevoke");
export const LEASE_KEEP_ALIVE = method<KeepAliveRequest, KeepAliveResponse>("Lease", "LeaseKeepAlive");
