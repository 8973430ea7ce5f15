// Label selectors: the text form (`app=web,tier in (a,b),!old`) and the object form (matchLabels, matchExpressions).
// A selector is immutable; matching allocates nothing.
import {
  type FieldError,
  fieldErrorText,
  fieldErrorsText,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
} from "./field-error.ts";
import { validateLabelKey, validateLabelValue } from "./names.ts";
import { quote } from "./quote.ts";
import { newBadRequest } from "./status-factories.ts";

export type LabelOperator = "in" | "notin" | "=" | "==" | "!=" | "exists" | "!" | "gt" | "lt";

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** None for exists and !, one for =, ==, !=, gt and lt. */
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>> | undefined;

export interface Selector {
  matches(labels: Labels): boolean;
  /** Sorted by key; all must hold. */
  readonly requirements: readonly LabelRequirement[];
  /** True where it selects everything. */
  readonly isEmpty: boolean;
  /** True where it selects nothing: what an absent selector object means. */
  readonly isNothing: boolean;
  toString(): string;
}

/** The object form, as in Deployment's spec.selector. */
export interface LabelSelectorObject {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

const EVERYTHING: Selector = makeSelector([]);
const NOTHING: Selector = {
  matches: () => false,
  requirements: [],
  isEmpty: false,
  isNothing: true,
  toString: () => "",
};

/** Matches exactly these labels (all of them; others may be there). Validates nothing. */
export function selectorFromLabels(labels: Labels): Selector {
  const entries = Object.entries(labels ?? {});
  if (entries.length === 0) return EVERYTHING;
  return makeSelector(entries.map(([key, value]) => ({ key, operator: "=", values: [value] })));
}

/** undefined selects nothing, {} everything. Throws a BadRequest StatusError where it is malformed. */
export function labelSelectorAsSelector(selector: LabelSelectorObject | null | undefined): Selector {
  if (selector === undefined || selector === null) return NOTHING;
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    requirements.push(checkedRequirement(key, "=", [value]));
  }
  for (const expression of selector.matchExpressions ?? []) {
    const operator = OBJECT_OPERATORS.get(expression.operator);
    if (operator === undefined) {
      throw newBadRequest(`${quote(expression.operator)} is not a valid label selector operator`);
    }
    requirements.push(checkedRequirement(expression.key, operator, expression.values ?? []));
  }
  return requirements.length === 0 ? EVERYTHING : makeSelector(requirements);
}

const OBJECT_OPERATORS = new Map<string, LabelOperator>([
  ["In", "in"],
  ["NotIn", "notin"],
  ["Exists", "exists"],
  ["DoesNotExist", "!"],
]);

/** The text form; "" selects everything. Throws a BadRequest StatusError in upstream's words. */
export function parseLabelSelector(text: string): Selector {
  const requirements = new Parser(text).parse();
  return requirements.length === 0 ? EVERYTHING : makeSelector(requirements);
}

/** Checks the object form; `path` is where it stands, as in spec.selector. */
export function validateLabelSelector(selector: LabelSelectorObject | null | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    const at = `${path}.matchLabels`;
    errors.push(...validateLabelKey(key).map((message) => fieldInvalid(at, key, message)));
    errors.push(...validateLabelValue(value).map((message) => fieldInvalid(at, value, message)));
  }
  for (const [index, expression] of (selector?.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    const count = expression.values?.length ?? 0;
    const operator = OBJECT_OPERATORS.get(expression.operator);
    if (operator === undefined) {
      errors.push(fieldInvalid(`${at}.operator`, expression.operator ?? "", "not a valid selector operator"));
    } else if ((operator === "in" || operator === "notin") && count === 0) {
      errors.push(fieldRequired(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if ((operator === "exists" || operator === "!") && count > 0) {
      errors.push(fieldForbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    }
    const key = expression.key ?? "";
    errors.push(...validateLabelKey(key).map((message) => fieldInvalid(`${at}.key`, key, message)));
    for (const [place, value] of (expression.values ?? []).entries()) {
      errors.push(
        ...validateLabelValue(value).map((message) => fieldInvalid(`${at}.values[${place}]`, value, message)),
      );
    }
  }
  return errors;
}

function makeSelector(unsorted: readonly LabelRequirement[]): Selector {
  const requirements = unsorted.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  let text: string | undefined;
  return {
    requirements,
    isEmpty: requirements.length === 0,
    isNothing: false,
    matches(labels) {
      for (const requirement of requirements) if (!requirementMatches(requirement, labels)) return false;
      return true;
    },
    toString: () => (text ??= requirements.map((each) => requirementText(each)).join(",")),
  };
}

function requirementMatches(requirement: LabelRequirement, labels: Labels): boolean {
  const { key, operator, values } = requirement;
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
  if (operator === "exists") return value !== undefined;
  if (operator === "!") return value === undefined;
  if (operator === "notin" || operator === "!=") return value === undefined || !values.includes(value);
  if (value === undefined) return false;
  if (operator !== "gt" && operator !== "lt") return values.includes(value);
  const actual = parseInt64(value);
  const limit = parseInt64(values[0] ?? "");
  if (actual === undefined || limit === undefined) return false;
  return operator === "gt" ? actual > limit : actual < limit;
}

function requirementText({ key, operator, values }: LabelRequirement): string {
  if (operator === "exists") return key;
  if (operator === "!") return `!${key}`;
  if (operator === "in" || operator === "notin") return `${key} ${operator} (${values.toSorted().join(",")})`;
  const sign = operator === "gt" ? ">" : operator === "lt" ? "<" : operator;
  return `${key}${sign}${values.join(",")}`;
}

/** Go's ParseInt(text, 10, 64). */
function parseInt64(text: string): bigint | undefined {
  if (!/^[+-]?\d{1,19}$/.test(text)) return undefined;
  const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

function checkedRequirement(key: string, operator: LabelOperator, values: string[]): LabelRequirement {
  const errors: FieldError[] = [];
  const keyErrors = validateLabelKey(key);
  if (keyErrors.length > 0) errors.push(fieldInvalid("key", key, keyErrors.join("; ")));
  const problem = countProblem(operator, values.length);
  if (problem !== undefined) errors.push(fieldInvalid("values", values, problem));
  for (const [index, value] of values.entries()) {
    if ((operator === "gt" || operator === "lt") && parseInt64(value) === undefined) {
      const detail = "for 'Gt', 'Lt' operators, the value must be an integer";
      errors.push(fieldInvalid(`values[${index}]`, value, detail));
    }
    const messages = validateLabelValue(value);
    if (messages.length > 0) errors.push(fieldInvalid(`values[${index}][${key}]`, value, messages.join("; ")));
  }
  if (errors.length > 0) throw newBadRequest(fieldErrorsText(errors));
  return { key, operator, values };
}

function countProblem(operator: LabelOperator, count: number): string | undefined {
  if (operator === "in" || operator === "notin") {
    return count === 0 ? "for 'in', 'notin' operators, values set can't be empty" : undefined;
  }
  if (operator === "exists" || operator === "!") {
    return count === 0 ? undefined : "values set must be empty for exists and does not exist";
  }
  if (count === 1) return undefined;
  return operator === "gt" || operator === "lt"
    ? "for 'Gt', 'Lt' operators, exactly one value is required"
    : "exact-match compatibility requires one single value";
}

const OPERATORS: ReadonlyMap<string, LabelOperator> = new Map([
  ["in", "in"],
  ["notin", "notin"],
  ["=", "="],
  ["==", "=="],
  ["!=", "!="],
  [">", "gt"],
  ["<", "lt"],
]);
const EXPECTED_OPERATORS = "in, notin, =, ==, !=, gt, lt";

type TokenKind = "word" | "symbol" | "end";
interface Token {
  readonly kind: TokenKind;
  readonly text: string;
}

/** Splits into words and the symbols `! = == != ( ) , > <`. */
function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(/[ \t\r\n]+|(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+)/g)) {
    if (match[1] !== undefined) tokens.push({ kind: "symbol", text: match[1] });
    else if (match[2] !== undefined) tokens.push({ kind: "word", text: match[2] });
  }
  tokens.push({ kind: "end", text: "" });
  return tokens;
}

const isSymbol = (token: Token, text: string): boolean => token.kind === "symbol" && token.text === text;

class Parser {
  private readonly tokens: Token[];
  private at = 0;

  constructor(text: string) {
    this.tokens = tokenize(text);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    for (;;) {
      const token = this.peek();
      if (token.kind === "end") return requirements;
      if (!startsRequirement(token)) {
        throw newBadRequest(`found '${token.text}', expected: !, identifier, or 'end of string'`);
      }
      requirements.push(this.wrapped());
      const separator = this.take();
      if (separator.kind === "end") return requirements;
      if (!isSymbol(separator, ",")) {
        throw newBadRequest(`found '${separator.text}', expected: ',' or 'end of string'`);
      }
      if (!startsRequirement(this.peek())) {
        throw newBadRequest(`found '${this.peek().text}', expected: identifier after ','`);
      }
    }
  }

  private peek(): Token {
    return this.tokens[Math.min(this.at, this.tokens.length - 1)] as Token;
  }

  private take(): Token {
    const token = this.peek();
    this.at++;
    return token;
  }

  private wrapped(): LabelRequirement {
    try {
      return this.requirement();
    } catch (error) {
      throw newBadRequest(`unable to parse requirement: ${(error as Error).message}`);
    }
  }

  private requirement(): LabelRequirement {
    const negated = isSymbol(this.peek(), "!");
    if (negated) this.at++;
    const key = this.take();
    if (key.kind !== "word") throw newBadRequest(`found '${key.text}', expected: identifier`);
    const messages = validateLabelKey(key.text);
    if (messages.length > 0) {
      // Upstream prints the absent path of a text selector as <nil>.
      throw newBadRequest(fieldErrorText(fieldInvalid("<nil>", key.text, messages.join("; "))));
    }
    const next = this.peek();
    if (next.kind === "end" || isSymbol(next, ",")) {
      return checkedRequirement(key.text, negated ? "!" : "exists", []);
    }
    if (negated) throw newBadRequest(`found '${next.text}', expected: ',' or 'end of string'`);
    const operator = OPERATORS.get(this.take().text);
    if (operator === undefined) throw newBadRequest(`found '${next.text}', expected: ${EXPECTED_OPERATORS}`);
    const values = operator === "in" || operator === "notin" ? this.valueSet() : [this.exactValue()];
    return checkedRequirement(key.text, operator, values);
  }

  private exactValue(): string {
    const next = this.peek();
    if (next.kind === "end" || isSymbol(next, ",")) return "";
    this.at++;
    if (next.kind !== "word") throw newBadRequest(`found '${next.text}', expected: identifier`);
    return next.text;
  }

  /** `(a, b)`; an empty place between commas is the empty value. */
  private valueSet(): string[] {
    const open = this.take();
    if (!isSymbol(open, "(")) throw newBadRequest(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    let pending = true;
    for (;;) {
      const token = this.take();
      if (token.kind === "word") {
        if (!pending) throw newBadRequest(`found '${token.text}', expected: ',' or ')'`);
        values.add(token.text);
        pending = false;
      } else if (isSymbol(token, ",") || isSymbol(token, ")")) {
        if (pending) values.add("");
        if (token.text === ")") return [...values].toSorted();
        pending = true;
      } else {
        throw newBadRequest(`found '${token.text}', expected: ${pending ? "',', or identifier" : "',' or ')'"}`);
      }
    }
  }
}

function startsRequirement(token: Token): boolean {
  return token.kind === "word" || isSymbol(token, "!");
}
