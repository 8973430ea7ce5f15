// Makes authorizers of what a configuration says of them.
import { alwaysAllow, alwaysDeny, AuthorizerChain, type ChainLink } from "../authorizer-chain.ts";
import type { AuthorizerSettings, BuiltInType } from "./types.ts";
import { createWebhookAuthorizer, type WebhookDeps } from "./webhook.ts";

/** Those that outlive a change of the configuration. */
export type LastingLinks = Readonly<Record<"Node" | "RBAC", ChainLink>>;

/** @throws KubeconfigError, and Error where a kubeconfig cannot be read */
export function createChain(
  settings: readonly AuthorizerSettings[],
  lasting: LastingLinks,
  deps: WebhookDeps,
): AuthorizerChain {
  const builtIn: Readonly<Record<BuiltInType, ChainLink>> = {
    ...lasting,
    AlwaysAllow: alwaysAllow,
    AlwaysDeny: alwaysDeny,
  };
  return new AuthorizerChain(
    settings.map((each) =>
      each.type === "Webhook" ? createWebhookAuthorizer(deps, each.name, each.webhook) : builtIn[each.type],
    ),
  );
}
