// What is wrong with a policy's expressions on the kinds that it names: told in its status, and hindering nothing. Pure.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
import type { KindDefinition, NamedRuleWithOperations, ValidatingAdmissionPolicy } from "@coxswain/api";
import { PolicyExpressions } from "@coxswain/api/admissionregistration-v1/policy-expressions";
import { celTypeFor } from "@coxswain/api/schema/cel-type";
import { parseApiVersion } from "@coxswain/apimachinery";
import type { CelType } from "@coxswain/cel";
import type { KindSource } from "../../extensions/kind-source.ts";

const MAX_TYPES = 10;

export interface ExpressionWarning {
  readonly fieldRef: string;
  readonly warning: string;
}

const celTypeOfKind = (kind: KindDefinition): CelType => kind.custom?.celType() ?? celTypeFor(kind.schemaName);

/** Rules with wildcards for groups or versions name no kinds, and neither do subresources. */
function kindsOf(rule: NamedRuleWithOperations, kinds: KindSource): KindDefinition[] {
  const { apiGroups = [], apiVersions = [], resources = [] } = rule;
  if ([...apiGroups, ...apiVersions].some((name) => name.includes("*"))) return [];
  const named = resources.filter((resource) => !/[*/]/.test(resource)).toSorted();
  return apiGroups.toSorted().flatMap((group) =>
    apiVersions
      .toSorted()
      .flatMap((version) => named.map((resource) => kinds.kindFor({ group, version, resource })))
      .filter((kind) => kind !== undefined),
  );
}

function subjects(policy: ValidatingAdmissionPolicy, kinds: KindSource): KindDefinition[] {
  const found = new Set<KindDefinition>();
  for (const rule of policy.spec?.matchConstraints?.resourceRules ?? []) {
    for (const kind of kindsOf(rule, kinds).slice(0, MAX_TYPES)) found.add(kind);
    if (found.size >= MAX_TYPES) break;
  }
  const id = ({ group, version, kind }: KindDefinition): string => `${group}\0${version}\0${kind}`;
  return [...found].toSorted((a, b) => (id(a) < id(b) ? -1 : 1));
}

/** As in "apps/v1, Kind=Deployment". */
const nameOf = ({ group, version, kind }: KindDefinition): string => `${group}/${version}, Kind=${kind}`;

/** Empty where all is well, or nothing is known of the kinds. */
export function checkPolicyTypes(policy: ValidatingAdmissionPolicy, kinds: KindSource): ExpressionWarning[] {
  const { paramKind, variables = [], validations = [] } = policy.spec ?? {};
  const { group, version } = parseApiVersion(paramKind?.apiVersion ?? "");
  const known = paramKind && kinds.kindForGvk({ group, version, kind: paramKind.kind ?? "" });
  const params = known === undefined ? {} : { params: celTypeOfKind(known) };
  const checks = subjects(policy, kinds).map((kind) => {
    const types = { object: celTypeOfKind(kind), ...params };
    const place = { params: paramKind !== undefined, authorizer: true, types };
    return { kind, expressions: new PolicyExpressions(place, variables) };
  });
  const warnings: ExpressionWarning[] = [];
  const check = (expression: string | undefined, fieldRef: string): void => {
    if (!expression) return;
    const issues = checks.flatMap(({ kind, expressions }) => {
      const issue = expressions.check(expression, undefined);
      return issue === undefined ? [] : [`${nameOf(kind)}: ${issue}\n`];
    });
    if (issues.length > 0) warnings.push({ fieldRef, warning: issues.join("\n") });
  };
  validations.forEach(({ expression, messageExpression }, index) => {
    check(expression, `spec.validations[${index}].expression`);
    check(messageExpression, `spec.validations[${index}].messageExpression`);
  });
  return warnings;
}

/** The policy with its status as it should be; undefined where it is so for its generation. */
export function planPolicyStatus(
  policy: ValidatingAdmissionPolicy,
  kinds: KindSource,
): ValidatingAdmissionPolicy | undefined {
  const generation = policy.metadata?.generation ?? 0;
  if (generation <= (policy.status?.observedGeneration ?? 0)) return undefined;
  const warnings = checkPolicyTypes(policy, kinds);
  const typeChecking = warnings.length === 0 ? {} : { expressionWarnings: warnings };
  return { ...policy, status: { ...policy.status, observedGeneration: generation, typeChecking } };
}
