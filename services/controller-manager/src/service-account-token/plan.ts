// What a Secret of type kubernetes.io/service-account-token needs. Pure.
import type { Secret, ServiceAccount } from "@coxswain/api";

export const TOKEN_SECRET = "kubernetes.io/service-account-token";
export const ACCOUNT_NAME = "kubernetes.io/service-account.name";
export const ACCOUNT_UID = "kubernetes.io/service-account.uid";

export const isTokenSecret = (secret: Secret): boolean => secret.type === TOKEN_SECRET;

/** namespace/name of the account that the Secret is for. */
export function accountKey({ metadata }: Secret): string {
  return `${metadata?.namespace ?? ""}/${metadata?.annotations?.[ACCOUNT_NAME] ?? ""}`;
}

/** True where the Secret is for this very account; one that names no uid is for whoever has the name. */
export function isFor(secret: Secret, account: ServiceAccount | undefined): account is ServiceAccount {
  const uid = secret.metadata?.annotations?.[ACCOUNT_UID];
  return account !== undefined && (!uid || uid === account.metadata?.uid);
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** The Secret with all that it lacks, besides a token; undefined where it lacks nothing at all. `rootCa` is PEM. */
export function planTokenSecret(
  secret: Secret,
  account: ServiceAccount,
  rootCa: string | undefined,
): { readonly secret: Secret; readonly needsToken: boolean } | undefined {
  const { name = "", uid = "" } = account.metadata ?? {};
  const { annotations = {} } = secret.metadata ?? {};
  const data = { ...secret.data };
  const needsToken = !data["token"];
  const needsCa = rootCa !== undefined && data["ca.crt"] !== base64(rootCa);
  const needsNamespace = !data["namespace"];
  const annotated = annotations[ACCOUNT_NAME] === name && annotations[ACCOUNT_UID] === uid;
  if (!needsToken && !needsCa && !needsNamespace && annotated) return undefined;
  if (needsCa) data["ca.crt"] = base64(rootCa);
  if (needsNamespace) data["namespace"] = base64(secret.metadata?.namespace ?? "");
  return {
    secret: {
      ...secret,
      metadata: { ...secret.metadata, annotations: { ...annotations, [ACCOUNT_NAME]: name, [ACCOUNT_UID]: uid } },
      data,
    },
    needsToken,
  };
}

export const withToken = (secret: Secret, token: string): Secret => ({
  ...secret,
  data: { ...secret.data, token: base64(token) },
});

/** The account without its reference to a Secret that is gone; undefined where it has none. */
export function withoutReference(account: ServiceAccount, secret: string): ServiceAccount | undefined {
  const secrets = account.secrets ?? [];
  const left = secrets.filter(({ name }) => name !== secret);
  if (left.length === secrets.length) return undefined;
  return { ...account, secrets: left };
}
