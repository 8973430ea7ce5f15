// Macros whose last argument is asked with one variable for values of what they are called on, as in `list.sortBy(each, key)`.
import type { ASTNode } from "@marcbachmann/cel-js";
import {
  identifierOf,
  type CheckContext,
  type CheckedType,
  type Checker,
  type Evaluator,
  type MacroCall,
} from "../syntax/node.ts";

interface BodyMacro {
  readonly receiver: ASTNode;
  readonly name: string;
  readonly body: ASTNode;
  inner: CheckContext | undefined;
}

export interface BodyMacroRules {
  /** Throws the checker's error where the macro is not of the receiver's type. */
  receive(checker: Checker, type: CheckedType, receiver: ASTNode): void;
  /** The type of the macro. Throws where the body's type is not one for it. */
  result(checker: Checker, type: CheckedType, bodyType: CheckedType, body: ASTNode): CheckedType;
  /** `give` is what the body gives for a value. */
  evaluate(received: unknown, give: (value: unknown) => unknown): unknown;
}

/** Of a call with the variable's name and the body as its arguments. */
export function bodyMacro({ args, receiver }: MacroCall, rules: BodyMacroRules): object {
  return {
    receiver,
    name: identifierOf(args[0]),
    body: args[1],
    inner: undefined,
    typeCheck(checker: Checker, self: BodyMacro, context: CheckContext): CheckedType {
      const type = checker.check(self.receiver, context);
      rules.receive(checker, type, self.receiver);
      self.inner = context.forkWithVariable(self.name, type.valueType ?? checker.getType("dyn"));
      return rules.result(checker, type, checker.check(self.body, self.inner), self.body);
    },
    evaluate(evaluator: Evaluator, self: BodyMacro, context: CheckContext): unknown {
      const received = evaluator.run(self.receiver, context);
      const give = (value: unknown): unknown =>
        evaluator.run(self.body, self.inner!.reuse(context).setIterValue(value, evaluator));
      return rules.evaluate(received, give);
    },
  };
}
