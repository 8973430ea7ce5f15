// All of authentication and authorization of one api-server, in the two halves that its making needs: what the pipeline
// takes (extensions), and what the fronts take (authenticator, authorizer). Both halves share one view of the cache.
import { noMetrics, type Logger, type Metrics } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { Authenticator, Authorizer } from "../pipeline/contract.ts";
import type { ObjectSource, PipelineExtensions } from "../pipeline/extension.ts";
import { createAuthenticator } from "./authenticator.ts";
import { createChain, type LastingLinks } from "./authorization-config/links.ts";
import { AuthorizationMetrics } from "./authorization-config/metrics.ts";
import { DEFAULT_AUTHORIZERS, type AuthorizerSettings } from "./authorization-config/types.ts";
import type { AuthorizerChain, RuleResolver } from "./authorizer-chain.ts";
import { createNodeAuthorizer } from "./node-authorizer.ts";
import type { Rbac } from "./rbac-source.ts";
import { createRbac } from "./rbac-source.ts";
import { createReviews } from "./reviews.ts";
import { createTokenIssuer } from "./service-account-tokens.ts";
import type { LegacyTokenUse } from "./legacy-token-use.ts";
import type { OidcAuthenticator } from "./oidc.ts";
import type { StaticTokens } from "./static-tokens.ts";
import { createTokenAuthenticator } from "./token-authenticator.ts";

export interface Security {
  readonly extensions: PipelineExtensions;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer & RuleResolver;
  /** Other authorizers from now on. Throws where a kubeconfig is no good: then nothing has changed. */
  reauthorize(authorizers: readonly AuthorizerSettings[]): void;
  /** Brings the metrics up to date. */
  measure(): void;
  /** Ends the connections to authorizers outside. */
  close(): void;
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
  readonly staticTokens?: StaticTokens;
  readonly oidc?: OidcAuthenticator;
  readonly legacyTokens?: LegacyTokenUse;
  /** Node and RBAC where unset. */
  readonly authorizers?: readonly AuthorizerSettings[];
  readonly logger: Logger;
  readonly metrics?: Metrics;
}

interface Bound {
  readonly source: ObjectSource;
  readonly rbac: Rbac;
  readonly lasting: LastingLinks;
  chain: AuthorizerChain;
}

/** The fronts' half works once the pipeline has been made with `extensions`. */
export function createSecurity(deps: SecurityDeps): Security {
  const { keys, env, logger, oidc } = deps;
  const metrics = new AuthorizationMetrics(deps.metrics ?? noMetrics);
  const outside = { env, logger, metrics };
  let bound: Bound | undefined;
  const bind = (source: ObjectSource): Bound => {
    if (bound?.source !== source) {
      const rbac = createRbac(source);
      const lasting = { Node: createNodeAuthorizer(source), RBAC: rbac.link };
      bound = { source, rbac, lasting, chain: createChain(deps.authorizers ?? DEFAULT_AUTHORIZERS, lasting, outside) };
    }
    return bound;
  };
  const current = (): Bound => {
    if (bound === undefined) throw new Error("the pipeline was not made with these extensions");
    return bound;
  };
  const source = (): ObjectSource => current().source;
  const authorizer: Authorizer & RuleResolver = {
    authorize: (attributes, asker) => current().chain.authorize(attributes, asker),
    rulesFor: (user, namespace) => current().chain.rulesFor(user, namespace),
  };
  const tokens = createTokenAuthenticator({
    keys,
    source,
    clock: env.clock,
    bootstrapTokens: deps.bootstrapTokens ?? true,
    ...(deps.staticTokens === undefined ? {} : { staticTokens: deps.staticTokens }),
    ...(oidc === undefined ? {} : { oidc }),
    ...(deps.legacyTokens === undefined ? {} : { legacyTokens: deps.legacyTokens }),
  });
  return {
    extensions: {
      authorizer: (given) => {
        bind(given);
        return authorizer;
      },
      admission: (given) => [bind(given).rbac.escalationPlugin(authorizer)],
      review: createReviews({ authorizer, tokens }),
      issueToken: createTokenIssuer({ keys, source, clock: env.clock }),
    },
    authenticator: createAuthenticator({
      tokens,
      anonymous: deps.anonymous,
      ...(deps.anonymousPaths === undefined ? {} : { anonymousPaths: deps.anonymousPaths }),
    }),
    authorizer,
    reauthorize(authorizers) {
      const before = current();
      const next = createChain(authorizers, before.lasting, outside);
      metrics.count(before.chain.counts);
      // Connections of the one before are not ended: who is asking goes on, and idle ones end by themselves.
      before.chain = next;
    },
    measure: () => metrics.count(bound?.chain.counts ?? []),
    close: () => bound?.chain.close(),
  };
}
