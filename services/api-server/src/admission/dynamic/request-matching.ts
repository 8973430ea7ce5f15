// Which requests a webhook or a policy is for. Pure, given the labels of the namespace.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
import type { KindDefinition, LabelSelector, NamedRuleWithOperations } from "@coxswain/api";
import { storedResource } from "@coxswain/api/scheme";
import { labelSelectorAsSelector, type KubeObject } from "@coxswain/apimachinery";
import type { KindSource } from "../../extensions/kind-source.ts";
import type { AdmissionAttributes, ObjectSource } from "../../pipeline/extension.ts";

export interface Matching {
  readonly rules: readonly NamedRuleWithOperations[];
  readonly excluded?: readonly NamedRuleWithOperations[];
  readonly matchPolicy: string | undefined;
  readonly namespaceSelector: LabelSelector | undefined;
  readonly objectSelector: LabelSelector | undefined;
}

const GROUP = "admissionregistration.k8s.io";
const NAMESPACES = { group: "", resource: "namespaces" };

/** A webhook that could refuse its own removal would have to be removed from the store by hand. */
export function isExempt({ group, resource }: KindDefinition): boolean {
  return (
    group === GROUP && /^(mutating|validating)(webhookconfigurations|admissionpolic(ies|ybindings))$/.test(resource)
  );
}

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list?.includes("*") === true || list?.includes(value) === true;

function resourceMatches(pattern: string, resource: string, subresource: string): boolean {
  const [wanted = "", sub] = pattern.split("/");
  const resourceFits = wanted === "*" || wanted === resource;
  const subresourceFits =
    sub === undefined
      ? subresource === "" || (wanted === "*" && pattern === "*/*")
      : sub === "*" || sub === subresource;
  return resourceFits && subresourceFits;
}

function ruleMatches(rule: NamedRuleWithOperations, kind: KindDefinition, attributes: AdmissionAttributes): boolean {
  const { operation, namespace, subresource } = attributes;
  // A Namespace is an object of the cluster, whatever namespace its requests are said to be in.
  const scope = kind.namespaced && namespace !== "" ? "Namespaced" : "Cluster";
  return (
    has(rule.operations, operation) &&
    has(rule.apiGroups, kind.group) &&
    has(rule.apiVersions, kind.version) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(attributes.name)) &&
    (rule.scope === undefined || rule.scope === "*" || rule.scope === scope) &&
    (rule.resources ?? []).some((pattern) => resourceMatches(pattern, kind.resource, subresource))
  );
}

/** Other versions and groups in which the same resource is served. */
export function equivalentsOf(kind: KindDefinition, kinds: KindSource): KindDefinition[] {
  const { group, resource } = storedResource(kind);
  return kinds.all().filter((one) => {
    if (one.group === kind.group && one.resource === kind.resource && one.version === kind.version) return false;
    const stored = storedResource(one);
    return stored.group === group && stored.resource === resource;
  });
}

/** The kind that the webhook wants the request's object as; undefined where no rule is for it. */
export function matchedKind(
  matching: Matching,
  attributes: AdmissionAttributes,
  equivalents: readonly KindDefinition[],
): KindDefinition | undefined {
  const { kind } = attributes;
  const candidates = matching.matchPolicy === "Exact" ? [kind] : [kind, ...equivalents];
  const excluded = candidates.some((one) => matching.excluded?.some((rule) => ruleMatches(rule, one, attributes)));
  if (excluded) return undefined;
  return candidates.find((one) => matching.rules.some((rule) => ruleMatches(rule, one, attributes)));
}

const selects = (selector: LabelSelector | undefined, object: KubeObject | undefined): boolean =>
  object !== undefined && labelSelectorAsSelector(selector ?? {}).matches(object.metadata?.labels);

const isEmpty = (selector: LabelSelector | undefined): boolean =>
  selector === undefined ||
  (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0);

/** The namespace of the request, as an object; undefined for what belongs to none. */
export function namespaceOf(attributes: AdmissionAttributes, source: ObjectSource): KubeObject | undefined {
  const { kind, object, old, namespace } = attributes;
  if (kind.group === "" && kind.resource === "namespaces") return object ?? old;
  return namespace === "" ? undefined : source.get(NAMESPACES, "", namespace)?.object;
}

export function selectorsMatch(
  { namespaceSelector, objectSelector }: Matching,
  attributes: AdmissionAttributes,
  source: ObjectSource,
): boolean {
  const { object, old, kind, namespace } = attributes;
  const inNamespace = namespace !== "" || (kind.group === "" && kind.resource === "namespaces");
  if (inNamespace && !isEmpty(namespaceSelector) && !selects(namespaceSelector, namespaceOf(attributes, source))) {
    return false;
  }
  return isEmpty(objectSelector) || selects(objectSelector, object) || selects(objectSelector, old);
}
