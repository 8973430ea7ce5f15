// Delegated authentication and authorization: a process that is not the api-server asks it whose token a token is
// (TokenReview) and what a user may call (SubjectAccessReview). Guarantees:
// - An answer is believed for ten seconds at most, a refusal like a permission; then the api-server is asked again.
// - A review that failed is never kept and never counts as an answer: the caller gets the error.
// - Callers that ask the same at the same time share one request.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
import { SUBJECT_ACCESS_REVIEWS, type SubjectAccessReview, type TokenReview } from "@coxswain/api";
import { RecentMap, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { AccessRequest } from "@coxswain/component-base/credentials";
import type { Clock } from "@coxswain/env";
import type { ResourceClient } from "./resource-client.ts";

/** The shape that component-base's createDelegatedAuth takes. */
export interface DelegatedReviews {
  /** The token's user; undefined where it proves none. Rejects where the api-server gave no answer. */
  reviewToken(token: string): Promise<UserInfo | undefined>;
  /** May the user call a path, or do something to a resource? Rejects where the api-server gave no answer. */
  reviewAccess(
    user: UserInfo,
    request: AccessRequest,
  ): Promise<{ readonly allowed: boolean; readonly reason?: string }>;
}

const TOKEN_REVIEWS: ResourceRef = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };
const BELIEVED_MS = 10_000;
const CACHE_SIZE = 1_000;

interface Answer<T> {
  readonly value: Promise<T>;
  readonly untilMs: number;
}

/** Remembers answers by key for BELIEVED_MS from the moment of the question; those not asked for make way. */
function remembering<T>(clock: Clock): (key: string, ask: () => Promise<T>) => Promise<T> {
  const answers = new RecentMap<string, Answer<T>>(CACHE_SIZE);
  return (key, ask) => {
    const known = answers.get(key);
    if (known !== undefined && known.untilMs > clock.monotonic()) return known.value;
    const forget = (): void => {
      if (answers.get(key) === answer) answers.delete(key);
    };
    const value = ask().catch((error: unknown) => {
      forget();
      throw error;
    });
    const answer = { value, untilMs: clock.monotonic() + BELIEVED_MS };
    answers.set(key, answer);
    return value;
  };
}

function userOf(review: TokenReview): UserInfo | undefined {
  const { authenticated, user } = review.status ?? {};
  if (authenticated !== true || user?.username === undefined || user.username === "") return undefined;
  return {
    username: user.username,
    groups: user.groups ?? [],
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
}

function attributesOf({ verb, path, resource }: AccessRequest): Partial<SubjectAccessReview["spec"]> {
  if (resource === undefined) return { nonResourceAttributes: { verb, path } };
  return { resourceAttributes: { ...resource, verb } };
}

function accessReview(user: UserInfo, request: AccessRequest): SubjectAccessReview {
  const extra = Object.entries(user.extra ?? {}).map(([name, values]): [string, string[]] => [name, [...values]]);
  return {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    spec: {
      user: user.username,
      groups: [...user.groups],
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
      ...attributesOf(request),
    },
  };
}

/** The callbacks of createDelegatedAuth, answered through `client`; its identity may create both kinds of review. */
export function createDelegatedReviews(client: Pick<ResourceClient, "create">, clock: Clock): DelegatedReviews {
  const tokens = remembering<UserInfo | undefined>(clock);
  const accesses = remembering<{ readonly allowed: boolean; readonly reason?: string }>(clock);
  return {
    reviewToken: (token) =>
      tokens(token, async () => {
        const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } } as KubeObject;
        return userOf((await client.create(TOKEN_REVIEWS, review)) as KubeObject & TokenReview);
      }),
    reviewAccess: (user, request) =>
      accesses(JSON.stringify([user, request]), async () => {
        const review = accessReview(user, request) as KubeObject;
        const { status } = (await client.create(SUBJECT_ACCESS_REVIEWS, review)) as KubeObject & SubjectAccessReview;
        if (status?.allowed === true) return { allowed: true };
        return { allowed: false, ...(status?.reason ? { reason: status.reason } : {}) };
      }),
  };
}
