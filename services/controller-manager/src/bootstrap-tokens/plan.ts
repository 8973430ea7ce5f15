// Bootstrap tokens, with which new machines get to know a cluster: when they end, and how they sign what the cluster tells of
// itself. Pure. https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
import { createHmac } from "node:crypto";
import type { ConfigMap, Secret } from "@coxswain/api";
import { deepEqual, parseTime } from "@coxswain/apimachinery";

export const TOKEN_SECRET = "bootstrap.kubernetes.io/token";
export const TOKEN_NAMESPACE = "kube-system";
export const INFO_NAMESPACE = "kube-public";
export const INFO_NAME = "cluster-info";
const NAME_PREFIX = "bootstrap-token-";
const SIGNATURE_PREFIX = "jws-kubeconfig-";

/** A value of the Secret as text; "" where it has none. */
function value({ data = {} }: Secret, key: string): string {
  return Buffer.from(data[key] ?? "", "base64").toString();
}

export const isTokenSecret = (secret: Secret): boolean =>
  secret.type === TOKEN_SECRET && secret.metadata?.namespace === TOKEN_NAMESPACE;

/** When the token ends, ms since the epoch, 0 where that cannot be read; undefined for one that never does. */
export function expiresAtMs(secret: Secret): number | undefined {
  const text = value(secret, "expiration");
  return text === "" ? undefined : (parseTime(text) ?? 0);
}

export interface SigningToken {
  readonly id: string;
  readonly secret: string;
}

/** What the Secret signs with; undefined where it may not. */
export function signingToken(secret: Secret, nowMs: number): SigningToken | undefined {
  const [id, key] = [value(secret, "token-id"), value(secret, "token-secret")];
  const named = secret.metadata?.name === `${NAME_PREFIX}${id}`;
  const over = (expiresAtMs(secret) ?? Number.POSITIVE_INFINITY) <= nowMs;
  if (!isTokenSecret(secret) || id === "" || key === "" || !named || over) return undefined;
  return value(secret, "usage-bootstrap-signing") === "true" ? { id, secret: key } : undefined;
}

/** A JSON web signature (RFC 7515) with its content detached: who checks it has the content. */
export function detachedSignature(content: string, { id, secret }: SigningToken): string {
  const encode = (text: string): string => Buffer.from(text).toString("base64url");
  const header = encode(JSON.stringify({ alg: "HS256", kid: id }));
  const signature = createHmac("sha256", secret)
    .update(`${header}.${encode(content)}`)
    .digest("base64url");
  return `${header}..${signature}`;
}

/** The ConfigMap with a signature by each token, and no others; undefined where it has them, or there is nothing to sign. */
export function planSignatures(map: ConfigMap, secrets: readonly Secret[], nowMs: number): ConfigMap | undefined {
  const content = map.data?.["kubeconfig"];
  if (content === undefined) return undefined;
  const kept = Object.entries(map.data ?? {}).filter(([key]) => !key.startsWith(SIGNATURE_PREFIX));
  const signed = secrets.flatMap((secret): [string, string][] => {
    const token = signingToken(secret, nowMs);
    return token === undefined ? [] : [[`${SIGNATURE_PREFIX}${token.id}`, detachedSignature(content, token)]];
  });
  const data = Object.fromEntries([...kept, ...signed]);
  return deepEqual(data, map.data) ? undefined : { ...map, data };
}
