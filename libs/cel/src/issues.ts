// Compile errors in the form of the reference implementation: place, what is wrong, the line and a mark under it.
import { ParseError, TypeError, type ASTNode } from "@marcbachmann/cel-js";
import { authorName, placeOf } from "./syntax/places.ts";
import type { CheckedType } from "./syntax/node.ts";

/** As in `ERROR: <input>:1:5: undefined field 'foo'`, with the line below. */
export function issueText(
  expression: string,
  error: unknown,
  sourceOf: (at: number) => number,
  isFunction: (name: string) => boolean,
): string {
  const known = error instanceof ParseError || error instanceof TypeError;
  if (!known) return `ERROR: <input>:1:1: ${error instanceof Error ? error.message : String(error)}`;
  if (error instanceof ParseError) {
    return issueAt(expression, sourceOf(error.range?.start ?? 0), syntaxText(error.summary));
  }
  const { node: blamed } = error as { readonly node?: ASTNode };
  const node = blamed === undefined ? undefined : wrongOperand(error.code, blamed);
  const start = node === undefined ? (error.range?.start ?? 0) : placeOf(node);
  const told = (node && nodeMessage(error.code, node, isFunction)) ?? messageOf(error.code, error.summary);
  return issueAt(expression, sourceOf(start), typeTexts(told));
}

/** What may stand at the beginning of an expression. */
const OPERANDS =
  "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/** What ends what was opened, or goes on in it. */
const CLOSERS: Readonly<Record<string, string>> = {
  RPAREN: "missing ')' at '<EOF>'",
  RBRACKET: "mismatched input '<EOF>' expecting {']', ','}",
  RBRACE: "mismatched input '<EOF>' expecting {'}', ','}",
  IDENTIFIER: "no viable alternative at input '.'",
};

/** The parser's complaint in the words of the reference implementation's, where it has the same one. */
function syntaxText(summary: string): string {
  if (summary === "Unexpected token: EOF") return `Syntax error: mismatched input '<EOF>' expecting ${OPERANDS}`;
  const wanted = /^Expected (\w+), got EOF$/.exec(summary)?.[1];
  if (wanted !== undefined && Object.hasOwn(CLOSERS, wanted)) return `Syntax error: ${CLOSERS[wanted]}`;
  const more = /^Unexpected character: '([^']+)'$/.exec(summary)?.[1];
  if (more !== undefined) return `Syntax error: extraneous input '${more}' expecting <EOF>`;
  const macro = /invalid predicate iteration variable|invalid variable argument/.test(summary);
  return macro ? "argument must be a simple name" : `Syntax error: ${summary}`;
}

interface Checked {
  readonly checkedType?: CheckedType;
}

/** The operand that is wrong, where only the operator is blamed. */
function wrongOperand(code: string, node: ASTNode): ASTNode {
  if (code !== "invalid_logical_operand" || (node.op !== "&&" && node.op !== "||")) return node;
  const operands = node.args as unknown as readonly ASTNode[];
  return operands.find((each) => !/^(?:bool|dyn\b.*)$/.test(typeOf(each))) ?? node;
}

const typeOf = (node: ASTNode): string => (node as Checked).checkedType?.name ?? "dyn";

/** What is wrong, where the node tells more than the error's own words. */
function nodeMessage(code: string, node: ASTNode, isFunction: (name: string) => boolean): string | undefined {
  const unmatched = (name: string, types: string): string =>
    `found no matching overload for '${name}' applied to '${types}'`;
  const operands = node.args as unknown as readonly ASTNode[];
  switch (code) {
    case "invalid_logical_operand":
      return `expected type 'bool' but found '${typeOf(node)}'`;
    case "invalid_condition_type":
      // The body of a macro: of all and exists, and of filter, which chooses by it.
      return `expected type 'bool' but found '${typeOf(node)}'`;
    case "incompatible_ternary_branches":
      return unmatched("_?_:_", `(${operands.map((each) => typeOf(each)).join(", ")})`);
    case "no_such_overload":
      return node.op === "!_" || node.op === "-_" ? unmatched(node.op, `(${typeOf(node.args)})`) : undefined;
    case "invalid_index_type":
    case "cannot_index_type":
      if (node.op === ".") return `type '${typeOf(operands[0]!)}' does not support field selection`;
      return node.op === "[]" ? unmatched("_[_]", `(${operands.map((each) => typeOf(each)).join(", ")})`) : undefined;
    case "no_matching_overload":
      return callMessage(node, isFunction, unmatched);
    default:
      return undefined;
  }
}

function callMessage(
  { op, args }: ASTNode,
  isFunction: (name: string) => boolean,
  unmatched: (name: string, types: string) => string,
): string | undefined {
  if (op !== "call" && op !== "rcall") return undefined;
  const called = args as unknown as readonly [string, ...unknown[]];
  const name = authorName(called[0]);
  if (!isFunction(called[0])) return `undeclared reference to '${name}' (in container '')`;
  const given = called.at(-1) as readonly ASTNode[];
  const types = given.map((each) => typeOf(each)).join(", ");
  if (op === "call") return unmatched(name, `(${types})`);
  const receiver = typeOf(called[1] as ASTNode);
  const namespace = /^Namespace\.(\w+)$/.exec(receiver)?.[1] ?? /^(\w+)Namespace$/.exec(receiver)?.[1]?.toLowerCase();
  return namespace === undefined
    ? unmatched(name, `${receiver}.(${types})`)
    : unmatched(`${namespace}.${name}`, `(${types})`);
}

/** `start` is the place in the expression, in UTF-16 units. */
export function issueAt(expression: string, start: number, message: string): string {
  const before = expression.slice(0, Math.max(start, 0));
  const line = before.split("\n").length;
  const column = before.length - (before.lastIndexOf("\n") + 1);
  const text = expression.split("\n")[line - 1] ?? "";
  return `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${text}\n | ${".".repeat(column)}^`;
}

const NAMES: Readonly<Record<string, string>> = {
  optional: "optional_type",
  "google.protobuf.Timestamp": "timestamp",
  "google.protobuf.Duration": "duration",
};

/** A type that nothing is known of, as in list<T>. */
const PARAMETER = /(?<=[<( ])[A-Z](?=[>,)])/g;

/** Types as the reference implementation writes them, as in "map(string, list(int))". */
export function typeTexts(text: string): string {
  let open = 0;
  return text
    .replace(PARAMETER, "dyn")
    .replace(/(google\.protobuf\.\w+|\w+)(<?)|>/g, (whole, name: string | undefined, mark: string) => {
      if (name === undefined) return open > 0 && open-- > 0 ? ")" : whole;
      if (mark === "<" && /^(list|map|optional)$/.test(name)) open++;
      else if (mark === "<") return whole;
      const known = Object.hasOwn(NAMES, name) && (mark === "<" || name.includes(".")) ? NAMES[name] : name;
      return `${known}${mark === "<" ? "(" : ""}`;
    });
}

function messageOf(code: string, summary: string): string {
  const rest = summary.slice(summary.indexOf(":") + 1).trim();
  if (code === "unknown_variable") return `undeclared reference to '${rest}' (in container '')`;
  if (code === "no_such_key") return `undefined field '${rest}'`;
  if (code === "invalid_comprehension_range") return summary.replace(/^E/, "e").replace(/\.$/, "");
  if (summary === "has() invalid argument") return "invalid argument to has() macro";
  const binary = /^no such overload: (.+) (==|!=|<=|>=|<|>|\+|-|\*|\/|%|in) (.+)$/.exec(summary);
  if (binary !== null) {
    const operator = binary[2] === "in" ? "@in" : `_${binary[2]}_`;
    return `found no matching overload for '${operator}' applied to '(${binary[1]}, ${binary[3]})'`;
  }
  const call = /^found no matching overload for '(?:(.+)\.)?([A-Za-z_]\w*)\((.*)\)'$/.exec(summary);
  if (call === null) return summary;
  const name = authorName(call[2] as string);
  const receiver = call[1] === undefined ? "" : `${call[1]}.`;
  return `found no matching overload for '${name}' applied to '${receiver}(${call[3]})'`;
}
