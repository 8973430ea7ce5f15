// Service-account tokens that live in Secrets: without an end or an audience, good as long as their Secret is there. New code
// asks for bound tokens; Secrets of type kubernetes.io/service-account-token still get one of these.
// https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { decodeJwt, SignJWT, type JWTPayload } from "jose";
import type { BoundObject } from "./service-account-tokens.ts";

export const LEGACY_ISSUER = "kubernetes/serviceaccount";
const PREFIX = "kubernetes.io/serviceaccount/";

export interface LegacyToken {
  readonly namespace: string;
  readonly serviceAccount: BoundObject;
  /** Name of the Secret that holds the token. */
  readonly secret: string;
}

export interface LegacyTokenSigner {
  /** The token as text. */
  sign(request: LegacyToken): Promise<string>;
}

/** `keyPem` is PKCS#8, RSA or EC P-256: the key that the api-server verifies service-account tokens with. */
export function createLegacyTokenSigner(keyPem: string): LegacyTokenSigner {
  const privateKey = createPrivateKey(keyPem);
  const alg = privateKey.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
  const der = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const kid = createHash("sha256").update(der).digest("base64url");
  return {
    sign: ({ namespace, serviceAccount, secret }) =>
      new SignJWT({
        iss: LEGACY_ISSUER,
        [`${PREFIX}namespace`]: namespace,
        [`${PREFIX}secret.name`]: secret,
        [`${PREFIX}service-account.name`]: serviceAccount.name,
        [`${PREFIX}service-account.uid`]: serviceAccount.uid,
        sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
      })
        .setProtectedHeader({ alg, kid })
        .sign(privateKey),
  };
}

/** True where the token says that it is one of these; that it is genuine has still to be verified. */
export function looksLegacy(token: string): boolean {
  try {
    return decodeJwt(token).iss === LEGACY_ISSUER;
  } catch {
    // It is no token at all; whoever verifies it says so.
    return false;
  }
}

/** What a verified token says; undefined where it names no service account or Secret. */
export function readLegacyToken(payload: JWTPayload): LegacyToken | undefined {
  const text = (name: string): string => {
    const value = payload[`${PREFIX}${name}`];
    return typeof value === "string" ? value : "";
  };
  const namespace = text("namespace");
  const name = text("service-account.name");
  const secret = text("secret.name");
  if (namespace === "" || name === "" || secret === "") return undefined;
  if (payload.sub !== `system:serviceaccount:${namespace}:${name}`) return undefined;
  return { namespace, serviceAccount: { name, uid: text("service-account.uid") }, secret };
}
