// The RBAC authorizer. Guarantees: it allows or has no opinion, and never forbids; the reason reads as upstream's, because it ends
// up in 403 messages and in access reviews.
import { aggregateText } from "@coxswain/apimachinery";
import type { PolicyRule, RbacSubject } from "@coxswain/api";
import type { UserInfo } from "@coxswain/component-base";
import type { AuthorizationAttributes, AuthorizationDecision } from "../pipeline/contract.ts";
import { EVERYTHING, MASTERS_GROUP, NO_OPINION } from "./authorizer-chain.ts";
import type { Grant, RbacIndex } from "./rbac-index.ts";
import { ruleAllows } from "./rbac-rules.ts";

export interface RbacAuthorizer {
  authorize(attributes: AuthorizationAttributes): AuthorizationDecision;
  /** All rules that hold for the user in the namespace ("" for cluster-wide ones only). */
  rulesFor(user: UserInfo, namespace: string): readonly PolicyRule[];
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
  return `RBAC: ${aggregateText(missing)}`;
}

/** A Namespace counts as being in itself, so that a RoleBinding there can let its users read it. */
function inOwnNamespace(attributes: AuthorizationAttributes): AuthorizationAttributes {
  const { group, resource, namespace, name } = attributes;
  if (group !== "" || resource !== "namespaces" || namespace !== "" || name === "") return attributes;
  return { ...attributes, namespace: name };
}

const MAX_REMEMBERED = 1_024;

/** What users were granted for objects of any name, until the index changes: the same is asked for pod after pod. */
class Granted {
  readonly #index: RbacIndex;
  #revision = -1;
  #users = new WeakMap<UserInfo, Map<string, AuthorizationDecision>>();

  constructor(index: RbacIndex) {
    this.#index = index;
  }

  of(user: UserInfo): Map<string, AuthorizationDecision> {
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
      return missing.size === 0 ? NO_OPINION : { allowed: false, reason: summarize([...missing]) };
    },
    rulesFor(user, namespace) {
      if (user.groups.includes(MASTERS_GROUP)) return EVERYTHING;
      return index.grants(user, namespace).flatMap((grant) => [...(index.rulesOf(grant) ?? [])]);
    },
  };
}
