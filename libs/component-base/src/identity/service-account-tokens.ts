// Service-account tokens: JWTs with the claims that upstream puts in them, signed and verified with one key (ES256 or RS256
// by the key's type). Time comes from the clock.
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { errors, exportJWK, jwtVerify, SignJWT, type JWK, type JWTPayload } from "jose";
import type { Clock, Random } from "@coxswain/env";
import { StatusError } from "@coxswain/apimachinery";
import { LEGACY_ISSUER, looksLegacy, readLegacyToken } from "./legacy-tokens.ts";

export interface BoundObject {
  readonly name: string;
  readonly uid: string;
}

export interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly uid: string;
  /** Empty: the issuer's own audience. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly boundPod?: BoundObject;
  /** uid may be unknown where the Node has gone. */
  readonly boundNode?: { readonly name: string; readonly uid?: string };
  readonly boundSecret?: BoundObject;
  /** Seconds after which use of the token counts as late; for tokens whose life was extended. */
  readonly warnAfterSeconds?: number;
}

export interface TokenClaims {
  readonly jti: string;
  /** system:serviceaccount:<namespace>:<name>. */
  readonly username: string;
  readonly namespace: string;
  readonly serviceAccount: BoundObject;
  readonly pod?: BoundObject;
  readonly node?: { readonly name: string; readonly uid?: string };
  readonly secret?: BoundObject;
  /** Set for tokens that live in a Secret: its name, and the token that it has to hold. */
  readonly legacy?: { readonly secret: string; readonly token: string };
  readonly audiences: readonly string[];
  /** Those of the asked-for audiences that the token has. */
  readonly matchedAudiences: readonly string[];
  /** Infinity where it never does. */
  readonly expiresAtMs: number;
}

export interface TokenSigner {
  readonly issuer: string;
  sign(request: TokenRequest): Promise<{ readonly token: string; readonly expiresAtMs: number }>;
  /**
   * Checks signature, issuer, time and that the token has one of `audiences` (unset: the issuer). That the service account
   * and the bound objects still exist is the caller's to check. Rejects with StatusError Unauthorized.
   */
  verify(token: string, options?: { readonly audiences?: readonly string[] }): Promise<TokenClaims>;
  publicJwks(): Promise<{ keys: JWK[] }>;
  /** The discovery document; `jwksUri` is where publicJwks is served. */
  openIdConfiguration(jwksUri: string): Record<string, unknown>;
}

export interface TokenSignerOptions {
  readonly issuer: string;
  /** PKCS#8. */
  readonly keyPem: string;
  readonly clock: Clock;
  readonly random: Random;
}

interface PrivateClaims {
  readonly namespace?: string;
  readonly serviceaccount?: BoundObject;
  readonly pod?: BoundObject;
  readonly node?: { readonly name: string; readonly uid?: string };
  readonly secret?: BoundObject;
  readonly warnafter?: number;
}

const CLAIM = "kubernetes.io";

function algorithmOf(key: KeyObject): "ES256" | "RS256" {
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return "ES256";
  if (key.asymmetricKeyType === "rsa") return "RS256";
  throw new Error(`a service-account key must be RSA or EC P-256, not ${key.asymmetricKeyType}`);
}

function unauthorized(why: string, cause?: unknown): StatusError {
  return new StatusError("Unauthorized", 401, `invalid bearer token: ${why}`, {}, { cause });
}

function privateClaims(request: TokenRequest, nowSeconds: number): PrivateClaims {
  return {
    namespace: request.namespace,
    ...(request.boundNode !== undefined && { node: request.boundNode }),
    ...(request.boundPod !== undefined && { pod: request.boundPod }),
    ...(request.boundSecret !== undefined && { secret: request.boundSecret }),
    serviceaccount: { name: request.serviceAccount, uid: request.uid },
    ...(request.warnAfterSeconds !== undefined && { warnafter: nowSeconds + request.warnAfterSeconds }),
  };
}

function readClaims(payload: JWTPayload, accepted: readonly string[]): TokenClaims {
  const inner = payload[CLAIM] as PrivateClaims | undefined;
  const { namespace, serviceaccount } = inner ?? {};
  const username = `system:serviceaccount:${namespace}:${serviceaccount?.name}`;
  if (inner === undefined || namespace === undefined || serviceaccount === undefined || payload.sub !== username) {
    throw unauthorized("its claims name no service account");
  }
  const audiences = Array.isArray(payload.aud) ? payload.aud : [payload.aud ?? ""];
  return {
    jti: payload.jti ?? "",
    username,
    namespace,
    serviceAccount: serviceaccount,
    ...(inner.pod !== undefined && { pod: inner.pod }),
    ...(inner.node !== undefined && { node: inner.node }),
    ...(inner.secret !== undefined && { secret: inner.secret }),
    audiences,
    matchedAudiences: accepted.filter((audience) => audiences.includes(audience)),
    expiresAtMs: (payload.exp ?? 0) * 1000,
  };
}

/** Such a token has no audience: it is meant for the api-server itself. */
function legacyClaims(payload: JWTPayload, token: string, issuer: string, accepted: readonly string[]): TokenClaims {
  const read = readLegacyToken(payload);
  if (read === undefined) throw unauthorized("its claims name no service account");
  if (!accepted.includes(issuer)) throw unauthorized("the token has no audience");
  const { namespace, serviceAccount, secret } = read;
  return {
    jti: "",
    username: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    namespace,
    serviceAccount,
    legacy: { secret, token },
    audiences: [issuer],
    matchedAudiences: [issuer],
    expiresAtMs: Number.POSITIVE_INFINITY,
  };
}

/** Throws where the key is neither RSA nor EC P-256. */
export function createTokenSigner(options: TokenSignerOptions): TokenSigner {
  const { issuer, clock, random } = options;
  const privateKey = createPrivateKey(options.keyPem);
  const publicKey = createPublicKey(privateKey);
  const alg = algorithmOf(privateKey);
  const der = publicKey.export({ type: "spki", format: "der" });
  const kid = createHash("sha256").update(der).digest("base64url");

  return {
    issuer,
    sign: async (request) => {
      const now = Math.floor(clock.now() / 1000);
      const exp = now + request.expirationSeconds;
      const token = await new SignJWT({ [CLAIM]: privateClaims(request, now) })
        .setProtectedHeader({ alg, kid })
        .setIssuer(issuer)
        .setSubject(`system:serviceaccount:${request.namespace}:${request.serviceAccount}`)
        .setAudience(request.audiences.length === 0 ? [issuer] : [...request.audiences])
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(exp)
        .setJti(random.uuid())
        .sign(privateKey);
      return { token, expiresAtMs: exp * 1000 };
    },
    verify: async (token, { audiences } = {}) => {
      const accepted = audiences === undefined || audiences.length === 0 ? [issuer] : audiences;
      try {
        if (looksLegacy(token)) {
          const options = { algorithms: [alg], issuer: LEGACY_ISSUER, currentDate: new Date(clock.now()) };
          return legacyClaims((await jwtVerify(token, publicKey, options)).payload, token, issuer, accepted);
        }
        const { payload } = await jwtVerify(token, publicKey, {
          algorithms: [alg],
          issuer,
          audience: [...accepted],
          currentDate: new Date(clock.now()),
          requiredClaims: ["exp", "sub", "aud"],
        });
        return readClaims(payload, accepted);
      } catch (error) {
        if (error instanceof errors.JWTExpired) throw unauthorized("service account token has expired", error);
        if (error instanceof errors.JOSEError) throw unauthorized(error.message, error);
        throw error;
      }
    },
    publicJwks: async () => ({ keys: [{ ...(await exportJWK(publicKey)), use: "sig", kid, alg }] }),
    openIdConfiguration: (jwksUri) => ({
      issuer,
      jwks_uri: jwksUri,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [alg],
    }),
  };
}
