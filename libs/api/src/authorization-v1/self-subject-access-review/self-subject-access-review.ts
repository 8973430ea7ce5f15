// SelfSubjectAccessReview: asks whether the caller may do something (`kubectl auth can-i`). Answered, never stored.
import { defineDocument } from "../../define-kind.ts";
import { AUTHORIZATION } from "../../groups.ts";
import type { SelfSubjectAccessReview } from "../../types.gen.ts";
import { validateAttributes, validateEmptyMeta } from "../review-spec.ts";

export const selfSubjectAccessReviewKind = defineDocument<SelfSubjectAccessReview>({
  group: AUTHORIZATION,
  version: "v1",
  kind: "SelfSubjectAccessReview",
  resource: "selfsubjectaccessreviews",
  namespaced: false,
  schemaName: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
  validateCreate: (review) => [
    ...validateAttributes(review.spec ?? {}),
    ...validateEmptyMeta(review.metadata, "must be empty"),
  ],
});
