// SelfSubjectReview: asks who the caller is (`kubectl auth whoami`). Answered, never stored.
import { defineDocument } from "../../define-kind.ts";
import { AUTHENTICATION } from "../../groups.ts";
import type { SelfSubjectReview } from "../../types.gen.ts";

export const selfSubjectReviewKind = defineDocument<SelfSubjectReview>({
  group: AUTHENTICATION,
  version: "v1",
  kind: "SelfSubjectReview",
  resource: "selfsubjectreviews",
  namespaced: false,
  schemaName: "io.k8s.api.authentication.v1.SelfSubjectReview",
});
