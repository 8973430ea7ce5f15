// Who is calling. Guarantees: a verified client certificate counts before a token; credentials that are present and bad
// are refused, never taken as anonymous; everybody who proved an identity is in system:authenticated.
import { StatusError, isReason, newUnauthorized } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { certificateUser } from "@coxswain/component-base/credentials";
import type { TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { Authenticator } from "../pipeline/contract.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import { ANONYMOUS_USER } from "./identity.ts";
import { userOfClaims } from "./service-account-tokens.ts";

export interface AuthenticatorDeps {
  readonly keys: TokenSigner;
  readonly source: () => ObjectSource;
  /** False refuses requests without credentials. */
  readonly anonymous: boolean;
}

export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const ofCertificate = (der: Buffer): UserInfo => {
    const user = certificateUser(der);
    if (user === undefined) throw newUnauthorized();
    return user;
  };

  const ofToken = async (token: string): Promise<UserInfo> => {
    try {
      return userOfClaims(await deps.keys.verify(token), deps.source());
    } catch (error) {
      if (isReason(error, "Unauthorized")) throw error;
      throw new StatusError("Unauthorized", 401, "Unauthorized", {}, { cause: error });
    }
  };

  return {
    async authenticate(credentials) {
      if (credentials.certificate !== undefined) return ofCertificate(credentials.certificate);
      if (credentials.bearerToken !== undefined) return ofToken(credentials.bearerToken);
      if (!deps.anonymous) throw newUnauthorized();
      return ANONYMOUS_USER;
    },
  };
}
