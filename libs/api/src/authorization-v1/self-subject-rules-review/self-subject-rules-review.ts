// SelfSubjectRulesReview: asks what the caller may do in a namespace (`kubectl auth can-i --list`). Never stored.
import { defineDocument } from "../../define-kind.ts";
import { AUTHORIZATION } from "../../groups.ts";
import type { SelfSubjectRulesReview } from "../../types.gen.ts";

export const selfSubjectRulesReviewKind = defineDocument<SelfSubjectRulesReview>({
  group: AUTHORIZATION,
  version: "v1",
  kind: "SelfSubjectRulesReview",
  resource: "selfsubjectrulesreviews",
  namespaced: false,
  schemaName: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
});
