// Field selectors: `status.phase=Running,spec.nodeName!=n1`. Which fields exist is the kind's business, not decided here.
import { newBadRequest } from "./status-factories.ts";

export interface FieldRequirement {
  readonly field: string;
  /** "==" in the text counts as "=". */
  readonly op: "=" | "!=";
  readonly value: string;
}

export interface FieldSelector {
  readonly requirements: readonly FieldRequirement[];
  readonly isEmpty: boolean;
  /** An absent field counts as "". */
  matches(fields: Readonly<Record<string, string>>): boolean;
  toString(): string;
}

/** Parses; "" selects everything. Throws a BadRequest StatusError in upstream's words. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term === "") continue;
    const match = /^(.*?)(!=|==|=)(.*)$/s.exec(term);
    if (match === null) throw newBadRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = "", operator, raw = ""] = match;
    requirements.push({ field, op: operator === "!=" ? "!=" : "=", value: unescapeValue(raw) });
  }
  return makeFieldSelector(requirements);
}

export function makeFieldSelector(requirements: readonly FieldRequirement[]): FieldSelector {
  return {
    requirements,
    isEmpty: requirements.length === 0,
    matches(fields) {
      for (const { field, op, value } of requirements) {
        const actual = Object.hasOwn(fields, field) ? fields[field] : "";
        if ((actual === value) !== (op === "=")) return false;
      }
      return true;
    },
    toString: () =>
      requirements.map(({ field, op, value }) => `${field}${op}${value.replace(/[\\,=]/g, "\\$&")}`).join(","),
  };
}

/** Splits at commas that no backslash escapes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === ",") {
      terms.push(text.slice(start, at));
      start = at + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescapeValue(raw: string): string {
  let value = "";
  for (let at = 0; at < raw.length; at++) {
    const character = raw[at] as string;
    if (character === "\\") {
      const next = raw[++at] ?? "";
      if (!["\\", ",", "="].includes(next)) {
        throw newBadRequest(`invalid field selector: invalid escape sequence: \\${next}`);
      }
      value += next;
    } else if (character === "," || character === "=") {
      // Upstream prints the character's code here.
      throw newBadRequest(`invalid field selector: unescaped character in value: ${character.charCodeAt(0)}`);
    } else {
      value += character;
    }
  }
  return value;
}
