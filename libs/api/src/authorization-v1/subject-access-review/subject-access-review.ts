// SubjectAccessReview: asks whether somebody may do something. Answered, never stored.
import { defineDocument } from "../../define-kind.ts";
import { AUTHORIZATION } from "../../groups.ts";
import type { SubjectAccessReview } from "../../types.gen.ts";
import { validateAttributes, validateEmptyMeta, validateSubject } from "../review-spec.ts";

export const subjectAccessReviewKind = defineDocument<SubjectAccessReview>({
  group: AUTHORIZATION,
  version: "v1",
  kind: "SubjectAccessReview",
  resource: "subjectaccessreviews",
  namespaced: false,
  schemaName: "io.k8s.api.authorization.v1.SubjectAccessReview",
  validateCreate: (review) => [
    ...validateAttributes(review.spec ?? {}),
    ...validateSubject(review.spec ?? {}),
    ...validateEmptyMeta(review.metadata, "must be empty"),
  ],
});
