// The change feed's wire form: subjects and headers. One elected publisher sends each committed change once.
// A chain is all changes of one resource, or of the pods of one node. `prevRv` names the chain's previous change, so a
// reader that holds another version knows that it missed something and catches up over gRPC. Changes that follow each other in
// their chain under one subject may share a message, and what is long is compressed: what a message and its bytes cost is paid
// for each listener.
import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { BusMessage } from "./contract.ts";

export type ChangeType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";

export interface ChangeHeader {
  readonly type: ChangeType;
  /** Changes with each new publisher. */
  readonly epoch: string;
  readonly rv: string;
  /** The resource chain's previous rv; "0" at the start of an epoch where nothing came before. */
  readonly prevRv: string;
  /** The node chain's previous rv; only on messages about bound pods. */
  readonly prevNodeRv?: string;
  /** namespace/name of the object; only where the body is left out (Secrets, and bodies over 256 KiB). */
  readonly ref?: string;
}

/** Bodies above this travel as key and version only. */
export const MAX_BODY_BYTES = 256 * 1024;
/** Bodies of changes that share a message are not longer together. */
export const MAX_SHARED_BYTES = 128 * 1024;
/** What is shorter costs more to compress than to send. */
const COMPRESSED_FROM_BYTES = 8 * 1024;
/** The publisher sends a BOOKMARK on every chain at least this often; silence beyond it twice over means a lost feed. */
export const BOOKMARK_INTERVAL_MS = 5_000;

const token = (text: string): string => (text === "" ? "_" : text.replaceAll(".", "_"));

/** kube.<core|group>.<resource>.<namespace|_>[.node.<node>]; dots inside a token become underscores. */
export function changeSubject(group: string, resource: string, namespace: string, node?: string): string {
  const base = `kube.${group === "" ? "core" : token(group)}.${token(resource)}.${token(namespace)}`;
  return node === undefined || node === "" ? base : `${base}.node.${token(node)}`;
}

/** The pattern that hears every change of a resource, or of a node's pods. */
export function changePattern(group: string, resource: string, node?: string): string {
  const base = `kube.${group === "" ? "core" : token(group)}.${token(resource)}`;
  return node === undefined ? `${base}.>` : `${base}.*.node.${token(node)}`;
}

/** A change as it goes into a message. */
export interface Change {
  readonly header: ChangeHeader;
  /** Parts of the JSON; none where the body is left out. */
  readonly body: readonly Buffer[];
}

/** A change as it comes out of a message. */
export interface HeardChange {
  readonly header: ChangeHeader;
  readonly data: Buffer;
}

const SEVERAL = "SEVERAL";
const LETTERS: Readonly<Record<string, ChangeType>> = { A: "ADDED", M: "MODIFIED", D: "DELETED" };
const ITEM = /^([AMD])(\d{1,30}):(\d{1,9})$/;

/** True where `next`, of the same subject, may come behind `last` in a message: nothing lies between them in any chain. */
export function mayShare(last: ChangeHeader, next: ChangeHeader): boolean {
  if (last.type === "BOOKMARK" || next.type === "BOOKMARK") return false;
  if (last.ref !== undefined || next.ref !== undefined) return false;
  if (next.epoch !== last.epoch || next.prevRv !== last.rv) return false;
  return last.prevNodeRv === undefined ? next.prevNodeRv === undefined : next.prevNodeRv === last.rv;
}

/** One message for all: at least one, and each may share one with the next. */
export function encodeChanges(changes: readonly Change[]): Pick<BusMessage, "headers" | "data"> {
  const [first, ...others] = changes;
  if (first === undefined) throw new Error("a message of no changes");
  const data = Buffer.concat(changes.flatMap(({ body }) => body));
  if (others.length === 0) return compressed(encodeHeader(first.header), data);
  const items = changes.map(({ header, body }) => `${header.type[0]}${header.rv}:${lengthOf(body)}`);
  const { epoch, prevRv, prevNodeRv } = first.header;
  const headers: Record<string, string> = { t: SEVERAL, e: epoch, p: prevRv, c: items.join(",") };
  if (prevNodeRv !== undefined) headers["n"] = prevNodeRv;
  return compressed(headers, data);
}

/** Once for all listeners. Objects of a kind are much alike: of ten bytes, one is left. */
function compressed(headers: Record<string, string>, data: Buffer): Pick<BusMessage, "headers" | "data"> {
  if (data.length < COMPRESSED_FROM_BYTES) return { headers, data };
  const packed = deflateRawSync(data, { level: 1 });
  if (packed.length >= data.length) return { headers, data };
  return { headers: { ...headers, z: String(data.length) }, data: packed };
}

/** The data as it was; undefined where it is damaged. `text` is its length. */
function inflated(text: string, data: Buffer): Buffer | undefined {
  const length = Number(text);
  if (!/^\d{1,7}$/.test(text) || length < COMPRESSED_FROM_BYTES || length > MAX_BODY_BYTES) return undefined;
  try {
    // One byte more than there is: full memory would be followed by more of it.
    const plain = inflateRawSync(data, { chunkSize: length + 1, maxOutputLength: length });
    return plain.length === length ? plain : undefined;
  } catch {
    return undefined;
  }
}

export function lengthOf(body: readonly Buffer[]): number {
  return body.reduce((sum, { length }) => sum + length, 0);
}

/** The changes that a message tells of, in order; none where it is not the feed's. */
export function decodeChanges(message: Pick<BusMessage, "headers" | "data">): readonly HeardChange[] {
  const { headers } = message;
  const data = headers["z"] === undefined ? message.data : inflated(headers["z"], message.data);
  if (data === undefined) return [];
  if (headers["t"] === SEVERAL) return decodeSeveral(headers, data);
  const header = decodeHeader(headers);
  return header === undefined ? [] : [{ header, data }];
}

function decodeSeveral(headers: Readonly<Record<string, string>>, data: Buffer): readonly HeardChange[] {
  const { e: epoch, p: first, n: firstOfNode, c: items } = headers;
  if (epoch === undefined || first === undefined || items === undefined) return [];
  const changes: HeardChange[] = [];
  let [prevRv, prevNodeRv, at] = [first, firstOfNode, 0];
  for (const item of items.split(",")) {
    const [, letter = "", rv = "", length] = ITEM.exec(item) ?? [];
    const type = LETTERS[letter];
    if (type === undefined) return [];
    const end = at + Number(length);
    changes.push({ header: { type, epoch, rv, prevRv, prevNodeRv, ref: undefined }, data: data.subarray(at, end) });
    at = end;
    prevRv = rv;
    if (prevNodeRv !== undefined) prevNodeRv = rv;
  }
  return at === data.length ? changes : [];
}

function encodeHeader(header: ChangeHeader): Record<string, string> {
  const headers: Record<string, string> = { t: header.type, e: header.epoch, v: header.rv, p: header.prevRv };
  if (header.prevNodeRv !== undefined) headers["n"] = header.prevNodeRv;
  if (header.ref !== undefined) headers["r"] = header.ref;
  return headers;
}

/** Undefined where the headers are not a change's. */
function decodeHeader(headers: Readonly<Record<string, string>>): ChangeHeader | undefined {
  const { t, e, v, p, n, r } = headers;
  if (e === undefined || v === undefined || p === undefined) return undefined;
  if (t !== "ADDED" && t !== "MODIFIED" && t !== "DELETED" && t !== "BOOKMARK") return undefined;
  return { type: t, epoch: e, rv: v, prevRv: p, prevNodeRv: n, ref: r };
}
