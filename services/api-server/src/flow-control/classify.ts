// Which FlowSchema a request belongs to, and which flow within it. Pure.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/flow-schema-v1/
import type { FlowSchema, FlowSubject, NonResourcePolicyRule, ResourcePolicyRule } from "@coxswain/api";
import { byPrecedence } from "@coxswain/api/flowcontrol-v1/flow-schema/flow-schema";
import type { AuthorizationAttributes } from "../pipeline/contract.ts";
import { serviceAccountName } from "../auth/identity.ts";

/** In the order in which they are tried. */
export function inOrder(schemas: readonly FlowSchema[]): FlowSchema[] {
  return schemas.toSorted(byPrecedence);
}

export function schemaMatches(schema: FlowSchema, attributes: AuthorizationAttributes): boolean {
  return (schema.spec?.rules ?? []).some(
    ({ subjects, resourceRules = [], nonResourceRules = [] }) =>
      subjects.some((subject) => subjectMatches(subject, attributes)) &&
      (attributes.path === undefined
        ? resourceRules.some((rule) => resourceMatches(rule, attributes))
        : nonResourceRules.some((rule) => pathMatches(rule, attributes))),
  );
}

function subjectMatches(subject: FlowSubject, { user }: AuthorizationAttributes): boolean {
  switch (subject.kind) {
    case "User":
      return subject.user?.name === "*" || subject.user?.name === user.username;
    case "Group":
      return subject.group?.name === "*" || user.groups.includes(subject.group?.name ?? "");
    case "ServiceAccount": {
      const { namespace = "", name = "" } = subject.serviceAccount ?? {};
      if (name === "*") return user.username.startsWith(serviceAccountName(namespace, ""));
      return user.username === serviceAccountName(namespace, name);
    }
    default:
      return false;
  }
}

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes("*") || list.includes(value));

function resourceMatches(rule: ResourcePolicyRule, attributes: AuthorizationAttributes): boolean {
  const { verb, group, resource, subresource, namespace } = attributes;
  const whole = subresource === "" ? resource : `${resource}/${subresource}`;
  if (!has(rule.verbs, verb) || !has(rule.apiGroups, group) || !has(rule.resources, whole)) return false;
  return namespace === "" ? rule.clusterScope === true : has(rule.namespaces, namespace);
}

function pathMatches(rule: NonResourcePolicyRule, { verb, path = "" }: AuthorizationAttributes): boolean {
  return (
    has(rule.verbs, verb) &&
    rule.nonResourceURLs.some(
      (url) => url === "*" || url === path || (url.endsWith("/*") && path.startsWith(url.slice(0, -1))),
    )
  );
}

/** What sets flows of a schema apart. */
export function distinguisherOf(schema: FlowSchema, { user, namespace }: AuthorizationAttributes): string {
  const method = schema.spec?.distinguisherMethod?.type;
  return method === "ByUser" ? user.username : method === "ByNamespace" ? namespace : "";
}
