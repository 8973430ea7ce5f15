// Bearer tokens of all sorts: those of a file, bootstrap tokens, an issuer's ID tokens, service-account tokens. Guarantees: each token is judged
// by the one authenticator whose form it has; what an object behind a token is now, counts, also where another api-server
// made it a moment ago; a signature that held is believed for ten seconds, its objects are looked at each time.
import type { Secret } from "@coxswain/api";
import { isReason, StatusError } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { TokenClaims, TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { Clock } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";
import { bootstrapUser, isBootstrapToken } from "./bootstrap-tokens.ts";
import type { LegacyTokenUse } from "./legacy-token-use.ts";
import type { OidcAuthenticator } from "./oidc.ts";
import { userOfClaims } from "./service-account-tokens.ts";
import type { StaticTokens } from "./static-tokens.ts";

export interface TokenAuthenticatorDeps {
  readonly keys: TokenSigner;
  readonly source: () => ObjectSource;
  readonly clock: Clock;
  /** False: bootstrap tokens are nobody's. */
  readonly bootstrapTokens: boolean;
  readonly staticTokens?: StaticTokens;
  readonly oidc?: OidcAuthenticator;
  /** Nobody hears of the use of tokens in Secrets where unset. */
  readonly legacyTokens?: LegacyTokenUse;
}

export interface TokenAnswer {
  readonly user: UserInfo;
  /** Those of the audiences asked about that the token is good for. */
  readonly audiences: readonly string[];
}

export interface TokenAuthenticator {
  /** `audiences` unset: the api-server's own. Rejects with StatusError Unauthorized. */
  authenticate(token: string, audiences?: readonly string[]): Promise<TokenAnswer>;
}

const BELIEVED_MS = 10_000;
const MAX_BELIEVED = 4_096;

export function createTokenAuthenticator(deps: TokenAuthenticatorDeps): TokenAuthenticator {
  const { keys, clock, source, oidc } = deps;
  const own = [keys.issuer];
  const verify = believing(keys, clock);
  const used = (secret: Secret): void => deps.legacyTokens?.used(secret);

  /** Looks again at what is committed now before it refuses. */
  async function looking<T>(judge: () => T | undefined): Promise<T> {
    const found = attempt(judge);
    if (found !== undefined) return found;
    await source().consistent?.();
    const again = judge();
    if (again === undefined) throw unauthorized("token lookup failed");
    return again;
  }

  /** Tokens that know no audience are good for the api-server's own. */
  function forOwn(user: UserInfo, asked: readonly string[] | undefined): TokenAnswer {
    const audiences = (asked ?? own).filter((audience) => own.includes(audience));
    if (audiences.length === 0) throw unauthorized("token audiences do not match");
    return { user, audiences };
  }

  return {
    async authenticate(token, asked) {
      const known = deps.staticTokens?.get(token);
      if (known !== undefined) return forOwn(known, asked);
      if (deps.bootstrapTokens && isBootstrapToken(token)) {
        return forOwn(await looking(() => bootstrapUser(token, source(), clock)), asked);
      }
      if (oidc?.claims(token) === true) return forOwn(await oidc.authenticate(token), asked);
      const claims = await verify(token, asked ?? own);
      const user = await looking(() => userOfClaims(claims, source(), clock.now(), used));
      return { user, audiences: claims.matchedAudiences };
    },
  };
}

function unauthorized(why: string): StatusError {
  return new StatusError("Unauthorized", 401, `invalid bearer token, ${why}`);
}

function attempt<T>(judge: () => T | undefined): T | undefined {
  try {
    return judge();
  } catch (error) {
    if (isReason(error, "Unauthorized")) return undefined;
    throw error;
  }
}

type Verify = (token: string, audiences: readonly string[]) => Promise<TokenClaims>;

function believing(keys: TokenSigner, clock: Clock): Verify {
  const believed = new Map<string, { readonly claims: TokenClaims; readonly untilMs: number }>();
  return async (token, audiences) => {
    const key = `${token} ${audiences.join(" ")}`;
    const known = believed.get(key);
    const nowMs = clock.now();
    if (known !== undefined && known.untilMs > nowMs) return known.claims;
    const claims = await keys.verify(token, { audiences });
    if (believed.size >= MAX_BELIEVED) believed.clear();
    believed.set(key, { claims, untilMs: Math.min(nowMs + BELIEVED_MS, claims.expiresAtMs) });
    return claims;
  };
}
