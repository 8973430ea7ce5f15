// Notes on which day a token that lives in a Secret was last used, in a label of the Secret; the controller-manager takes away
// what nobody uses. Guarantees: a request never waits for it; a day costs a Secret one write.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner
import { SECRETS, type Secret } from "@coxswain/api";
import { LAST_USED_LABEL } from "@coxswain/api/core-v1/secret/legacy-tokens";
import { formatDay, isReason } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";

const DAY_MS = 86_400_000;
/** Secrets whose day is remembered. */
const MAX_NOTED = 4_096;

/** What the label must say; undefined where it does, or where another api-server's clock has said tomorrow. Pure. */
export function planLastUsed(secret: Secret, nowMs: number): string | undefined {
  const noted = secret.metadata?.labels?.[LAST_USED_LABEL];
  const today = formatDay(nowMs);
  return noted === today || noted === formatDay(nowMs + DAY_MS) ? undefined : today;
}

export interface LegacyTokenUse {
  /** The Secret's token was shown by somebody. */
  used(secret: Secret): void;
}

export interface LegacyTokenUseDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly client: () => ResourceClient;
}

export function createLegacyTokenUse({ clock, logger, client }: LegacyTokenUseDeps): LegacyTokenUse {
  /** By uid: the cache may not have heard of the label yet. */
  const noted = new Map<string, string>();

  async function note(secret: Secret, uid: string, day: string): Promise<void> {
    const { namespace, name = "" } = secret.metadata ?? {};
    const patch = { metadata: { uid, labels: { [LAST_USED_LABEL]: day } } };
    try {
      await client().patch(SECRETS, { namespace, name }, "application/merge-patch+json", patch);
    } catch (error) {
      noted.delete(uid);
      if (isReason(error, "NotFound", "Conflict")) return;
      logger.warn({ namespace, name, error: String(error) }, "the last use of a token could not be noted");
    }
  }

  return {
    used(secret) {
      const uid = secret.metadata?.uid ?? "";
      const day = planLastUsed(secret, clock.now());
      if (day === undefined || noted.get(uid) === day) return;
      if (noted.size >= MAX_NOTED) noted.clear();
      noted.set(uid, day);
      void note(secret, uid, day);
    },
  };
}
