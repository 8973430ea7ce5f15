// Compile errors in the form of the reference implementation: place, what is wrong, the line and a mark under it.
import { ParseError, TypeError } from "@marcbachmann/cel-js";

/** As in `ERROR: <input>:1:5: undefined field 'foo'`, with the line below. */
export function issueText(expression: string, error: unknown, sourceOf: (at: number) => number): string {
  const known = error instanceof ParseError || error instanceof TypeError;
  if (!known) return `ERROR: <input>:1:1: ${error instanceof Error ? error.message : String(error)}`;
  // A field's error stands at its dot.
  const start = sourceOf(error.range?.start ?? 0) - (error.code === "no_such_key" ? 1 : 0);
  const message =
    error instanceof ParseError ? `Syntax error: ${error.summary}` : typeTexts(messageOf(error.code, error.summary));
  return issueAt(expression, start, message);
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

/** Types as the reference implementation writes them, as in "map(string, list(int))". */
export function typeTexts(text: string): string {
  let open = 0;
  return text.replace(/(google\.protobuf\.\w+|\w+)(<?)|>/g, (whole, name: string | undefined, mark: string) => {
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
  const name = call[2] === "go_matches" ? "matches" : call[2];
  const receiver = call[1] === undefined ? "" : `${call[1]}.`;
  return `found no matching overload for '${name}' applied to '${receiver}(${call[3]})'`;
}
