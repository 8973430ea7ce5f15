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
    return issueAt(expression, sourceOf(error.range?.start ?? 0), `Syntax error: ${error.summary}`);
  }
  const { node } = error as { readonly node?: ASTNode };
  const start = node === undefined ? (error.range?.start ?? 0) : placeOf(node);
  const told = (node && nodeMessage(error.code, node, isFunction)) ?? messageOf(error.code, error.summary);
  return issueAt(expression, sourceOf(start), typeTexts(told));
}

interface Checked {
  readonly checkedType?: CheckedType;
}

const typeOf = (node: ASTNode): string => (node as Checked).checkedType?.name ?? "dyn";

/** What is wrong, where the node tells more than the error's own words. */
function nodeMessage(code: string, node: ASTNode, isFunction: (name: string) => boolean): string | undefined {
  const unmatched = (name: string, types: string): string =>
    `found no matching overload for '${name}' applied to '${types}'`;
  const operands = node.args as unknown as readonly ASTNode[];
  switch (code) {
    case "invalid_logical_operand":
      return unmatched(`_${node.op}_`, `(${operands.map((each) => typeOf(each)).join(", ")})`);
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
  return unmatched(name, op === "call" ? `(${types})` : `${typeOf(called[1] as ASTNode)}.(${types})`);
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
