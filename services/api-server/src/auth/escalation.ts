// Nobody may grant what they do not have: a Role may be written only by a user who holds all of its rules (or the verb
// "escalate"), a binding only by a user who holds the role's rules (or the verb "bind"). Wording as upstream.
import type { ClusterRole, PolicyRule, Role, RoleBinding } from "@coxswain/api";
import { newForbidden, newNotFound } from "@coxswain/apimachinery";
import type { KubeObject, StatusError } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Authorizer } from "../pipeline/contract.ts";
import { MASTERS_GROUP } from "./authorizer-chain.ts";
import type { RbacAuthorizer } from "./rbac-authorizer.ts";
import type { RbacIndex } from "./rbac-index.ts";
import { describeRules, uncoveredRules } from "./rbac-rules.ts";

const RBAC_GROUP = "rbac.authorization.k8s.io";

export interface EscalationCheck {
  /** Rejects with Forbidden where writing `object` (an RBAC kind; others pass) would grant more than `user` has. */
  check(user: UserInfo, object: KubeObject, old: KubeObject | undefined): Promise<void>;
}

function refusal(resource: string, name: string, user: UserInfo, missing: readonly PolicyRule[]): StatusError {
  const groups = user.groups.map((group) => JSON.stringify(group)).join(" ");
  const message =
    `user ${JSON.stringify(user.username)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n` +
    describeRules(missing);
  return newForbidden({ group: RBAC_GROUP, resource }, name, message);
}

/** What a user has is what RBAC gives; `authorizer` says who may grant more than that. */
export function createEscalationCheck(
  index: RbacIndex,
  rbac: Pick<RbacAuthorizer, "rulesFor">,
  authorizer: Authorizer,
): EscalationCheck {
  const mayDespite = async (
    user: UserInfo,
    verb: "escalate" | "bind",
    resource: string,
    namespace: string,
    name: string,
  ): Promise<boolean> => {
    const asked = { user, verb, group: RBAC_GROUP, version: "*", resource, subresource: "", namespace, name };
    return (await authorizer.authorize(asked)).allowed;
  };

  const checkRole = async (
    user: UserInfo,
    role: Role | ClusterRole,
    old: Role | ClusterRole | undefined,
  ): Promise<void> => {
    const resource = role.kind === "ClusterRole" ? "clusterroles" : "roles";
    const namespace = role.metadata?.namespace ?? "";
    const name = role.metadata?.name ?? "";
    const aggregation = (role as ClusterRole).aggregationRule;
    if (old !== undefined && JSON.stringify(old.rules) === JSON.stringify(role.rules)) {
      if (JSON.stringify((old as ClusterRole).aggregationRule) === JSON.stringify(aggregation)) return;
    }
    if (await mayDespite(user, "escalate", resource, namespace, name)) return;
    const wanted = [...(role.rules ?? [])];
    // An aggregated role may come to hold anything, so its writer has to hold everything.
    if (aggregation !== undefined) wanted.push({ verbs: ["*"], apiGroups: ["*"], resources: ["*"] });
    const missing = uncoveredRules(rbac.rulesFor(user, namespace), wanted);
    if (missing.length > 0) throw refusal(resource, name, user, missing);
  };

  const checkBinding = async (user: UserInfo, binding: RoleBinding, old: RoleBinding | undefined): Promise<void> => {
    const namespace = binding.metadata?.namespace ?? "";
    const resource = binding.kind === "ClusterRoleBinding" ? "clusterrolebindings" : "rolebindings";
    const { kind, name } = binding.roleRef;
    if (old !== undefined && JSON.stringify(old.subjects) === JSON.stringify(binding.subjects)) return;
    const roles = kind === "ClusterRole" ? "clusterroles" : "roles";
    if (await mayDespite(user, "bind", roles, namespace, name)) return;
    const rules = index.roleRules(kind, namespace, name);
    if (rules === undefined) throw newNotFound({ group: RBAC_GROUP, resource: roles }, name);
    const missing = uncoveredRules(rbac.rulesFor(user, namespace), rules);
    if (missing.length > 0) throw refusal(resource, binding.metadata?.name ?? "", user, missing);
  };

  return {
    async check(user, object, old) {
      if (user.groups.includes(MASTERS_GROUP)) return;
      if (object.kind === "Role" || object.kind === "ClusterRole") await checkRole(user, object, old);
      if (object.kind === "RoleBinding" || object.kind === "ClusterRoleBinding") {
        await checkBinding(user, object as RoleBinding, old as RoleBinding);
      }
    },
  };
}
