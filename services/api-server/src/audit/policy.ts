// The audit policy: which requests are told of, and how much of them. Pure. The first rule that fits decides; a mistake in the
// file is told with its path.
// https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Policy
import {
  fieldErrorText,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isJsonObject,
  type FieldError,
} from "@coxswain/apimachinery";
import { validateDns1123Subdomain } from "@coxswain/apimachinery/names";
import { parse as parseYaml } from "yaml";
import type { AuthorizationAttributes } from "../pipeline/contract.ts";

export type AuditLevel = "None" | "Metadata" | "Request" | "RequestResponse";
export type AuditStage = "RequestReceived" | "ResponseStarted" | "ResponseComplete" | "Panic";

const LEVELS: readonly AuditLevel[] = ["None", "Metadata", "Request", "RequestResponse"];
const STAGES: readonly AuditStage[] = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

interface GroupResources {
  readonly group?: string;
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}

export interface PolicyRule {
  readonly level: AuditLevel;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly GroupResources[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly AuditStage[];
  readonly omitManagedFields?: boolean;
}

export interface AuditPolicy {
  readonly rules: readonly PolicyRule[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

export class AuditPolicyError extends Error {
  override readonly name = "AuditPolicyError";
}

/** @throws AuditPolicyError with all that is wrong with the text (YAML or JSON) */
export function parseAuditPolicy(text: string): AuditPolicy {
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw new AuditPolicyError(`failed decoding audit policy: ${(error as Error).message}`);
  }
  const { kind, apiVersion, rules, omitStages, omitManagedFields } = isJsonObject(parsed) ? parsed : {};
  if (kind !== "Policy" || apiVersion !== "audit.k8s.io/v1") {
    throw new AuditPolicyError(
      `failed decoding audit policy: no kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}; use Policy of audit.k8s.io/v1`,
    );
  }
  const list = Array.isArray(rules) ? rules.map((rule) => (isJsonObject(rule) ? rule : {})) : [];
  if (list.length === 0) throw new AuditPolicyError("loaded illegal policy with 0 rules");
  const errors = [
    ...list.flatMap((rule, at) => ruleErrors(rule, `rules[${at}]`)),
    ...stageErrors(omitStages, "omitStages"),
  ];
  if (errors.length > 0) throw new AuditPolicyError(errors.map(fieldErrorText).join(", "));
  return {
    rules: list as unknown as PolicyRule[],
    omitStages: (omitStages ?? []) as AuditStage[],
    omitManagedFields: omitManagedFields === true,
  };
}

const TEXT_LISTS = ["users", "userGroups", "verbs", "namespaces", "nonResourceURLs"] as const;

function ruleErrors(rule: Record<string, unknown>, at: string): FieldError[] {
  const { level, nonResourceURLs, resources, namespaces } = rule;
  const errors: FieldError[] = [];
  if (level === undefined || level === "") errors.push(fieldRequired(`${at}.level`, ""));
  else if (!LEVELS.includes(level as AuditLevel)) errors.push(fieldNotSupported(`${at}.level`, level, LEVELS));
  for (const name of TEXT_LISTS) {
    const value = rule[name] ?? [];
    const fits = Array.isArray(value) && value.every((one) => typeof one === "string");
    if (!fits) errors.push(fieldInvalid(`${at}.${name}`, value, "must be a list of strings"));
  }
  if (errors.length > 0) return errors;
  errors.push(...urlErrors((nonResourceURLs ?? []) as string[], `${at}.nonResourceURLs`));
  errors.push(...resourceErrors(resources, `${at}.resources`), ...stageErrors(rule["omitStages"], `${at}.omitStages`));
  const both = hasSome(nonResourceURLs) && (hasSome(resources) || hasSome(namespaces));
  if (both) {
    const detail = "rules cannot apply to both regular resources and non-resource URLs";
    errors.push(fieldInvalid(`${at}.nonResourceURLs`, nonResourceURLs, detail));
  }
  return errors;
}

const hasSome = (value: unknown): boolean => Array.isArray(value) && value.length > 0;

function urlErrors(urls: readonly string[], at: string): FieldError[] {
  return urls.flatMap((url, index) => {
    if (url === "*") return [];
    const where = `${at}[${index}]`;
    const errors: FieldError[] = [];
    if (!url.startsWith("/"))
      errors.push(fieldInvalid(where, url, "non-resource URL rules must begin with a '/' character"));
    if (url.slice(0, -1).includes("*")) {
      errors.push(fieldInvalid(where, url, "non-resource URL wildcards '*' must be the final character of the rule"));
    }
    return errors;
  });
}

function resourceErrors(resources: unknown, at: string): FieldError[] {
  if (resources === undefined || resources === null) return [];
  if (!Array.isArray(resources)) return [fieldInvalid(at, resources, "must be a list")];
  return resources.flatMap((one: unknown) => {
    const { group = "", resourceNames, resources: names } = isJsonObject(one) ? one : {};
    const errors: FieldError[] = [];
    const problems =
      typeof group !== "string" ? ["must be a string"] : group === "" ? [] : validateDns1123Subdomain(group);
    if (problems.length > 0) errors.push(fieldInvalid(`${at}.group`, group, problems.join(",")));
    if (hasSome(resourceNames) && !hasSome(names)) {
      errors.push(
        fieldInvalid(`${at}.resourceNames`, resourceNames, "using resourceNames requires at least one resource"),
      );
    }
    return errors;
  });
}

function stageErrors(stages: unknown, at: string): FieldError[] {
  if (stages === undefined || stages === null) return [];
  if (!Array.isArray(stages)) return [fieldInvalid(at, stages, "must be a list")];
  return stages.flatMap((stage: unknown, index) =>
    STAGES.includes(stage as AuditStage)
      ? []
      : [fieldInvalid(`${at}[${index}]`, stage, `allowed stages are ${STAGES.join(",")}`)],
  );
}

/** What the policy says about a request; nobody is the user of one that did not authenticate. */
export function decideAudit(policy: AuditPolicy, attributes: AuthorizationAttributes): AuditDecision {
  const rule = policy.rules.find((one) => ruleMatches(one, attributes));
  return {
    level: rule?.level ?? "None",
    omitStages: new Set([...policy.omitStages, ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields,
  };
}

function ruleMatches(rule: PolicyRule, { user, verb, ...rest }: AuthorizationAttributes): boolean {
  const among = (list: readonly string[] | undefined, value: string): boolean => !list?.length || list.includes(value);
  if (!among(rule.users, user.username) || !among(rule.verbs, verb)) return false;
  if (rule.userGroups?.length && !user.groups.some((group) => rule.userGroups!.includes(group))) return false;
  if (rule.namespaces?.length || rule.resources?.length) {
    if (rest.path !== undefined || !among(rule.namespaces, rest.namespace)) return false;
    return !rule.resources?.length || rule.resources.some((one) => resourceMatches(one, rest));
  }
  if (!rule.nonResourceURLs?.length) return true;
  const { path } = rest;
  return path !== undefined && rule.nonResourceURLs.some((url) => urlMatches(url, path));
}

function urlMatches(url: string, path: string): boolean {
  return url === "*" || url === path || (url.endsWith("*") && path.startsWith(url.replace(/\*+$/, "")));
}

type Resource = Pick<AuthorizationAttributes, "group" | "resource" | "subresource" | "name">;

function resourceMatches(wanted: GroupResources, { group, resource, subresource, name }: Resource): boolean {
  if ((wanted.group ?? "") !== group) return false;
  if (!wanted.resources?.length) return true;
  if (wanted.resourceNames?.length && !wanted.resourceNames.includes(name)) return false;
  const whole = subresource === "" ? resource : `${resource}/${subresource}`;
  return wanted.resources.some(
    (one) =>
      one === "*" || one === whole || (subresource !== "" && one === `*/${subresource}`) || one === `${resource}/*`,
  );
}
