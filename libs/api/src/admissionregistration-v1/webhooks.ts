// The webhooks of both configurations: their defaults and rules.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  rangeMessage,
  validateDns1035Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type { MutatingWebhook, ValidatingWebhook, WebhookClientConfig } from "../types.gen.ts";
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

const FORM = "; desired format: https://host[/path]";

function validateUrl(url: string, path: string): FieldError[] {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const [, scheme, host = ""] = /^([a-z][a-z0-9+.-]*):(?:\/\/([^/?#]*))?/i.exec(url) ?? [];
  const errors: FieldError[] = [];
  const refuse = (value: string, detail: string): void => {
    errors.push(fieldInvalid(path, value, detail));
  };
  // What has no scheme is a path to Go, not wrong by itself.
  if (parsed === undefined && scheme !== undefined && host !== "") {
    return [fieldRequired(path, `url must be a valid URL: parse ${JSON.stringify(url)}${FORM}`)];
  }
  if (scheme?.toLowerCase() !== "https") refuse(scheme ?? "", `'https' is the only allowed URL scheme${FORM}`);
  if (host.slice(host.lastIndexOf("@") + 1) === "") refuse("", `host must be specified${FORM}`);
  if (host.includes("@")) refuse(host.slice(0, host.lastIndexOf("@")), "user information is not permitted in the URL");
  const [before = "", fragment = ""] = url.split("#", 2);
  if (fragment !== "") refuse(fragment, "fragments are not permitted in the URL");
  const query = before.includes("?") ? before.slice(before.indexOf("?") + 1) : "";
  if (query !== "") refuse(query, "query parameters are not permitted in the URL");
  return errors;
}

function validateServicePath(target: string, path: string): FieldError[] {
  if (target === "/" || target === "") return [];
  const wrong = (detail: string): FieldError => fieldInvalid(path, target, detail);
  if (target === "//") return [wrong("segment[0] may not be empty")];
  const errors = target.startsWith("/") ? [] : [wrong("must start with a '/'")];
  const segments = target.slice(1).replace(/\/$/, "").split("/");
  return [
    ...errors,
    ...segments.flatMap((segment, index) =>
      segment === ""
        ? [wrong(`segment[${index}] may not be empty`)]
        : validateDns1123Subdomain(segment).map((message) => wrong(`segment[${index}]: ${message}`)),
    ),
  ];
}

export function validateClientConfig(config: WebhookClientConfig | undefined, path: string): FieldError[] {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined)) {
    return [fieldRequired(path, "exactly one of url or service is required")];
  }
  if (url !== undefined) return validateUrl(url, childPath(path, "url"));
  const at = childPath(path, "service");
  const errors: FieldError[] = [];
  if (!service?.name) errors.push(fieldRequired(childPath(at, "name"), ""));
  if (!service?.namespace) errors.push(fieldRequired(childPath(at, "namespace"), ""));
  const port = service?.port ?? 0;
  if (port < 1 || port > 65_535) {
    const detail = `port is not valid: ${rangeMessage(1, 65_535)}`;
    errors.push(fieldInvalid(childPath(at, "port"), port, detail));
  }
  return [...errors, ...validateServicePath(service?.path ?? "", childPath(at, "path"))];
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
  const errors = versions.flatMap((version, index) => {
    const at = indexPath(path, index);
    if (versions.indexOf(version) < index) return [fieldInvalid(at, version, "duplicate version")];
    return validateDns1035Label(version).map((message) => fieldInvalid(at, version, message));
  });
  const known = versions.some((version) => version === "v1" || version === "v1beta1");
  return known ? errors : [...errors, fieldInvalid(path, versions, "must include at least one of v1, v1beta1")];
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
