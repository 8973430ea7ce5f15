// Comprehensions with two variables: the index and the element of a list, the key and the value of a map.
// https://pkg.go.dev/github.com/google/cel-go/ext#TwoVarComprehensions
import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import {
  identifierOf,
  type CheckContext,
  type CheckedType,
  type Checker,
  type Evaluator,
  type MacroCall,
} from "../syntax/node.ts";
import { celError } from "./definition.ts";

type Entry = readonly [unknown, unknown];

interface Comprehension {
  readonly range: ASTNode;
  readonly names: readonly [string, string];
  /** Chooses what is transformed; undefined: all. */
  readonly filter: ASTNode | undefined;
  readonly body: ASTNode;
  contexts: readonly [CheckContext, CheckContext] | undefined;
}

/** A rule over what the body gives for each entry, asked one after the other. */
type Fold = (entries: Iterable<Entry>, give: (entry: Entry) => unknown, choose: (entry: Entry) => boolean) => unknown;
type ResultType = (checker: Checker, key: CheckedType, body: CheckedType, node: ASTNode) => CheckedType;

function entriesOf(value: unknown): Entry[] {
  if (Array.isArray(value)) return value.map((item, at) => [BigInt(at), item] as const);
  return value instanceof Map ? [...value] : Object.entries(value as object);
}

function within(
  comprehension: Comprehension,
  context: CheckContext,
  [key, value]: Entry,
  evaluator: Evaluator,
): CheckContext {
  const [outer, inner] = comprehension.contexts!;
  return inner.reuse(outer.reuse(context).setIterValue(key, evaluator)).setIterValue(value, evaluator);
}

function rangeTypes(checker: Checker, range: ASTNode, context: CheckContext): readonly [CheckedType, CheckedType] {
  const type = checker.check(range, context);
  const dynamic = checker.getType("dyn");
  if (type.kind === "list") return [checker.getType("int"), type.valueType ?? dynamic];
  if (type.kind === "map") return [type.keyType ?? dynamic, type.valueType ?? dynamic];
  if (type.kind === "dyn") return [dynamic, dynamic];
  throw notARange(checker, type, range);
}

export function notARange(checker: Checker, type: CheckedType, range: ASTNode): Error {
  const text = `expression of type '${type.name}' cannot be range of a comprehension (must be list, map, or dynamic)`;
  return checker.createError("invalid_comprehension_range", text, range);
}

function requireBool(checker: Checker, node: ASTNode, context: CheckContext): void {
  const type = checker.check(node, context);
  if (type.isDynOrBool()) return;
  throw checker.createError("type_mismatch", `expected type 'bool' but found '${type.name}'`, node);
}

function macro(filtered: boolean, fold: Fold, resultType: ResultType, predicate: boolean) {
  return ({ args, receiver }: MacroCall): object => ({
    range: receiver,
    names: [identifierOf(args[0]), identifierOf(args[1])],
    filter: filtered ? args[2] : undefined,
    body: args.at(-1),
    contexts: undefined,
    typeCheck(checker: Checker, self: Comprehension, context: CheckContext): CheckedType {
      const [keyType, valueType] = rangeTypes(checker, self.range, context);
      const outer = context.forkWithVariable(self.names[0], keyType);
      const inner = outer.forkWithVariable(self.names[1], valueType);
      self.contexts = [outer, inner];
      if (self.filter !== undefined) requireBool(checker, self.filter, inner);
      if (predicate) requireBool(checker, self.body, inner);
      return resultType(checker, keyType, checker.check(self.body, inner), self.body);
    },
    evaluate(evaluator: Evaluator, self: Comprehension, context: CheckContext): unknown {
      const choose = (entry: Entry): boolean =>
        self.filter === undefined || evaluator.run(self.filter, within(self, context, entry, evaluator)) === true;
      const give = (entry: Entry): unknown => {
        const inside = within(self, context, entry, evaluator);
        return predicate ? evaluator.tryEval(self.body, inside) : evaluator.run(self.body, inside);
      };
      return fold(entriesOf(evaluator.run(self.range, context)), give, choose);
    },
  });
}

/** An answer of one entry decides, whatever errors there are at others. */
const decided =
  (by: boolean): Fold =>
  (entries, give) => {
    let failed: unknown;
    for (const entry of entries) {
      const said = give(entry);
      if (said === by) return by;
      if (said !== !by) failed ??= said instanceof Error ? said : celError("no such overload");
    }
    if (failed !== undefined) throw failed as Error;
    return !by;
  };

const one: Fold = (entries, give) => {
  let found = 0;
  for (const entry of entries) {
    const said = give(entry);
    if (said instanceof Error) throw said;
    if (said === true) found++;
  }
  return found === 1;
};

function* chosen(entries: Iterable<Entry>, choose: (entry: Entry) => boolean): Iterable<Entry> {
  for (const entry of entries) if (choose(entry)) yield entry;
}

const list: Fold = (entries, give, choose) => [...chosen(entries, choose)].map((entry) => give(entry));
const map: Fold = (entries, give, choose) =>
  new Map([...chosen(entries, choose)].map((entry) => [entry[0], give(entry)] as const));

const mapEntry: Fold = (entries, give, choose) => {
  const made = new Map<unknown, unknown>();
  for (const entry of chosen(entries, choose)) {
    for (const [key, value] of entriesOf(give(entry))) {
      if (made.has(key)) throw celError(`insert failed: key '${String(key)}' already exists`);
      made.set(key, value);
    }
  }
  return made;
};

const bool: ResultType = (checker) => checker.getType("bool");
const listOf: ResultType = (checker, _key, body) => checker.registry.getListType(body);
const mapOf: ResultType = (checker, key, body) => checker.registry.getMapType(key, body);
const same: ResultType = (checker, _key, body, node) => {
  if (body.kind === "map" || body.kind === "dyn") return body;
  throw checker.createError("type_mismatch", `expected type 'map(dyn, dyn)' but found '${body.name}'`, node);
};

export function registerComprehensions(environment: Environment): void {
  const add = (name: string, result: string, fold: Fold, type: ResultType, transforms: boolean): void => {
    const plain = macro(false, fold, type, !transforms);
    environment.registerFunction(`list.${name}(ast, ast, ast): ${result}`, plain as never);
    if (!transforms) return;
    const filtered = macro(true, fold, type, false);
    environment.registerFunction(`list.${name}(ast, ast, ast, ast): ${result}`, filtered as never);
  };
  add("all", "bool", decided(false), bool, false);
  add("exists", "bool", decided(true), bool, false);
  add("existsOne", "bool", one, bool, false);
  add("transformList", "list<dyn>", list, listOf, true);
  add("transformMap", "map<dyn, dyn>", map, mapOf, true);
  add("transformMapEntry", "map<dyn, dyn>", mapEntry, same, true);
}
