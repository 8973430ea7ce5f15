// How versions of a custom resource become each other. Versions that differ in apiVersion alone are served; conversion by
// webhook is refused by name.
import { childPath, fieldForbidden, fieldNotSupported, fieldRequired, type FieldError } from "@coxswain/apimachinery";
import type { CrdConversion } from "../types.ts";

export function validateConversion(conversion: CrdConversion | undefined, path: string): FieldError[] {
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  const at = childPath(path, "strategy");
  if (!strategy) return [fieldRequired(at, "")];
  if (strategy !== "None") return [fieldNotSupported(at, strategy, ["None"])];
  const errors: FieldError[] = [];
  if (webhook?.clientConfig !== undefined) {
    const detail = "should not be set when strategy is not set to Webhook";
    errors.push(fieldForbidden(childPath(path, "webhookClientConfig"), detail));
  }
  if ((webhook?.conversionReviewVersions ?? []).length > 0) {
    const detail = "should not be set when strategy is not set to Webhook";
    errors.push(fieldForbidden(childPath(path, "conversionReviewVersions"), detail));
  }
  return errors;
}
