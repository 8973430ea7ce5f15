// Who may call a process that is not the api-server: certificates of the cluster's CA prove a user by themselves, tokens are
// reviewed by the api-server; cluster masters may call everything, others what a SubjectAccessReview allows.
import type { UserInfo } from "./contract.ts";
import { certificateUser, type AccessRequest, type Authenticate, type Authorize } from "./credentials.ts";

export interface AuthHook {
  readonly authenticate: Authenticate;
  readonly authorize: Authorize;
}

/** Answers of the api-server; whoever gives them remembers them for a while. */
export interface Reviews {
  /** TokenReview: the token's user, undefined where it proves none. Absent: no token is accepted. */
  reviewToken?(token: string): Promise<UserInfo | undefined>;
  /** SubjectAccessReview of a path or a resource. Absent: masters only. */
  reviewAccess?(
    user: UserInfo,
    request: AccessRequest,
  ): Promise<{ readonly allowed: boolean; readonly reason?: string }>;
}

export function createDelegatedAuth(reviews: Reviews = {}): AuthHook {
  return {
    authenticate: (credentials) => {
      if (credentials.certificate !== undefined) return certificateUser(credentials.certificate);
      return credentials.bearerToken === undefined ? undefined : reviews.reviewToken?.(credentials.bearerToken);
    },
    authorize: async (user, request) => {
      if (user.groups.includes("system:masters")) return { allowed: true };
      return (await reviews.reviewAccess?.(user, request)) ?? { allowed: false };
    },
  };
}
