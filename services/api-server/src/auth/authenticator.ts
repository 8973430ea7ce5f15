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
  const ofCertificate = (der: Buffer): UserInfo => {
    const user = certificateUser(der);
    if (user === undefined) throw newUnauthorized();
    return user;
  };

  const ofToken = async (token: string): Promise<UserInfo> => {
    try {
      return (await deps.tokens.authenticate(token)).user;
    } catch (error) {
      // A caller learns that the token is no good, and not why.
      throw new StatusError("Unauthorized", 401, "Unauthorized", {}, { cause: error });
    }
  };

  return {
    async authenticate(credentials, path) {
      if (credentials.certificate !== undefined) return ofCertificate(credentials.certificate);
      if (credentials.bearerToken !== undefined) return ofToken(credentials.bearerToken);
      const open = deps.anonymousPaths?.includes(path ?? "") ?? true;
      if (!deps.anonymous || !open) throw newUnauthorized();
      return ANONYMOUS_USER;
    },
  };
}
