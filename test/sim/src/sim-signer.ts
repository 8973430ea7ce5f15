// The doubles of the signers of service-account tokens, bound and in Secrets: tokens are readable, signed by nobody, and the same in every run.
import { StatusError } from "@coxswain/apimachinery";
import type { LegacyToken, LegacyTokenSigner } from "@coxswain/component-base/identity/legacy-tokens";
import type { TokenClaims, TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { Env } from "@coxswain/env";

const ISSUER = "https://kubernetes.default.svc.cluster.local";

export function createSimSigner(env: Env): TokenSigner {
  return {
    issuer: ISSUER,
    async sign(request) {
      const expiresAtMs = env.clock.now() + request.expirationSeconds * 1000;
      const audiences = request.audiences.length === 0 ? [ISSUER] : request.audiences;
      const claims: TokenClaims = {
        jti: env.random.uuid(),
        username: `system:serviceaccount:${request.namespace}:${request.serviceAccount}`,
        namespace: request.namespace,
        serviceAccount: { name: request.serviceAccount, uid: request.uid },
        ...(request.boundPod === undefined ? {} : { pod: request.boundPod }),
        ...(request.boundNode === undefined ? {} : { node: request.boundNode }),
        ...(request.boundSecret === undefined ? {} : { secret: request.boundSecret }),
        audiences,
        matchedAudiences: audiences,
        expiresAtMs,
      };
      return { token: `sim.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sim`, expiresAtMs };
    },
    async verify(token, options = {}) {
      const [prefix, body] = token.split(".");
      if (prefix !== "sim" || body === undefined) throw new StatusError("Unauthorized", 401, "not a simulated token");
      const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as TokenClaims;
      if (claims.expiresAtMs <= env.clock.now()) throw new StatusError("Unauthorized", 401, "the token has expired");
      const asked = options.audiences ?? [ISSUER];
      const matchedAudiences = claims.audiences.filter((audience) => asked.includes(audience));
      if (matchedAudiences.length === 0) throw new StatusError("Unauthorized", 401, "the token is for other audiences");
      return { ...claims, matchedAudiences };
    },
    publicJwks: async () => ({ keys: [] }),
    openIdConfiguration: (jwksUri) => ({ issuer: ISSUER, jwks_uri: jwksUri }),
  };
}

/** Of tokens that live in Secrets. */
export function createSimLegacySigner(): LegacyTokenSigner {
  return { sign: async (request) => `legacy.${Buffer.from(JSON.stringify(request)).toString("base64url")}.sim` };
}

/** What a token of that signer says; undefined of anything else. */
export function readSimLegacyToken(token: string): LegacyToken | undefined {
  const [prefix, body = "", end] = token.split(".");
  if (prefix !== "legacy" || end !== "sim") return undefined;
  return JSON.parse(Buffer.from(body, "base64url").toString()) as LegacyToken;
}
