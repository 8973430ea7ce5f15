// The RBAC objects of the cluster, indexed by subject. Guarantees: after apply() returns, the next authorization sees the
// change; a question costs the bindings of the asking user and groups, not the bindings of the cluster. Aggregated
// ClusterRoles are resolved here as well, so that they hold before any controller has written their rules.
import type { ClusterRole, ClusterRoleBinding, PolicyRule, RbacSubject, Role, RoleBinding } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";

/** A grant of one role to a user or group; `namespace` is "" for the whole cluster. */
export interface Grant {
  readonly namespace: string;
  readonly binding: RoleBinding | ClusterRoleBinding;
  readonly subject: RbacSubject;
}

export interface RbacIndex {
  /** Another number after every change: what was answered before it may be wrong. */
  readonly revision: number;
  /** Takes over one object of an RBAC kind, or forgets it. Other kinds are ignored. */
  apply(type: "ADDED" | "MODIFIED" | "DELETED", object: KubeObject): void;
  /** Every grant that holds for the user in the namespace; cluster-wide ones first. */
  grants(user: UserInfo, namespace: string): Grant[];
  /** Undefined where the role does not exist. */
  rulesOf(grant: Grant): readonly PolicyRule[] | undefined;
  roleRules(kind: string, namespace: string, name: string): readonly PolicyRule[] | undefined;
  /** Forgets all of one kind, before a fresh list is applied. */
  clear(kind: string): void;
}

function subjectKey(subject: RbacSubject, bindingNamespace: string): string {
  if (subject.kind === "Group") return `g:${subject.name}`;
  if (subject.kind !== "ServiceAccount") return `u:${subject.name}`;
  return `u:system:serviceaccount:${subject.namespace ?? bindingNamespace}:${subject.name}`;
}

interface Expression {
  key: string;
  operator: string;
  values?: string[];
}

function expressionMatches(expression: Expression, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[expression.key];
  switch (expression.operator) {
    case "In":
      return value !== undefined && (expression.values ?? []).includes(value);
    case "NotIn":
      return value === undefined || !(expression.values ?? []).includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return false;
  }
}

function aggregates(role: ClusterRole, candidate: ClusterRole): boolean {
  const labels = candidate.metadata?.labels ?? {};
  return (role.aggregationRule?.clusterRoleSelectors ?? []).some(
    (selector) =>
      Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
      (selector.matchExpressions ?? []).every((expression) => expressionMatches(expression, labels)),
  );
}

export function createRbacIndex(): RbacIndex {
  const roles = new Map<string, Role>();
  const clusterRoles = new Map<string, ClusterRole>();
  const bindings = new Map<string, { keys: string[]; grants: Grant[] }>();
  const bySubject = new Map<string, Map<string, Grant[]>>();
  let aggregated = new Map<string, readonly PolicyRule[]>();
  let revision = 0;

  const forget = (id: string): void => {
    for (const key of bindings.get(id)?.keys ?? []) {
      const grants = bySubject.get(key);
      grants?.delete(id);
      if (grants?.size === 0) bySubject.delete(key);
    }
    bindings.delete(id);
  };

  const bind = (id: string, namespace: string, binding: RoleBinding | ClusterRoleBinding): void => {
    const byKey = new Map<string, Grant[]>();
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, namespace);
      byKey.set(key, [...(byKey.get(key) ?? []), { namespace, binding, subject }]);
    }
    for (const [key, grants] of byKey) {
      let known = bySubject.get(key);
      if (known === undefined) bySubject.set(key, (known = new Map()));
      known.set(id, grants);
    }
    bindings.set(id, { keys: [...byKey.keys()], grants: [...byKey.values()].flat() });
  };

  const clusterRoleRules = (name: string, seen: ReadonlySet<string>): readonly PolicyRule[] | undefined => {
    const role = clusterRoles.get(name);
    if (role?.aggregationRule === undefined) return role === undefined ? undefined : (role.rules ?? []);
    const known = aggregated.get(name);
    if (known !== undefined) return known;
    const path = new Set([...seen, name]);
    const rules = [...(role.rules ?? [])];
    for (const candidate of clusterRoles.values()) {
      const other = candidate.metadata?.name ?? "";
      if (!path.has(other) && aggregates(role, candidate)) rules.push(...(clusterRoleRules(other, path) ?? []));
    }
    if (seen.size === 0) aggregated.set(name, rules);
    return rules;
  };

  const roleRules: RbacIndex["roleRules"] = (kind, namespace, name) =>
    kind === "ClusterRole"
      ? clusterRoleRules(name, new Set())
      : roles.has(`${namespace}/${name}`)
        ? (roles.get(`${namespace}/${name}`)?.rules ?? [])
        : undefined;

  return {
    get revision() {
      return revision;
    },
    apply(type, object) {
      revision++;
      const namespace = object.metadata?.namespace ?? "";
      const name = object.metadata?.name ?? "";
      const id = `${object.kind}/${namespace}/${name}`;
      switch (object.kind ?? "") {
        case "Role":
          if (type === "DELETED") roles.delete(`${namespace}/${name}`);
          else roles.set(`${namespace}/${name}`, object);
          break;
        case "ClusterRole":
          aggregated = new Map();
          if (type === "DELETED") clusterRoles.delete(name);
          else clusterRoles.set(name, object);
          break;
        case "RoleBinding":
        case "ClusterRoleBinding":
          forget(id);
          if (type !== "DELETED") bind(id, namespace, object as RoleBinding);
          break;
        default:
      }
    },
    grants(user, namespace) {
      const found: Grant[] = [];
      const collect = (key: string): void => {
        for (const grants of bySubject.get(key)?.values() ?? []) {
          for (const grant of grants) if (grant.namespace === "" || grant.namespace === namespace) found.push(grant);
        }
      };
      collect(`u:${user.username}`);
      for (const group of user.groups) collect(`g:${group}`);
      return found.toSorted((a, b) => Number(a.namespace !== "") - Number(b.namespace !== ""));
    },
    rulesOf: (grant) => roleRules(grant.binding.roleRef.kind, grant.namespace, grant.binding.roleRef.name),
    roleRules,
    clear(kind) {
      revision++;
      if (kind === "Role") roles.clear();
      if (kind === "ClusterRole") clusterRoles.clear();
      if (kind === "ClusterRole") aggregated = new Map();
      for (const id of bindings.keys()) if (id.startsWith(`${kind}/`)) forget(id);
    },
  };
}
