// LocalSubjectAccessReview: asks whether somebody may do something in one namespace. Answered, never stored.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid } from "@coxswain/apimachinery";
import { defineDocument } from "../../define-kind.ts";
import { AUTHORIZATION } from "../../groups.ts";
import type { LocalSubjectAccessReview } from "../../types.gen.ts";
import { validateAttributes, validateEmptyMeta, validateSubject } from "../review-spec.ts";

function validateNamespace(review: LocalSubjectAccessReview): FieldError[] {
  const errors: FieldError[] = [];
  const { resourceAttributes, nonResourceAttributes } = review.spec ?? {};
  const asked = resourceAttributes?.namespace ?? "";
  if (resourceAttributes && asked !== (review.metadata?.namespace ?? "")) {
    errors.push(fieldInvalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace"));
  }
  if (nonResourceAttributes) {
    const detail = "disallowed on this kind of request";
    errors.push(fieldInvalid("spec.nonResourceAttributes", nonResourceAttributes, detail));
  }
  return errors;
}

export const localSubjectAccessReviewKind = defineDocument<LocalSubjectAccessReview>({
  group: AUTHORIZATION,
  version: "v1",
  kind: "LocalSubjectAccessReview",
  resource: "localsubjectaccessreviews",
  namespaced: true,
  schemaName: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
  validateCreate: (review) => [
    ...validateAttributes(review.spec ?? {}),
    ...validateSubject(review.spec ?? {}),
    ...validateEmptyMeta(review.metadata, "must be empty except for namespace", "namespace"),
    ...validateNamespace(review),
  ],
});
