// The RBAC authorizer. Guarantees: deny by default; members of system:masters may do everything; the reason reads as
// upstream's, because it ends up in 403 messages and in access reviews.
import type { PolicyRule, RbacSubject } from "@coxswain/api";
import { newForbidden } from "@coxswain/apimachinery";
import type { StatusError } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { AuthorizationAttributes, Authorizer } from "../pipeline/contract.ts";
import type { Grant, RbacIndex } from "./rbac-index.ts";
import { ruleAllows } from "./rbac-rules.ts";

export const MASTERS_GROUP = "system:masters";

type Decision = ReturnType<Authorizer["authorize"]>;

export interface RbacAuthorizer extends Authorizer {
  /** All rules that hold for the user in the namespace ("" for cluster-wide ones only). */
  rulesFor(user: UserInfo, namespace: string): PolicyRule[];
}

/** As in `User "x" cannot list resource "pods" in API group "" in the namespace "default"`. */
export function denialOf(attributes: AuthorizationAttributes): string {
  const who = `User ${JSON.stringify(attributes.user.username)} cannot ${attributes.verb}`;
  if (attributes.path !== undefined) return `${who} path ${JSON.stringify(attributes.path)}`;
  const resource =
    attributes.subresource === "" ? attributes.resource : `${attributes.resource}/${attributes.subresource}`;
  const where =
    attributes.namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(attributes.namespace)}`;
  return `${who} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(attributes.group)} ${where}`;
}

/** The 403 for a denied request; `reason` is what the authorizer said. */
export function forbidden(attributes: AuthorizationAttributes, reason: string): StatusError {
  if (attributes.path !== undefined) return newForbidden({ group: "", resource: "" }, "", reason);
  return newForbidden({ group: attributes.group, resource: attributes.resource }, attributes.name, reason);
}

function describeSubject(subject: RbacSubject): string {
  if (subject.kind !== "ServiceAccount") return `${subject.kind} ${JSON.stringify(subject.name)}`;
  return `ServiceAccount ${JSON.stringify(`${subject.name}/${subject.namespace ?? ""}`)}`;
}

function describeGrant(grant: Grant): string {
  const { binding, namespace } = grant;
  const name = binding.metadata?.name ?? "";
  const kind = namespace === "" ? "ClusterRoleBinding" : "RoleBinding";
  const full = namespace === "" ? name : `${name}/${namespace}`;
  const role = `${binding.roleRef.kind} ${JSON.stringify(binding.roleRef.name)}`;
  return `RBAC: allowed by ${kind} ${JSON.stringify(full)} of ${role} to ${describeSubject(grant.subject)}`;
}

function missingRole(grant: Grant): string {
  const { kind, name } = grant.binding.roleRef;
  return `${kind.toLowerCase()}.rbac.authorization.k8s.io ${JSON.stringify(name)} not found`;
}

function summarize(missing: readonly string[]): string {
  if (missing.length === 0) return "";
  return missing.length === 1 ? `: RBAC: ${missing[0]}` : `: RBAC: [${missing.join(", ")}]`;
}

/** A Namespace counts as being in itself, so that a RoleBinding there can let its users read it. */
function inOwnNamespace(attributes: AuthorizationAttributes): AuthorizationAttributes {
  const { group, resource, namespace, name } = attributes;
  if (group !== "" || resource !== "namespaces" || namespace !== "" || name === "") return attributes;
  return { ...attributes, namespace: name };
}

const YES: Decision = { allowed: true, reason: "" };
const MAX_REMEMBERED = 1_024;

/** What users were granted for objects of any name, until the index changes: the same is asked for pod after pod. */
class Granted {
  readonly #index: RbacIndex;
  #revision = -1;
  #users = new WeakMap<UserInfo, Map<string, Decision>>();

  constructor(index: RbacIndex) {
    this.#index = index;
  }

  of(user: UserInfo): Map<string, Decision> {
    if (this.#revision !== this.#index.revision) {
      this.#revision = this.#index.revision;
      this.#users = new WeakMap();
    }
    let known = this.#users.get(user);
    if (known === undefined) this.#users.set(user, (known = new Map()));
    if (known.size >= MAX_REMEMBERED) known.clear();
    return known;
  }
}

function questionOf({ verb, group, resource, subresource, namespace }: AuthorizationAttributes): string {
  return `${verb} ${group}/${resource}/${subresource} ${namespace}`;
}

export function createRbacAuthorizer(index: RbacIndex): RbacAuthorizer {
  const granted = new Granted(index);
  return {
    authorize(asked) {
      if (asked.user.groups.includes(MASTERS_GROUP)) return YES;
      const attributes = inOwnNamespace(asked);
      const known = attributes.path === undefined ? granted.of(attributes.user) : undefined;
      const question = known === undefined ? "" : questionOf(attributes);
      const before = known?.get(question);
      if (before !== undefined) return before;
      const missing = new Set<string>();
      // A rule for some names alone may be the first to allow the same for one of them.
      let byName = false;
      for (const grant of index.grants(attributes.user, attributes.path === undefined ? attributes.namespace : "")) {
        const rules = index.rulesOf(grant);
        if (rules === undefined) missing.add(missingRole(grant));
        for (const rule of rules ?? []) {
          const named = (rule.resourceNames ?? []).length > 0;
          byName ||= named && ruleAllows({ ...rule, resourceNames: [] }, attributes);
          if (!ruleAllows(rule, attributes)) continue;
          const decision = { allowed: true, reason: describeGrant(grant) };
          if (!byName) known?.set(question, decision);
          return decision;
        }
      }
      return { allowed: false, reason: denialOf(attributes) + summarize([...missing]) };
    },
    rulesFor(user, namespace) {
      const everything: PolicyRule[] = [
        { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
        { verbs: ["*"], nonResourceURLs: ["*"] },
      ];
      if (user.groups.includes(MASTERS_GROUP)) return everything;
      return index.grants(user, namespace).flatMap((grant) => [...(index.rulesOf(grant) ?? [])]);
    },
  };
}
