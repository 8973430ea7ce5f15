// The users and groups that the api-server itself gives out or acts as.
import type { UserInfo } from "@coxswain/component-base";

export const AUTHENTICATED_GROUP = "system:authenticated";

/** What the api-server does on its own account. */
export const API_SERVER_USER: UserInfo = {
  username: "system:apiserver",
  groups: ["system:masters", AUTHENTICATED_GROUP],
};

export const ANONYMOUS_USER: UserInfo = { username: "system:anonymous", groups: ["system:unauthenticated"] };

export const serviceAccountName = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`;

/** The user behind a service account. */
export function serviceAccountUser(
  namespace: string,
  name: string,
  uid: string,
  extra?: Readonly<Record<string, readonly string[]>>,
): UserInfo {
  return {
    username: serviceAccountName(namespace, name),
    uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, AUTHENTICATED_GROUP],
    ...(extra === undefined ? {} : { extra }),
  };
}
