// Once a day: marks tokens that live in Secrets and that nobody has used for a year as invalid, and takes those away that were
// marked a year ago. Guarantee: a Secret that has changed since it was looked at stays.
import { SECRETS, type Secret } from "@coxswain/api";
import { INVALID_SINCE_LABEL, TOKEN_TRACKING } from "@coxswain/api/core-v1/secret/legacy-tokens";
import { formatDay, isReason } from "@coxswain/apimachinery";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_NAMESPACE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { planTokenCleanup } from "./plan-cleanup.ts";

const KEY = "secrets";
const PERIOD_MS = 24 * 3_600_000;
const TRACKING = `${TOKEN_TRACKING.namespace}/${TOKEN_TRACKING.name}`;
const DEFAULT_CLEAN_UP_PERIOD_MS = 8_760 * 3_600_000;

export interface TokenCleanerOptions {
  /** How long a token may be unused, and how long marked; a year where unset. */
  readonly legacyTokenCleanUpPeriodMs?: number;
}

export function createLegacyTokenCleaner(
  context: ControllerContext,
  { legacyTokenCleanUpPeriodMs: periodMs = DEFAULT_CLEAN_UP_PERIOD_MS }: TokenCleanerOptions,
): ManagedController {
  const { caches, client, env, informers, logger } = context;
  const secrets = informers.informer<Secret>(SECRETS);

  async function reconcile(): Promise<ReconcileResult> {
    const nowMs = env.clock.now();
    const plan = planTokenCleanup({
      secrets: secrets.lister.list(),
      account: (key) => caches.serviceAccounts.lister.get(key),
      pods: (namespace) => caches.pods.lister.byIndex(BY_NAMESPACE, namespace),
      trackedSince: caches.configMaps.lister.get(TRACKING)?.data?.["since"],
      nowMs,
      periodMs,
    });
    await settleAll([...plan.invalid.map((secret) => invalidate(secret, nowMs)), ...plan.gone.map(remove)]);
    return { requeueAfterMs: PERIOD_MS };
  }

  async function invalidate(secret: Secret, nowMs: number): Promise<void> {
    const { metadata } = secret;
    const labels = { ...metadata?.labels, [INVALID_SINCE_LABEL]: formatDay(nowMs) };
    logger.info({ namespace: metadata?.namespace, name: metadata?.name }, "a token that nobody uses is invalid now");
    await tolerating(client.update(SECRETS, { ...secret, metadata: { ...metadata, labels } }));
  }

  async function remove({ metadata = {} }: Secret): Promise<void> {
    const { namespace, name = "", uid, resourceVersion } = metadata;
    logger.info({ namespace, name }, "a token that nobody uses is deleted");
    await tolerating(client.delete(SECRETS, { namespace, name }, { preconditions: { uid, resourceVersion } }));
  }

  const controller = createController({ name: "legacy-service-account-token-cleaner", reconcile }, context);
  controller.enqueue(KEY);
  return { controller };
}

/** What has changed meanwhile is looked at again tomorrow. */
async function tolerating(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isReason(error, "NotFound", "Conflict")) throw error;
  }
}
