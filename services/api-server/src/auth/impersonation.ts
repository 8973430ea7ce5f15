// Acting as somebody else (kubectl --as, --as-group, --as-uid). Guarantees: every impersonated name, group, uid and extra is checked by
// RBAC verb "impersonate" for the real caller; a refusal reads as upstream's 403.
import { newBadRequest } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Asker, AuthorizationAttributes, Authorizer } from "../pipeline/contract.ts";
import { ANONYMOUS_USER, AUTHENTICATED_GROUP } from "./identity.ts";
import { demand } from "./demand.ts";

export interface ImpersonationHeaders {
  readonly user?: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Who acts as a user. */
const callers = new WeakMap<UserInfo, UserInfo>();

/** Who really calls: the user, or the one who acts as them. */
export function realCaller(user: UserInfo): UserInfo {
  return callers.get(user) ?? user;
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/** Almost no request has such a header, and all are asked. */
const mayImpersonate = (text: string): boolean =>
  (text.charCodeAt(0) | 0x20) === 0x69 && text.length >= "impersonate-".length;

/** Undefined where nobody is impersonated. Throws where groups, uid or extra come without a user. */
export function readImpersonation(raw: readonly string[]): ImpersonationHeaders | undefined {
  if (!raw.some(mayImpersonate)) return undefined;
  let user: string | undefined;
  let uid: string | undefined;
  const groups: string[] = [];
  // A Map, because a caller chooses the keys: one of them may be __proto__.
  const extra = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    if (!name.startsWith("impersonate-")) continue;
    const value = raw[i + 1] ?? "";
    if (name === "impersonate-user") user = value;
    else if (name === "impersonate-uid") uid = value;
    else if (name === "impersonate-group") groups.push(value);
    else if (name.startsWith("impersonate-extra-")) {
      const key = decode(name.slice("impersonate-extra-".length));
      extra.set(key, [...(extra.get(key) ?? []), value]);
    }
  }
  const asked = groups.length > 0 || uid !== undefined || extra.size > 0;
  if (user === undefined || user === "") {
    if (!asked) return undefined;
    const wanted = wantedText({ user, uid, groups, extra: Object.fromEntries(extra) });
    throw newBadRequest(`requested ${wanted} without impersonating a user`);
  }
  return { user, uid, groups, extra: Object.fromEntries(extra) };
}

/** Object references as Go prints them: kind, namespace, name, uid, version, resource version and field of each. */
function wantedText({ uid, groups, extra }: ImpersonationHeaders): string {
  const ofTokens = "authentication.k8s.io/v1";
  const references = [
    ...groups.map((group) => ["Group", "", group, "", "", "", ""]),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value) => ["UserExtra", "", value, "", ofTokens, "", key]),
    ),
    ...(uid === undefined ? [] : [["UID", "", uid, "", ofTokens, "", ""]]),
  ];
  return `[${references.map((fields) => `{${fields.join(" ")}}`).join(" ")}]`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Upstream takes a key that is not percent-encoded as it stands.
    return text;
  }
}

function attributesOf(user: UserInfo, group: string, resource: string, rest: Partial<AuthorizationAttributes>) {
  return { user, verb: "impersonate", group, resource, subresource: "", namespace: "", name: "", ...rest };
}

function checksFor(caller: UserInfo, wanted: ImpersonationHeaders): AuthorizationAttributes[] {
  const checks: AuthorizationAttributes[] = [];
  const account = SERVICE_ACCOUNT.exec(wanted.user ?? "");
  if (account === null) checks.push(attributesOf(caller, "", "users", { name: wanted.user ?? "" }));
  else
    checks.push(attributesOf(caller, "", "serviceaccounts", { namespace: account[1] ?? "", name: account[2] ?? "" }));
  for (const name of wanted.groups) checks.push(attributesOf(caller, "", "groups", { name }));
  const authentication = "authentication.k8s.io";
  for (const [key, values] of Object.entries(wanted.extra)) {
    for (const name of values) {
      checks.push(attributesOf(caller, authentication, "userextras", { subresource: key, name }));
    }
  }
  if (wanted.uid !== undefined) checks.push(attributesOf(caller, authentication, "uids", { name: wanted.uid }));
  return checks;
}

/** The user that the request acts as. Rejects with Forbidden where the caller may not. */
export async function impersonate(
  caller: UserInfo,
  wanted: ImpersonationHeaders,
  authorizer: Authorizer,
  asker?: Asker,
): Promise<UserInfo> {
  for (const attributes of checksFor(caller, wanted)) await demand(authorizer, attributes, undefined, asker);
  const username = wanted.user ?? "";
  const account = SERVICE_ACCOUNT.exec(username);
  const groups = [...wanted.groups];
  if (account !== null && groups.length === 0) {
    groups.push("system:serviceaccounts", `system:serviceaccounts:${account[1]}`);
  }
  const implied = username === ANONYMOUS_USER.username ? "system:unauthenticated" : AUTHENTICATED_GROUP;
  if (!groups.includes(implied)) groups.push(implied);
  const acting: UserInfo = {
    username,
    groups,
    ...(wanted.uid === undefined ? {} : { uid: wanted.uid }),
    ...(Object.keys(wanted.extra).length === 0 ? {} : { extra: wanted.extra }),
  };
  callers.set(acting, caller);
  return acting;
}
