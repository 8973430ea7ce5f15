// Equality, membership and sums of lists by the language's own rules: values of all types can be compared with their like,
// optional ones among them, numbers by what they are worth, and lists by what their order means.
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#equality
import type { ASTNode } from "@marcbachmann/cel-js";
import { joinLists } from "../list-identity.ts";
import { sameCelValue } from "../values.ts";
import {
  internals,
  type CheckContext,
  type CheckedType,
  type Checker,
  type Evaluator,
  type Operation,
} from "./node.ts";

type Pair = readonly [ASTNode, ASTNode];

const isOpen = (type: CheckedType | undefined): boolean =>
  type === undefined || type.kind === "dyn" || type.kind === "param";

/** What null can be compared with besides itself. */
const NULLABLE: ReadonlySet<string> = new Set(["message", "optional"]);

function comparable(a: CheckedType | undefined, b: CheckedType | undefined): boolean {
  if (a === undefined || b === undefined || isOpen(a) || isOpen(b) || a.name === b.name) return true;
  if (a.name === "null") return NULLABLE.has(b.kind);
  if (b.name === "null") return NULLABLE.has(a.kind);
  if (a.kind !== b.kind || !["list", "map", "optional"].includes(a.kind)) return false;
  return comparable(a.keyType, b.keyType) && comparable(a.valueType, b.valueType);
}

const operation = (negated: boolean): Operation => ({
  name: negated ? "unequal" : "equal",
  check(checker: Checker, node: ASTNode, context: CheckContext): CheckedType {
    const [left, right] = node.args as unknown as Pair;
    const types = [checker.check(left, context), checker.check(right, context)] as const;
    if (comparable(...types)) return checker.getType("bool");
    const text = `no such overload: ${types[0].name} ${negated ? "!=" : "=="} ${types[1].name}`;
    throw checker.createError("no_such_overload", text, node);
  },
  evaluate(evaluator: Evaluator, node: ASTNode, context: CheckContext): boolean {
    const [left, right] = node.args as unknown as Pair;
    return sameCelValue(evaluator.run(left, context), evaluator.run(right, context)) !== negated;
  },
});

const OPERATIONS: Readonly<Record<string, Operation>> = { "==": operation(false), "!=": operation(true) };

/** Puts the comparison of the language in the place of the library's. Before the check. */
export function openEquality(node: ASTNode): void {
  const found = Object.hasOwn(OPERATIONS, node.op) ? OPERATIONS[node.op] : undefined;
  if (found === undefined) return;
  const own = internals(internals(node).clone(found, node.args)).setMeta("async", false);
  internals(node).setMeta("alternate", own);
}

type Evaluate = (evaluator: Evaluator, node: ASTNode, context: CheckContext) => unknown;

interface Checked {
  readonly checkedType?: CheckedType;
}

/** Lets lists be joined, and asked for items, by what makes items the same. After the check. */
export function openLists(node: ASTNode): void {
  if (node.op !== "+" && node.op !== "in") return;
  const [left, right] = node.args as readonly [ASTNode & Checked, ASTNode & Checked];
  if ((node.op === "+" ? left : right).checkedType?.kind !== "list") return;
  const join: Evaluate = (evaluator, _node, context) =>
    joinLists(
      evaluator.run(left, context) as readonly unknown[],
      evaluator.run(right, context) as readonly unknown[],
      sameCelValue,
    );
  const ask: Evaluate = (evaluator, _node, context) => {
    const wanted = evaluator.run(left, context);
    return (evaluator.run(right, context) as readonly unknown[]).some((each) => sameCelValue(each, wanted));
  };
  Object.assign(internals(node).meta, { evaluate: node.op === "+" ? join : ask });
}
