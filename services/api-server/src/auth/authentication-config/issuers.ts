// Whose tokens an api-server takes besides its own: those of the issuer that flags name, or of those of a configuration.
import type { Env } from "@coxswain/env";
import {
  anyIssuer,
  createIssuerAuthenticator,
  createOidcAuthenticator,
  SIGNING_ALGORITHMS,
  type OidcAuthenticator,
  type OidcOptions,
} from "../oidc.ts";
import { ClaimPrograms } from "./claim-programs.ts";
import { claimsUser } from "./claims-user.ts";
import type { AuthenticationRules } from "./types.ts";

export interface IssuersInput {
  readonly env: Pick<Env, "clock">;
  readonly oidc?: OidcOptions;
  readonly authentication?: AuthenticationRules;
}

/** Undefined where there are none. Throws OidcConfigError. */
export function createIssuers({ env, oidc, authentication }: IssuersInput): OidcAuthenticator | undefined {
  const programs = new ClaimPrograms();
  const configured = (authentication?.jwt ?? []).map((one) => {
    const { url, discoveryURL, certificateAuthority, audiences } = one.issuer;
    const options = {
      issuerUrl: url,
      audiences,
      algorithms: SIGNING_ALGORITHMS,
      userOf: (claims: object) => claimsUser({ ...claims }, one, programs),
      ...(discoveryURL === undefined ? {} : { discoveryUrl: discoveryURL }),
      ...(certificateAuthority === undefined ? {} : { caPem: certificateAuthority }),
    };
    return createIssuerAuthenticator(options, env.clock);
  });
  const all = [...(oidc === undefined ? [] : [createOidcAuthenticator(oidc, env.clock)]), ...configured];
  return all.length === 0 ? undefined : anyIssuer(all);
}
