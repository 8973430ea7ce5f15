// Paths into a schema, as fieldPath of a rule and jsonPath of a selectable field name them: `.spec.size`, `.spec['my-map']`.
import { childPath, keyPath } from "@coxswain/apimachinery";
import type { JsonSchemaProps } from "../types.ts";
import { additionalOf } from "./schema.ts";

export type ResolvedPath =
  | {
      /** In the form of field errors, as in spec.map[key]. */
      readonly path: string;
      readonly schema: JsonSchemaProps;
    }
  | { readonly error: string };

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "'": "'",
  "\\": "\\",
};

/** Dots and brackets as tokens of their own; quoted text in one token. */
function tokensOf(text: string): string[] {
  return text.match(/'(?:\\.|[^'\\])*'|[.[\]]|[^.[\]']+|'/g) ?? [];
}

/** Follows `text` from `root`; `brackets` allows the form with brackets. */
export function resolveFieldPath(text: string, root: JsonSchemaProps, brackets: boolean): ResolvedPath {
  const tokens = tokensOf(text);
  let path = "";
  let schema = root;
  for (let at = 0; at < tokens.length; at++) {
    const opening = tokens[at] as string;
    if (opening !== "." && opening !== "[") return { error: `expected [ or . but got: ${opening}` };
    if (opening === "[" && !brackets) return { error: "array notation is not allowed" };
    const token = tokens[++at];
    if (token === undefined) return { error: "unexpected end of JSON path" };
    const name = opening === "." ? token : unquote(token);
    if (typeof name !== "string") return name;
    const next = step(schema, name);
    if (next === undefined) return { error: "does not refer to a valid field" };
    path = schema.properties === undefined ? keyPath(path, name) : childPath(path, name);
    schema = next;
    if (opening === ".") continue;
    const closing = tokens[++at];
    if (closing === undefined) return { error: "unexpected end of JSON path" };
    if (closing !== "]") return { error: `expected ] but got ${closing}` };
  }
  return { path, schema };
}

function step(schema: JsonSchemaProps, name: string): JsonSchemaProps | undefined {
  if (schema.properties !== undefined) {
    return Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
  }
  return additionalOf(schema);
}

function unquote(token: string): string | { readonly error: string } {
  if (token.length < 2 || !token.startsWith("'") || !token.endsWith("'")) {
    return { error: `expected single quoted string but got ${token}` };
  }
  let bad: string | undefined;
  const text = token.slice(1, -1).replace(/\\(.)/g, (whole, letter: string) => {
    const escape = ESCAPES[letter];
    if (escape === undefined) bad ??= whole;
    return escape ?? "";
  });
  return bad === undefined ? text : { error: `invalid string literal: invalid escape char ${bad}` };
}
