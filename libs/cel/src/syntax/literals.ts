// Literals that can be nothing but a mistake: patterns, durations and times that do not parse. They are told when an
// expression is compiled, not when it runs first.
// https://pkg.go.dev/github.com/google/cel-go/cel#ValidateRegexLiterals
import { compileGoRegExp } from "@coxswain/apimachinery";
import { evaluate, type ASTNode } from "@marcbachmann/cel-js";
import { eachNode } from "./node.ts";

export interface Problem {
  readonly start: number;
  readonly message: string;
}

const parses = (act: () => unknown): boolean => {
  try {
    act();
    return true;
  } catch {
    // Whatever it says: the literal is not of the form.
    return false;
  }
};

const CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  matches: (text) => parses(() => compileGoRegExp(text)),
  duration: (text) => parses(() => evaluate("duration(text)", { text })),
  timestamp: (text) => parses(() => evaluate("timestamp(text)", { text })),
};

/** The function's name and the argument that must parse. */
function checked(node: ASTNode): readonly [string, ASTNode | undefined] {
  if (node.op === "rcall") {
    const [name, , args] = node.args as unknown as [string, ASTNode, readonly ASTNode[]];
    return [name === "go_matches" ? "matches" : "", args[0]];
  }
  if (node.op !== "call") return ["", undefined];
  const [name, args] = node.args as unknown as [string, readonly ASTNode[]];
  return name === "matches" ? [name, args[1]] : [args.length === 1 ? name : "", args[0]];
}

const INT_LIMIT = 2n ** 63n;

/** The smallest number there is has a sign that the parser reads apart from it. */
function tooLarge(node: ASTNode): boolean {
  const { args, input, start } = node as unknown as { args: unknown; input?: string; start: number };
  if (typeof args !== "bigint" || args < INT_LIMIT) return false;
  return args > INT_LIMIT || input?.[start - 1] !== "-";
}

export function literalProblems(root: ASTNode): Problem[] {
  const found: Problem[] = [];
  eachNode(root, root.constructor, (node) => {
    if (node.op === "value" && tooLarge(node)) found.push({ start: node.start, message: "invalid int literal" });
    const [name, argument] = checked(node);
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined;
    if (check === undefined || argument?.op !== "value" || typeof argument.args !== "string") return;
    if (!check(argument.args)) found.push({ start: argument.start, message: `invalid ${name} argument` });
  });
  return found;
}
