// A request as the spec of a SubjectAccessReview that a webhook is asked with. Empty texts are left out, as on the wire upstream.
import type { FieldSelectorRequirement, LabelSelectorRequirement, SubjectAccessReview } from "@coxswain/api";
import { parseFieldSelector, parseLabelSelector, StatusError, type LabelOperator } from "@coxswain/apimachinery";
import type { AuthorizationAttributes } from "../../pipeline/contract.ts";

export type ReviewSpec = SubjectAccessReview["spec"];

export function reviewSpecOf(attributes: AuthorizationAttributes): ReviewSpec {
  const { user, verb, path } = attributes;
  const about =
    path === undefined
      ? { resourceAttributes: resourceAttributesOf(attributes) }
      : { nonResourceAttributes: given({ path, verb }) };
  const extra = Object.fromEntries(Object.entries(user.extra ?? {}).map(([key, values]) => [key, [...values]]));
  return {
    ...about,
    ...given({ user: user.username }),
    ...(user.groups.length === 0 ? {} : { groups: [...user.groups] }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
    ...given({ uid: user.uid ?? "" }),
  };
}

function given<T extends Record<string, string>>(texts: T): Partial<T> {
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== "")) as Partial<T>;
}

function resourceAttributesOf(attributes: AuthorizationAttributes): NonNullable<ReviewSpec["resourceAttributes"]> {
  const { namespace, verb, group, version = "", resource, subresource, name } = attributes;
  const fields = requirementsOf(attributes.fieldSelector, fieldRequirements);
  const labels = requirementsOf(attributes.labelSelector, labelRequirements);
  return {
    ...given({ namespace, verb, group, version, resource, subresource, name }),
    ...(fields.length === 0 ? {} : { fieldSelector: { requirements: fields } }),
    ...(labels.length === 0 ? {} : { labelSelector: { requirements: labels } }),
  };
}

/** None of a selector that is none: the request is refused later, and what is asked for here is more than it could get. */
function requirementsOf<T>(text: string | undefined, read: (text: string) => T[]): T[] {
  if (text === undefined || text === "") return [];
  try {
    return read(text);
  } catch (error) {
    if (error instanceof StatusError) return [];
    throw error;
  }
}

function fieldRequirements(text: string): FieldSelectorRequirement[] {
  return parseFieldSelector(text).requirements.map(({ field, op, value }) => ({
    key: field,
    operator: op === "!=" ? "NotIn" : "In",
    values: [value],
  }));
}

const OPERATORS: Partial<Record<LabelOperator, string>> = {
  in: "In",
  "=": "In",
  "==": "In",
  notin: "NotIn",
  "!=": "NotIn",
  exists: "Exists",
  "!": "DoesNotExist",
};

/** Comparisons of numbers have no form in a review: without them more is asked for. */
function labelRequirements(text: string): LabelSelectorRequirement[] {
  return parseLabelSelector(text).requirements.flatMap(({ key, operator, values }) => {
    const known = OPERATORS[operator];
    if (known === undefined) return [];
    return [{ key, operator: known, ...(values.length === 0 ? {} : { values: [...values] }) }];
  });
}
