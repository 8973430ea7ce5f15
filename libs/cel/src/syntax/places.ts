// Where the reference implementation sees a node in the source: an operator where it stands, a member at its dot, a call at
// its bracket. Marks under errors stand there, and authors look there.
import type { ASTNode } from "@marcbachmann/cel-js";

/** What may stand between an operand and its operator. */
const BETWEEN = /(?:[\s)]|\/\/[^\n]*)*/y;
const SPACE = /(?:\s|\/\/[^\n]*)*/y;

interface Placed {
  readonly op: string;
  readonly args: unknown;
  readonly start: number;
  readonly end: number;
  readonly input?: string;
}

function past(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return at + (pattern.exec(text)?.[0].length ?? 0);
}

const isNode = (value: unknown): value is Placed =>
  typeof value === "object" && value !== null && "op" in value && "end" in value;

/** The name by which authors know a function. */
export const authorName = (name: string): string => (name.startsWith("go_") ? name.slice("go_".length) : name);

/** The place in the text that was parsed. */
export function placeOf(node: ASTNode): number {
  const { op, args, start, input = "" } = node as unknown as Placed;
  if (op === "call") {
    const [name] = args as readonly [string];
    return past(SPACE, input, start + authorName(name).length);
  }
  if (op === "rcall") {
    const [name, receiver] = args as readonly [string, Placed];
    const dot = past(BETWEEN, input, receiver.end);
    return past(SPACE, input, past(SPACE, input, dot + 1) + authorName(name).length);
  }
  const first: unknown = Array.isArray(args) ? args[0] : undefined;
  // Literals and what stands before its only operand begin where they are.
  if (op === "list" || op === "map" || !isNode(first)) return start;
  return past(BETWEEN, input, first.end);
}
