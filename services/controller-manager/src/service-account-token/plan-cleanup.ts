// Which tokens that live in Secrets nobody needs any more. Pure. Guarantee: only those go that were made for an account by the
// cluster itself, that no pod mounts, and that have been neither made, used nor marked within the period.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner
import type { Pod, Secret, ServiceAccount } from "@coxswain/api";
import { podReferences } from "@coxswain/api/core-v1/pod/references";
import { INVALID_SINCE_LABEL, LAST_USED_LABEL } from "@coxswain/api/core-v1/secret/legacy-tokens";
import { formatDay, isDay } from "@coxswain/apimachinery";
import { accountKey, isFor, isTokenSecret } from "./plan.ts";

const DAY_MS = 86_400_000;

export interface TokenCleanup {
  /** To be marked as invalid, today. */
  readonly invalid: readonly Secret[];
  /** Marked long ago. */
  readonly gone: readonly Secret[];
}

export interface CleanupFacts {
  readonly secrets: readonly Secret[];
  /** By namespace/name. */
  readonly account: (key: string) => ServiceAccount | undefined;
  readonly pods: (namespace: string) => readonly Pod[];
  /** The day since when use is noted; anything else: nobody knows. */
  readonly trackedSince: string | undefined;
  readonly nowMs: number;
  readonly periodMs: number;
}

/** `trackedSince` counts from the day after. */
function trackedLongEnough({ trackedSince, nowMs, periodMs }: CleanupFacts): boolean {
  if (trackedSince === undefined || !isDay(trackedSince)) return false;
  return nowMs >= Date.parse(trackedSince) + DAY_MS + periodMs;
}

/** True where the Secret may be of use: made or used of late, of no account, not the account's own, or on its way out. */
function mayBeUsed(secret: Secret, { account, nowMs, periodMs }: CleanupFacts): boolean {
  const { creationTimestamp, deletionTimestamp, labels = {}, name = "" } = secret.metadata ?? {};
  if (deletionTimestamp !== undefined || !(Date.parse(creationTimestamp ?? "") < nowMs - periodMs)) return true;
  const used = labels[LAST_USED_LABEL];
  if (used !== undefined && (!isDay(used) || used >= formatDay(nowMs - periodMs))) return true;
  const owner = account(accountKey(secret));
  return !isFor(secret, owner) || !(owner.secrets ?? []).some((reference) => reference.name === name);
}

export function planTokenCleanup(facts: CleanupFacts): TokenCleanup {
  const invalid: Secret[] = [];
  const gone: Secret[] = [];
  if (!trackedLongEnough(facts)) return { invalid, gone };
  const mounted = new Map<string, ReadonlySet<string>>();
  const mountedIn = (namespace: string): ReadonlySet<string> => {
    const known =
      mounted.get(namespace) ?? new Set(facts.pods(namespace).flatMap((pod) => [...podReferences(pod).secrets]));
    mounted.set(namespace, known);
    return known;
  };
  for (const secret of facts.secrets) {
    if (!isTokenSecret(secret) || mayBeUsed(secret, facts)) continue;
    const { namespace = "", name = "", labels = {} } = secret.metadata ?? {};
    if (mountedIn(namespace).has(name)) continue;
    const since = labels[INVALID_SINCE_LABEL] ?? "";
    if (!isDay(since)) invalid.push(secret);
    else if (since < formatDay(facts.nowMs - facts.periodMs)) gone.push(secret);
  }
  return { invalid, gone };
}
