// has(e.f) where e is more than names and dots, as in has(device.attributes["a"].model). The library knows the simple form.
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#field-selection
import type { ASTNode } from "@marcbachmann/cel-js";
import { internals, type CheckContext, type CheckedType, type Checker, type Evaluator } from "./node.ts";

type Field = ASTNode & { readonly args: readonly [ASTNode, string] };

const isField = (node: ASTNode | undefined): node is Field => node?.op === ".";

function isSimple(node: ASTNode): boolean {
  const { op, args } = node as { op: string; args: unknown };
  if (op === "id") return true;
  return (op === "." || op === ".?") && isSimple((args as readonly [ASTNode])[0]);
}

/** Lets a call of `has` look at any operand; leaves all else as it is. */
export function openPresence(node: ASTNode): void {
  if (node.op !== "call") return;
  const [name, nodes] = node.args as readonly [string, readonly ASTNode[]];
  const field = nodes[0];
  if (name !== "has" || !isField(field)) return;
  const macro = internals(node).meta.macro;
  if (typeof macro !== "object" || macro === null) return;
  const known = macro as {
    readonly typeCheck: (checker: Checker, macro: object, context: CheckContext) => CheckedType;
  };
  const { typeCheck } = known;
  Object.assign(macro, {
    typeCheck(checker: Checker, self: object, context: CheckContext): CheckedType {
      checkField(checker, node, field, context);
      return isSimple(field) ? typeCheck(checker, self, context) : checker.getType("bool");
    },
  });
  if (isSimple(field)) return;
  Object.assign(macro, {
    evaluate(evaluator: Evaluator, _macro: never, context: CheckContext): boolean {
      const [operand, member] = field.args;
      const value = evaluator.run(operand, context);
      return evaluator.debugType(value).fieldLazy(value, member, field, evaluator) !== undefined;
    },
  });
}

/** Only fields that there may be can be asked for. The error stands where the question does. */
function checkField(checker: Checker, asking: ASTNode, field: Field, context: CheckContext): void {
  const [operand, member] = field.args;
  const type = checker.check(operand, context);
  const fields = type.kind === "message" ? checker.registry.objectTypes.get(type.name)?.fields : undefined;
  if (fields === undefined) {
    const selects = ["dyn", "map", "param", "message", "optional"].includes(type.kind);
    if (!selects) throw checker.createError("no_field", `type '${type.name}' does not support field selection`, asking);
    checker.check(field, context);
    return;
  }
  if (!Object.hasOwn(fields, member)) throw checker.createError("no_such_key", `No such key: ${member}`, asking);
}

interface Checked {
  readonly checkedType?: CheckedType;
}

/** Lets `key in map` ask whether there is an entry, for maps that give a value also where there is none. After the check. */
export function askForEntries(node: ASTNode): void {
  if (node.op !== "in") return;
  const [key, map] = node.args as readonly [ASTNode, ASTNode & Checked];
  if (map.checkedType?.kind !== "map") return;
  const evaluate = (evaluator: Evaluator, _node: ASTNode, context: CheckContext): boolean => {
    const wanted = evaluator.run(key, context);
    const entries = evaluator.run(map, context);
    return entries instanceof Map ? entries.has(wanted) : Object.hasOwn(entries as object, wanted as string);
  };
  Object.assign(internals(node).meta, { evaluate });
}
