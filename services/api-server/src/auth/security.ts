// All of authentication and authorization of one api-server, in the two halves that its making needs: what the pipeline
// takes (extensions), and what the fronts take (authenticator, authorizer). Both halves share one view of the cache.
import type { Env } from "@coxswain/env";
import type { TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { Authenticator } from "../pipeline/contract.ts";
import type { ObjectSource, PipelineExtensions } from "../pipeline/extension.ts";
import { createAuthenticator } from "./authenticator.ts";
import { createNodeAuthorizer } from "./node-authorizer.ts";
import type { RbacAuthorizer } from "./rbac-authorizer.ts";
import type { Rbac } from "./rbac-source.ts";
import { createRbac } from "./rbac-source.ts";
import { createReviews } from "./reviews.ts";
import { createTokenIssuer } from "./service-account-tokens.ts";
import type { LegacyTokenUse } from "./legacy-token-use.ts";
import type { OidcAuthenticator } from "./oidc.ts";
import { createTokenAuthenticator } from "./token-authenticator.ts";

export interface Security {
  readonly extensions: PipelineExtensions;
  readonly authenticator: Authenticator;
  readonly authorizer: RbacAuthorizer;
}

export interface SecurityDeps {
  readonly env: Env;
  readonly keys: TokenSigner;
  /** False refuses callers without credentials. */
  readonly anonymous: boolean;
  /** The only paths that callers without credentials reach; absent: all. */
  readonly anonymousPaths?: readonly string[];
  /** True where unset. */
  readonly bootstrapTokens?: boolean;
  readonly oidc?: OidcAuthenticator;
  readonly legacyTokens?: LegacyTokenUse;
}

/** The fronts' half works once the pipeline has been made with `extensions`. */
export function createSecurity(deps: SecurityDeps): Security {
  let bound: { source: ObjectSource; rbac: Rbac } | undefined;
  const bind = (source: ObjectSource): Rbac => {
    if (bound?.source !== source) {
      const rbac = createRbac(source);
      bound = { source, rbac: { ...rbac, authorizer: createNodeAuthorizer(source, rbac.authorizer) } };
    }
    return bound.rbac;
  };
  const current = (): { source: ObjectSource; rbac: Rbac } => {
    if (bound === undefined) throw new Error("the pipeline was not made with these extensions");
    return bound;
  };
  const source = (): ObjectSource => current().source;
  const authorizer: RbacAuthorizer = {
    authorize: (attributes) => current().rbac.authorizer.authorize(attributes),
    rulesFor: (user, namespace) => current().rbac.authorizer.rulesFor(user, namespace),
  };
  const { keys, env, oidc } = deps;
  const tokens = createTokenAuthenticator({
    keys,
    source,
    clock: env.clock,
    bootstrapTokens: deps.bootstrapTokens ?? true,
    ...(oidc === undefined ? {} : { oidc }),
    ...(deps.legacyTokens === undefined ? {} : { legacyTokens: deps.legacyTokens }),
  });
  return {
    extensions: {
      authorizer: (given) => bind(given).authorizer,
      admission: (given) => [bind(given).escalationPlugin],
      review: createReviews({ authorizer: () => authorizer, tokens }),
      issueToken: createTokenIssuer({ keys, source, clock: env.clock }),
    },
    authenticator: createAuthenticator({
      tokens,
      anonymous: deps.anonymous,
      ...(deps.anonymousPaths === undefined ? {} : { anonymousPaths: deps.anonymousPaths }),
    }),
    authorizer,
  };
}
