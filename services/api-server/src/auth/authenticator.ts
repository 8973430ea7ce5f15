// Who is calling. Guarantees: a verified client certificate counts before a token; credentials that are present and bad
// are refused, never taken as anonymous; everybody who proved an identity is in system:authenticated.
import { StatusError, newUnauthorized } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { certificateUser } from "@coxswain/component-base/credentials";
import type { Authenticator } from "../pipeline/contract.ts";
import { ANONYMOUS_USER } from "./identity.ts";
import type { TokenAuthenticator } from "./token-authenticator.ts";

export interface AuthenticatorDeps {
  readonly tokens: TokenAuthenticator;
  /** False refuses requests without credentials. */
  readonly anonymous: boolean;
  /** The only paths that such requests reach; absent: all. */
  readonly anonymousPaths?: readonly string[];
}

export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const ofToken = async (token: string): Promise<UserInfo> => {
    try {
      return (await deps.tokens.authenticate(token)).user;
    } catch (error) {
      // A caller learns that the token is no good, and not why.
      throw new StatusError("Unauthorized", 401, "Unauthorized", {}, { cause: error });
    }
  };

  return {
    authenticate({ certificate, bearerToken }, path) {
      if (certificate !== undefined) return certificateUser(certificate) ?? Promise.reject(newUnauthorized());
      if (bearerToken !== undefined) return ofToken(bearerToken);
      const open = deps.anonymousPaths?.includes(path ?? "") ?? true;
      return deps.anonymous && open ? ANONYMOUS_USER : Promise.reject(newUnauthorized());
    },
  };
}
