// Label and field selectors in their string form, tested against an object. A field selector may name any dotted path.
import type { KubeObject } from "@coxswain/apimachinery";
import type { Selection } from "./resource-client.ts";
import { newBadRequest } from "@coxswain/apimachinery";

type Test = (object: KubeObject) => boolean;

/** Splits at commas that are outside parentheses. */
function requirements(selector: string): string[] {
  return selector
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function labelTest(requirement: string): Test {
  const label = (object: KubeObject, key: string): string | undefined => object.metadata?.labels?.[key];
  const set = /^([^\s!=,()]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(requirement);
  if (set !== null) {
    const [, key, operator, list] = set as unknown as [string, string, string, string];
    const values = new Set(list.split(",").map((value) => value.trim()));
    return operator === "in"
      ? (object) => values.has(label(object, key) ?? "\0")
      : (object) => !values.has(label(object, key) ?? "\0");
  }
  const equality = /^([^\s!=,()]+)\s*(!=|==|=)\s*([^\s!=,()]*)$/.exec(requirement);
  if (equality !== null) {
    const [, key, operator, value] = equality as unknown as [string, string, string, string];
    return operator === "!=" ? (object) => label(object, key) !== value : (object) => label(object, key) === value;
  }
  const presence = /^(!?)\s*([^\s!=,()]+)$/.exec(requirement);
  if (presence !== null) {
    const key = presence[2]!;
    return presence[1] === "!" ? (o) => label(o, key) === undefined : (o) => label(o, key) !== undefined;
  }
  throw newBadRequest(`unable to parse requirement: found '${requirement}'`);
}

function fieldTest(requirement: string): Test {
  const match = /^([^!=]+?)\s*(!=|==|=)\s*(.*)$/.exec(requirement);
  if (match === null)
    throw newBadRequest(`invalid field selector: "${requirement}"; can't understand "${requirement}"`);
  const [, path, operator, wanted] = match as unknown as [string, string, string, string];
  const steps = path.split(".");
  const read = (object: KubeObject): string => {
    let at: unknown = object;
    for (const step of steps) at = (at as Record<string, unknown> | null | undefined)?.[step];
    return at === undefined || at === null ? "" : typeof at === "string" ? at : JSON.stringify(at);
  };
  return operator === "!=" ? (object) => read(object) !== wanted : (object) => read(object) === wanted;
}

/** A test of namespace, labels and fields; throws BadRequest for a selector that cannot be parsed. */
export function selectionTest(selection: Selection): Test {
  const tests = [
    ...requirements(selection.labelSelector ?? "").map(labelTest),
    ...requirements(selection.fieldSelector ?? "").map(fieldTest),
  ];
  const namespace = selection.namespace ?? "";
  return (object) =>
    (namespace === "" || object.metadata?.namespace === namespace) && tests.every((test) => test(object));
}

/** True where `labels` meet the matchLabels and matchExpressions of a LabelSelector object; an absent selector matches nothing. */
export function matchesLabelSelector(
  selector:
    | {
        matchLabels?: Record<string, string>;
        matchExpressions?: { key: string; operator: string; values?: string[] }[];
      }
    | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (selector === undefined) return false;
  const equal = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    equal &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "In") return value !== undefined && values.includes(value);
      if (operator === "NotIn") return value === undefined || !values.includes(value);
      return operator === "Exists" ? value !== undefined : value === undefined;
    })
  );
}
