// Message literals: `Object.spec{…}` makes an object whose name says where it belongs, `JSONPatch{…}` an operation of a
// patch. Guarantees: only names that the scope knows can be made; a field of the wrong type is a compile error where the
// type is known.
// https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/#patch-type-apply-configuration
import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import { CONSTRUCT } from "./desugar.ts";
import {
  identifierOf,
  type CheckContext,
  type CheckedType,
  type Checker,
  type Evaluator,
  type MacroCall,
} from "./node.ts";
import { elementType, messageElements, presentValue } from "./optional-elements.ts";

/** What a literal makes: its fields by name. Each type has a class of its own, by which the evaluator knows it. */
export abstract class CelMessage extends Map<string, unknown> {
  abstract readonly typeName: string;
}

const PATCH_FIELDS: Readonly<Record<string, string>> = { op: "string", path: "string", from: "string", value: "dyn" };

interface Message {
  readonly name: string;
  readonly root: ASTNode;
  readonly elements: ReturnType<typeof messageElements>;
  make: (() => CelMessage) | undefined;
}

/** As in "Object.spec.template"; undefined where it is no name. */
function nameOf(node: ASTNode): { name: string; root: ASTNode } | undefined {
  if (node.op === "id") return { name: node.args, root: node };
  if (node.op !== ".") return undefined;
  const [left, field] = node.args;
  const below = nameOf(left);
  return below && { name: `${below.name}.${field}`, root: below.root };
}

function classFor(typeName: string): new () => CelMessage {
  return class extends CelMessage {
    readonly typeName = typeName;
  };
}

function declared(checker: Checker, name: string): { type: CheckedType; make: () => CelMessage } {
  const { registry } = checker;
  if (!registry.objectTypes.has(name)) {
    registry.registerType(name, { ctor: classFor(name) });
  }
  const { type, ctor } = registry.objectTypes.get(name)!;
  return { type, make: () => new ctor() as CelMessage };
}

function checkField(checker: Checker, message: Message, field: string, type: CheckedType, node: ASTNode): void {
  if (message.name !== "JSONPatch") return;
  const wanted = Object.hasOwn(PATCH_FIELDS, field) ? PATCH_FIELDS[field] : undefined;
  if (wanted === undefined) throw checker.createError("no_such_field", `undefined field '${field}'`, node);
  if (wanted === "dyn" || type.kind === "dyn" || type.name === wanted) return;
  const text = `expected type of field '${field}' is '${wanted}' but provided type is '${type.name}'`;
  throw checker.createError("type_mismatch", text, node);
}

function typeCheck(checker: Checker, message: Message, context: CheckContext): CheckedType {
  for (const each of message.elements) {
    const type = elementType(checker, each, context);
    checkField(checker, message, identifierOf(each.key), type, each.key!);
  }
  const { type, make } = declared(checker, message.name);
  message.make = make;
  return type;
}

function evaluate(evaluator: Evaluator, message: Message, context: CheckContext): CelMessage {
  const made = message.make!();
  for (const each of message.elements) {
    const value = presentValue(each, evaluator.run(each.value, context));
    if (value !== undefined) made.set(identifierOf(each.key), value);
  }
  return made;
}

/** `known` says whether there is a type of that name. */
export function registerMessages(environment: Environment, known: (name: string) => boolean): void {
  const expand = ({ args, receiver }: MacroCall): object => {
    const found = nameOf(receiver);
    if (found === undefined) throw new Error("Syntax error: expected a type name before '{'");
    return {
      ...found,
      elements: messageElements(args[0]!),
      make: undefined,
      evaluate,
      typeCheck(checker: Checker, message: Message, context: CheckContext): CheckedType {
        if (known(message.name)) return typeCheck(checker, message, context);
        throw checker.createError("unknown_variable", `Unknown variable: ${message.name}`, message.root);
      },
    };
  };
  environment.registerFunction(`dyn.${CONSTRUCT}(ast): dyn`, expand as never);
}

/** Names that mutations may make. */
export function isPatchType(name: string): boolean {
  return name === "JSONPatch" || name === "Object" || name.startsWith("Object.");
}
