// Who a peer claims to be, and the rule that turns a verified certificate into a user: common name and organizations are
// user name and groups. A certificate that did not verify against the cluster's CA never gets here.
import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { UserInfo } from "./contract.ts";

export interface Credentials {
  /** DER of a client certificate that TLS has verified. */
  readonly certificate?: Buffer;
  readonly bearerToken?: string;
  /** Metadata of a gRPC call that asks to act as somebody else: names and values in turn. */
  readonly impersonation?: readonly string[];
}

/** Returns the user, undefined where the credentials prove none; throws a StatusError to refuse with other words. */
export type Authenticate = (credentials: Credentials) => Promise<UserInfo | undefined> | UserInfo | undefined;

/** A resource of the API; "" where a field does not apply. */
export interface ResourceAttributes {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** What somebody wants to do: with a path, or, where `resource` is there, with that. */
export interface AccessRequest {
  readonly verb: string;
  readonly path: string;
  readonly resource?: ResourceAttributes;
}

/** May this user do that? `reason` explains a refusal. */
export type Authorize = (
  user: UserInfo,
  request: AccessRequest,
) => Promise<{ readonly allowed: boolean; readonly reason?: string }>;

/** The attribute of a subject that holds a user's uid. */
const UID_OID = "1.3.6.1.4.1.57683.2";

const users = new WeakMap<Buffer, UserInfo>();

function list(value: string | string[] | undefined): readonly string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** The user of a verified client certificate; undefined where it names nobody. Parsed once for each Buffer. */
export function certificateUser(der: Buffer): UserInfo | undefined {
  const known = users.get(der);
  if (known !== undefined) return known;
  const certificate = new X509Certificate(der);
  const subject = certificate.toLegacyObject().subject as Partial<Record<string, string | string[]>>;
  const [username] = list(subject["CN"]);
  if (username === undefined || username === "") return undefined;
  const uids = list(subject[UID_OID]);
  // One that says it twice, or says nothing, says nothing that can be trusted.
  if (uids.length > 1 || uids[0] === "") return undefined;
  const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  const user: UserInfo = {
    username,
    ...(uids[0] === undefined ? {} : { uid: uids[0] }),
    groups: [...list(subject["O"]), "system:authenticated"],
    extra: { "authentication.kubernetes.io/credential-id": [`X509SHA256=${fingerprint}`] },
  };
  users.set(der, user);
  return user;
}

/** The certificate of a connection whose TLS asks for one without requiring it; undefined unless it verified. */
export function verifiedCertificate(socket: TLSSocket): Buffer | undefined {
  // A resumed session without a certificate also counts as authorized, so both must hold.
  if (!socket.authorized) return undefined;
  return socket.getPeerX509Certificate()?.raw;
}

/** The token of an Authorization header; the scheme's case does not matter. */
export function bearerToken(header: string | undefined): string | undefined {
  const match = header === undefined ? null : /^bearer +(\S+)\s*$/i.exec(header);
  return match?.[1];
}
