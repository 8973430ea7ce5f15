// How versions of a custom resource become each other: they differ in apiVersion alone (None), or a webhook is asked.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1035Label,
  type FieldError,
} from "@coxswain/apimachinery";
import { validateClientConfig } from "../../admissionregistration-v1/webhooks.ts";
import { caBundleError } from "../../certificates.ts";
import type { CrdSpec, WebhookConversion } from "../types.ts";

/** Versions of ConversionReview. */
export const REVIEW_VERSIONS: readonly string[] = ["v1", "v1beta1"];

/**
 * What is wrong with the bundle of the conversion's webhook. New definitions may have any, and are not established with it; those
 * that are established may keep a wrong one.
 */
export function validateConversionBundle({ conversion }: CrdSpec): FieldError[] {
  const { caBundle = "" } = conversion?.webhook?.clientConfig ?? {};
  const wrong = caBundle === "" ? undefined : caBundleError(caBundle);
  return wrong === undefined ? [] : [fieldInvalid("spec.conversion.webhookClientConfig.caBundle", caBundle, wrong)];
}

export function validateConversion({ conversion, preserveUnknownFields }: CrdSpec, path: string): FieldError[] {
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  const at = childPath(path, "strategy");
  if (!strategy) return [fieldRequired(at, "")];
  if (strategy === "None") return validateNoWebhook(webhook, path);
  if (strategy !== "Webhook") return [fieldNotSupported(at, strategy, ["None", "Webhook"])];
  const detail = "must be None if spec.preserveUnknownFields is true";
  const preserved = preserveUnknownFields === true ? [fieldInvalid(at, strategy, detail)] : [];
  return [...preserved, ...validateWebhook(webhook, path)];
}

/** The paths are those of upstream's internal type, as its messages have them. */
function validateNoWebhook(webhook: WebhookConversion | undefined, path: string): FieldError[] {
  const detail = "should not be set when strategy is not set to Webhook";
  const errors: FieldError[] = [];
  if (webhook?.clientConfig !== undefined) errors.push(fieldForbidden(childPath(path, "webhookClientConfig"), detail));
  if ((webhook?.conversionReviewVersions ?? []).length > 0) {
    errors.push(fieldForbidden(childPath(path, "conversionReviewVersions"), detail));
  }
  return errors;
}

function validateWebhook(webhook: WebhookConversion | undefined, path: string): FieldError[] {
  const at = childPath(path, "webhookClientConfig");
  const { clientConfig, conversionReviewVersions = [] } = webhook ?? {};
  return [
    ...(clientConfig === undefined
      ? [fieldRequired(at, "required when strategy is set to Webhook")]
      : validateClientConfig(clientConfig, at)),
    ...validateReviewVersions(conversionReviewVersions, childPath(path, "conversionReviewVersions")),
  ];
}

function validateReviewVersions(versions: readonly string[], path: string): FieldError[] {
  if (versions.length === 0) return [fieldRequired(path, "")];
  const errors = versions.flatMap((version, index) => {
    const at = indexPath(path, index);
    if (versions.indexOf(version) < index) return [fieldInvalid(at, version, "duplicate version")];
    const wrong = validateDns1035Label(version);
    return wrong.length === 0 ? [] : [fieldInvalid(at, version, wrong.join(","))];
  });
  if (versions.some((version) => REVIEW_VERSIONS.includes(version))) return errors;
  return [...errors, fieldInvalid(path, versions, `must include at least one of ${REVIEW_VERSIONS.join(", ")}`)];
}
