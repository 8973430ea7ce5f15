// The webhooks of both configurations: their defaults and rules.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type { MutatingWebhook, ValidatingWebhook, WebhookClientConfig } from "../types.gen.ts";
import { validatePort } from "../validation/numbers.ts";
import {
  FAILURE_POLICIES,
  setMatchingDefaults,
  setRuleDefaults,
  validateMatchConditions,
  validateMatching,
  validateRule,
} from "./matching.ts";
import { conditionIssue } from "./policy-expressions.ts";

type Webhook = ValidatingWebhook & Pick<MutatingWebhook, "reinvocationPolicy">;
const SIDE_EFFECTS = ["None", "NoneOnDryRun"];

export function setWebhookDefaults(webhook: Webhook): void {
  webhook.failurePolicy ??= "Fail";
  setMatchingDefaults(webhook);
  webhook.timeoutSeconds ??= 10;
  setRuleDefaults(webhook.rules);
  const service = webhook.clientConfig?.service;
  if (service) service.port ??= 443;
}

export function validateClientConfig(config: WebhookClientConfig | undefined, path: string): FieldError[] {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined)) {
    return [fieldRequired(path, "exactly one of url or service is required")];
  }
  if (url !== undefined) {
    const at = childPath(path, "url");
    const wrong = (detail: string) => [fieldInvalid(at, url, detail)];
    if (!URL.canParse(url)) return [fieldRequired(at, "url must be a valid URL")];
    const parsed = new URL(url);
    if (parsed.protocol !== "https:")
      return wrong(`'https' is the only allowed URL scheme; desired format: https://host[/path]`);
    if (parsed.username !== "" || parsed.password !== "") return wrong("user information is not permitted in the URL");
    if (parsed.search !== "" || parsed.hash !== "")
      return wrong("fragments and query parameters are not permitted in the URL");
    return [];
  }
  const at = childPath(path, "service");
  const errors: FieldError[] = [];
  if (!service?.name) errors.push(fieldRequired(childPath(at, "name"), "service name is required"));
  if (!service?.namespace) errors.push(fieldRequired(childPath(at, "namespace"), "service namespace is required"));
  if (service?.path && !service.path.startsWith("/")) {
    errors.push(fieldInvalid(childPath(at, "path"), service.path, "must start with a '/'"));
  }
  return [...errors, ...validatePort(service?.port, childPath(at, "port"))];
}

function validateName(name: string, path: string): FieldError[] {
  if (name === "") return [fieldRequired(path, "")];
  const errors = validateDns1123Subdomain(name).map((message) => fieldInvalid(path, name, message));
  if (name.split(".").length < 3) {
    errors.push(fieldInvalid(path, name, "should be a domain with at least three segments separated by dots"));
  }
  return errors;
}

function validateVersions(versions: readonly string[] | undefined, path: string): FieldError[] {
  if (!versions?.length) return [fieldRequired(path, "must specify one of v1, v1beta1")];
  return versions.some((version) => version === "v1" || version === "v1beta1")
    ? []
    : [fieldInvalid(path, versions, "must include at least one of v1, v1beta1")];
}

function validateWebhook(webhook: Webhook, path: string): FieldError[] {
  const at = (name: string) => childPath(path, name);
  const errors = validateName(webhook.name ?? "", at("name"));
  const { failurePolicy, sideEffects, timeoutSeconds, reinvocationPolicy } = webhook;
  (webhook.rules ?? []).forEach((rule, index) => errors.push(...validateRule(rule, indexPath(at("rules"), index))));
  if (failurePolicy !== undefined && !FAILURE_POLICIES.includes(failurePolicy)) {
    errors.push(fieldNotSupported(at("failurePolicy"), failurePolicy, FAILURE_POLICIES));
  }
  if (!sideEffects) errors.push(fieldRequired(at("sideEffects"), "must specify one of None, NoneOnDryRun"));
  else if (!SIDE_EFFECTS.includes(sideEffects))
    errors.push(fieldNotSupported(at("sideEffects"), sideEffects, SIDE_EFFECTS));
  if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30)) {
    errors.push(
      fieldInvalid(at("timeoutSeconds"), timeoutSeconds, "the timeout value must be between 1 and 30 seconds"),
    );
  }
  if (reinvocationPolicy !== undefined && !["IfNeeded", "Never"].includes(reinvocationPolicy)) {
    errors.push(fieldNotSupported(at("reinvocationPolicy"), reinvocationPolicy, ["IfNeeded", "Never"]));
  }
  return [
    ...errors,
    ...validateMatching(webhook, path),
    ...validateClientConfig(webhook.clientConfig, at("clientConfig")),
    ...validateVersions(webhook.admissionReviewVersions, at("admissionReviewVersions")),
    ...validateMatchConditions(webhook.matchConditions, at("matchConditions"), (text) => conditionIssue(text, false)),
  ];
}

export function validateWebhooks(webhooks: readonly Webhook[] | undefined): FieldError[] {
  const list = webhooks ?? [];
  return list.flatMap((webhook, index) => {
    const path = indexPath("webhooks", index);
    const repeated = list.slice(0, index).some((other) => other.name === webhook.name);
    return [
      ...validateWebhook(webhook, path),
      ...(repeated ? [fieldDuplicate(childPath(path, "name"), webhook.name)] : []),
    ];
  });
}
