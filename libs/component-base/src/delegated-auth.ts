// Who may call a process that is not the api-server: certificates of the cluster's CA prove a user by themselves, tokens are
// reviewed by the api-server; cluster masters may call everything, others what a SubjectAccessReview allows.
import type { Clock } from "@coxswain/env";
import type { UserInfo } from "./contract.ts";
import { certificateUser, type AccessRequest, type Authenticate, type Authorize } from "./credentials.ts";

export interface AuthHook {
  readonly authenticate: Authenticate;
  readonly authorize: Authorize;
}

export interface Reviews {
  /** TokenReview: the token's user, undefined where it proves none. Absent: no token is accepted. */
  reviewToken?(token: string): Promise<UserInfo | undefined>;
  /** SubjectAccessReview of a path or a resource. Absent: masters only. */
  reviewAccess?(
    user: UserInfo,
    request: AccessRequest,
  ): Promise<{ readonly allowed: boolean; readonly reason?: string }>;
}

/** Positive answers are believed this long, as upstream's delegated authenticators do. */
const CACHE_MS = 10_000;
const CACHE_SIZE = 1_000;

function cached<T>(clock: Clock, load: (key: string) => Promise<T>, keep: (value: T) => boolean) {
  const entries = new Map<string, { readonly value: T; readonly untilMs: number }>();
  return async (key: string): Promise<T> => {
    const known = entries.get(key);
    if (known !== undefined && known.untilMs > clock.monotonic()) return known.value;
    entries.delete(key);
    const value = await load(key);
    if (keep(value)) {
      const [oldest] = entries.keys();
      if (entries.size >= CACHE_SIZE && oldest !== undefined) entries.delete(oldest);
      entries.set(key, { value, untilMs: clock.monotonic() + CACHE_MS });
    }
    return value;
  };
}

export function createDelegatedAuth(clock: Clock, reviews: Reviews = {}): AuthHook {
  const tokenUser = cached(
    clock,
    async (token) => reviews.reviewToken?.(token),
    (user) => user !== undefined,
  );
  return {
    authenticate: (credentials) => {
      if (credentials.certificate !== undefined) return certificateUser(credentials.certificate);
      return credentials.bearerToken === undefined ? undefined : tokenUser(credentials.bearerToken);
    },
    authorize: async (user, request) => {
      if (user.groups.includes("system:masters")) return { allowed: true };
      return (await reviews.reviewAccess?.(user, request)) ?? { allowed: false };
    },
  };
}
