// Literals of maps and lists: optional entries and elements are there where their value is, and keys keep their type.
// Guarantee: what is marked and not optional is refused when the expression is compiled.
import { Optional, type ASTNode } from "@marcbachmann/cel-js";
import { celError } from "../functions/definition.ts";
import { OPTIONAL_MARK } from "./desugar.ts";
import { internals, type CheckContext, type CheckedType, type Checker, type Operation } from "./node.ts";

interface Element {
  readonly key: ASTNode | undefined;
  readonly value: ASTNode;
  readonly optional: boolean;
}

const isMark = (node: unknown): boolean => {
  const { op, args } = (node ?? {}) as ASTNode;
  return op === "id" && args === OPTIONAL_MARK;
};

/** The elements without their marks; undefined where there are none. */
function elementsOf(node: ASTNode): Element[] | undefined {
  const pairs: readonly (readonly [ASTNode | undefined, ASTNode])[] =
    node.op === "map" ? node.args : node.op === "list" ? node.args.map((value) => [undefined, value] as const) : [];
  const marked = ([key, value]: readonly [ASTNode | undefined, ASTNode]): boolean => isMark(key ?? value);
  if (!pairs.some((pair) => marked(pair))) return undefined;
  return pairs.flatMap((pair, at) => {
    const before = pairs[at - 1];
    const [key, value] = pair;
    return marked(pair) ? [] : [{ key, value, optional: before !== undefined && marked(before) }];
  });
}

/** The elements of a message literal's body. */
export function messageElements(node: ASTNode): Element[] {
  return (
    elementsOf(node) ?? (node.args as [ASTNode, ASTNode][]).map(([key, value]) => ({ key, value, optional: false }))
  );
}

/** The type of the value that is there. @throws TypeError where an optional one is none */
export function elementType(checker: Checker, { value, optional }: Element, context: CheckContext): CheckedType {
  const type = checker.check(value, context);
  if (!optional || type.kind === "dyn") return type;
  if (type.kind === "optional") return type.valueType ?? checker.getType("dyn");
  throw checker.createError(
    "type_mismatch",
    `expected type 'optional_type(${type.name})' but found '${type.name}'`,
    value,
  );
}

/** The value; undefined where it is optional and not there. */
export function presentValue({ optional }: Element, value: unknown): unknown {
  if (!optional) return value;
  if (!(value instanceof Optional))
    throw celError("cannot initialize an optional entry from a value that is not optional");
  return value.hasValue() ? value.value() : undefined;
}

function unified(checker: Checker, types: readonly CheckedType[]): CheckedType {
  const dynamic = checker.getType("dyn");
  return (
    types.reduce<CheckedType | undefined>(
      (all, type) => (all === undefined ? type : (all.unify(checker.registry, type) ?? dynamic)),
      undefined,
    ) ?? dynamic
  );
}

const LIST: Operation = {
  name: "optionalList",
  check(checker, node, context) {
    const elements = node.args as unknown as Element[];
    return checker.registry.getListType(
      unified(
        checker,
        elements.map((each) => elementType(checker, each, context)),
      ),
    );
  },
  evaluate(evaluator, node, context) {
    const elements = node.args as unknown as Element[];
    return elements
      .map((each) => presentValue(each, evaluator.run(each.value, context)))
      .filter((value) => value !== undefined);
  },
};

const MAP: Operation = {
  name: "keyedMap",
  check(checker, node, context) {
    const elements = node.args as unknown as Element[];
    const keys = unified(
      checker,
      elements.map(({ key }) => checker.check(key!, context)),
    );
    return checker.registry.getMapType(
      keys,
      unified(
        checker,
        elements.map((each) => elementType(checker, each, context)),
      ),
    );
  },
  evaluate(evaluator, node, context) {
    const elements = node.args as unknown as Element[];
    const found = new Map<unknown, unknown>();
    for (const each of elements) {
      const value = presentValue(each, evaluator.run(each.value, context));
      if (value !== undefined) found.set(evaluator.run(each.key!, context), value);
    }
    return found;
  },
};

/** Puts in the place of a literal one that knows optional elements, and keys that are no strings. */
export function resolveLiteral(node: ASTNode): void {
  const keyed = node.op === "map" && node.args.length > 0;
  const elements = keyed ? messageElements(node) : elementsOf(node);
  if (elements === undefined) return;
  internals(node).setMeta("alternate", internals(node).clone(keyed ? MAP : LIST, elements));
}
