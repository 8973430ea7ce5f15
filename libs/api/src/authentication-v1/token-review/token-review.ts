// TokenReview: asks whose token a token is. Answered, never stored.
import { defineDocument } from "../../define-kind.ts";
import { AUTHENTICATION } from "../../groups.ts";
import type { TokenReview } from "../../types.gen.ts";

export const tokenReviewKind = defineDocument<TokenReview>({
  group: AUTHENTICATION,
  version: "v1",
  kind: "TokenReview",
  resource: "tokenreviews",
  namespaced: false,
  schemaName: "io.k8s.api.authentication.v1.TokenReview",
});
