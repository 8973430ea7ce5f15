// The change feed's wire form: subjects and headers. One elected publisher sends each committed change once.
// A chain is all changes of one resource, or of the pods of one node. `prevRv` names the chain's previous change, so a
// reader that holds another version knows that it missed something and catches up over gRPC.

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

export function encodeHeader(header: ChangeHeader): Record<string, string> {
  const headers: Record<string, string> = { t: header.type, e: header.epoch, v: header.rv, p: header.prevRv };
  if (header.prevNodeRv !== undefined) headers["n"] = header.prevNodeRv;
  if (header.ref !== undefined) headers["r"] = header.ref;
  return headers;
}

/** Undefined where the headers are not a change's. */
export function decodeHeader(headers: Readonly<Record<string, string>>): ChangeHeader | undefined {
  const { t, e, v, p, n, r } = headers;
  if (e === undefined || v === undefined || p === undefined) return undefined;
  if (t !== "ADDED" && t !== "MODIFIED" && t !== "DELETED" && t !== "BOOKMARK") return undefined;
  return { type: t, epoch: e, rv: v, prevRv: p, prevNodeRv: n, ref: r };
}
