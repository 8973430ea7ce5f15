// The token controller: fills Secrets of type kubernetes.io/service-account-token with a token of their account, the cluster's CA
// and the namespace, and takes them away with the account. Guarantees: a token is written into the version of the Secret that
// was looked at; a Secret goes only when the api-server itself says that its account is not there.
import { SECRETS, SERVICE_ACCOUNTS, type Secret, type ServiceAccount } from "@coxswain/api";
import { isReason, objectKey } from "@coxswain/apimachinery";
import type { LegacyTokenSigner } from "@coxswain/component-base/identity/legacy-tokens";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import {
  ACCOUNT_NAME,
  accountKey,
  isFor,
  isTokenSecret,
  planTokenSecret,
  withoutReference,
  withToken,
} from "./plan.ts";

const WORKERS = 5;
const BY_ACCOUNT = "account";

export function createTokenController(
  context: ControllerContext,
  tokens: LegacyTokenSigner,
  rootCa: string | undefined,
): ManagedController {
  const { caches, client, informers } = context;
  const secrets = informers.informer<Secret>(SECRETS);
  secrets.addIndex(BY_ACCOUNT, (secret) => (isTokenSecret(secret) ? [accountKey(secret)] : []));

  async function reconcile(key: string): Promise<void> {
    const secret = secrets.lister.get(key);
    if (secret === undefined || !isTokenSecret(secret) || secret.metadata?.deletionTimestamp !== undefined) return;
    const account = await accountOf(secret);
    if (!isFor(secret, account)) return remove(secret);
    const plan = planTokenSecret(secret, account, rootCa);
    if (plan === undefined) return;
    await store(plan.needsToken ? withToken(plan.secret, await sign(secret, account)) : plan.secret);
  }

  /** The cache may not have heard of an account that was made a moment ago. */
  async function accountOf(secret: Secret): Promise<ServiceAccount | undefined> {
    const cached = caches.serviceAccounts.lister.get(accountKey(secret));
    if (isFor(secret, cached)) return cached;
    const name = secret.metadata?.annotations?.[ACCOUNT_NAME] ?? "";
    if (name === "") return undefined;
    try {
      return await client.get<ServiceAccount>(SERVICE_ACCOUNTS, { namespace: secret.metadata?.namespace, name });
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  function sign(secret: Secret, { metadata = {} }: ServiceAccount): Promise<string> {
    const { namespace = "", name = "", uid = "" } = metadata;
    return tokens.sign({ namespace, serviceAccount: { name, uid }, secret: secret.metadata?.name ?? "" });
  }

  async function store(secret: Secret): Promise<void> {
    try {
      await client.update(SECRETS, secret);
    } catch (error) {
      // The cache's next change leads back here.
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  async function remove({ metadata = {} }: Secret): Promise<void> {
    const { namespace, name = "", uid } = metadata;
    try {
      await client.delete(SECRETS, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController(
    { name: "serviceaccount-token-controller", workers: WORKERS, reconcile },
    context,
  );
  const enqueue = (secret: Secret): void => {
    if (isTokenSecret(secret)) controller.enqueue(objectKey(secret));
  };
  secrets.addHandler({ add: enqueue, update: enqueue });
  const enqueueOf = (account: ServiceAccount): void => {
    for (const secret of secrets.lister.byIndex(BY_ACCOUNT, objectKey(account))) enqueue(secret);
  };
  caches.serviceAccounts.addHandler({ add: enqueueOf, delete: enqueueOf });
  return { controller };
}

/** Takes references to token Secrets that are gone out of their accounts. */
export function createTokenReferenceController(context: ControllerContext): ManagedController {
  const { client, informers } = context;
  const secrets = informers.informer<Secret>(SECRETS);

  /** `key` is namespace/account/secret. */
  async function reconcile(key: string): Promise<void> {
    const [namespace = "", name = "", secret = ""] = key.split("/");
    if (secrets.lister.get(`${namespace}/${secret}`) !== undefined) return;
    try {
      const account = await client.get<ServiceAccount>(SERVICE_ACCOUNTS, { namespace, name });
      const next = withoutReference(account, secret);
      if (next !== undefined) await client.update(SERVICE_ACCOUNTS, next);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  const controller = createController({ name: "serviceaccount-token-references", reconcile }, context);
  secrets.addHandler({
    delete(secret) {
      if (isTokenSecret(secret)) controller.enqueue(`${accountKey(secret)}/${secret.metadata?.name ?? ""}`);
    },
  });
  return { controller };
}
