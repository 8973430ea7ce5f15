// The rules of a ClusterRole that is made of others. Pure. https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
import type { ClusterRole, PolicyRule } from "@coxswain/api";
import { deepEqual, labelSelectorAsSelector } from "@coxswain/apimachinery";

/** The rules of all roles that the aggregation selects, each once, by the roles' names; undefined where `role` has them. */
export function planAggregation(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] | undefined {
  const selectors = (role.aggregationRule?.clusterRoleSelectors ?? []).map((one) => labelSelectorAsSelector(one));
  const rules: PolicyRule[] = [];
  const selected = all
    .filter(({ metadata }) => metadata?.name !== role.metadata?.name)
    .filter(({ metadata }) => selectors.some((selector) => selector.matches(metadata?.labels)))
    .toSorted((a, b) => ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1));
  for (const rule of selected.flatMap((one) => one.rules ?? [])) {
    if (!rules.some((known) => deepEqual(known, rule))) rules.push(rule);
  }
  return deepEqual(rules, role.rules ?? []) ? undefined : rules;
}
