// How much an expression costs at least and at most, before it is ever run, by what its schema says of the sizes of values.
// Guarantee: an estimate is that of the reference implementation, in which macros are loops over an accumulator: what these
// cost beside the parts that the author wrote is in the tables below.
// https://github.com/google/cel-go/blob/v0.26.0/checker/cost.go, https://github.com/google/cel-go/blob/v0.26.0/parser/macro.go
import type { ASTNode } from "@marcbachmann/cel-js";
import { authorName } from "../syntax/places.ts";
import { CONSTRUCT } from "../syntax/desugar.ts";
import { internals, type CheckedType } from "../syntax/node.ts";
import { callCost, sortCost, LIST_COST, MAP_COST, STRUCT_COST } from "./calls.ts";
import { isScalar, kindOfType, SCALAR_SIZE, sizeOf, unionOf, type CostSizes, type Operand } from "./operand.ts";
import { operatorCost } from "./operators.ts";
import { add, fixed, multiply, union, type Range } from "./ranges.ts";
import { EMPTY_LIST, keyOf, oneOf, Scopes, valueOf, type Bound } from "./scopes.ts";

const NOTHING = fixed(0);
const ONE = fixed(1);

/** What a loop costs besides its range and its body. */
interface Loop {
  /** The accumulator at first, and the result at last. */
  readonly around: number;
  /** Asked before each step whether the loop goes on. */
  readonly condition: number;
  /** A step, by what the body costs in it. */
  step(body: Range): Range;
  /** A step that a predicate chooses: what the other way costs is the accumulator alone. */
  readonly makes?: "list" | "map";
}

/** The accumulator and the body, of which the second may not be asked. */
const either = (body: Range): Range => ({ min: 1, max: 1 + body.max });
/** The body decides between counting and going on. */
const counting = (body: Range): Range => add(body, { min: 1, max: 2 });
/** The accumulator and a list of the body, put together. */
const appending = (body: Range): Range => add(body, fixed(2 + LIST_COST));

const all: Loop = { around: 1, condition: 2, step: either };
const exists: Loop = { around: 1, condition: 3, step: either };
const existsOne: Loop = { around: 2, condition: 0, step: counting };
const list: Loop = { around: LIST_COST + 1, condition: 0, step: appending, makes: "list" };
const map: Loop = { around: MAP_COST + 1, condition: 0, step: (body) => add(body, fixed(3)), makes: "map" };
const mapEntry: Loop = { around: MAP_COST + 1, condition: 0, step: (body) => add(body, fixed(2)), makes: "map" };

const LOOPS: Readonly<Record<string, Loop>> = {
  all,
  exists,
  exists_one: existsOne,
  existsOne,
  filter: list,
  map: list,
  transformList: list,
  transformMap: map,
  transformMapEntry: mapEntry,
};

/** Loops with two variables, by how many arguments they have without a filter; the others have one. */
const TWO_VARIABLES: Readonly<Record<string, number>> = { transformList: 3, transformMap: 3, transformMapEntry: 3 };

interface MarkedElement {
  readonly key: ASTNode | undefined;
  readonly value: ASTNode;
}

type Made = Partial<Pick<Operand, "path" | "size" | "entries">> & { readonly cost: Range };

class Estimator {
  readonly #sizes: CostSizes;
  readonly #scopes = new Scopes();

  constructor(sizes: CostSizes) {
    this.#sizes = sizes;
  }

  visit(node: ASTNode): Operand {
    const made = this.#make(node);
    const { path = [] } = made;
    const type = (node as { checkedType?: CheckedType }).checkedType;
    const kind = kindOfType(type) ?? (path.length > 0 ? this.#sizes.kind(path) : undefined) ?? "dyn";
    const known = made.size ?? this.#sizes.size(path, type?.name ?? "dyn");
    const size = known ?? (isScalar(type) ? SCALAR_SIZE : this.#boundOf(node)?.size);
    return { node, cost: made.cost, type, kind, path, size, entries: made.entries };
  }

  #boundOf(node: ASTNode): Bound | undefined {
    return node.op === "id" ? this.#scopes.get(node.args) : undefined;
  }

  #make(node: ASTNode): Made {
    switch (node.op) {
      case "value":
        return { cost: NOTHING, size: literalSize(node.args) };
      case "id":
        return this.#identifier(node.args);
      case ".":
        return this.#select(node.args[0], node.args[1]);
      case ".?":
        return { cost: add(ONE, this.visit(node.args[0]).cost) };
      case "[]":
        return this.#index(node.args[0], node.args[1]);
      case "[?]":
        return { cost: add(ONE, this.visit(node.args[0]).cost, this.visit(node.args[1]).cost) };
      case "list":
      case "map":
        return this.#literal(node);
      case "?:":
        return this.#choice(node.args);
      case "&&":
      case "||": {
        const [left, right] = [this.visit(node.args[0]).cost, this.visit(node.args[1]).cost];
        return { cost: { min: left.min, max: add(left, right).max } };
      }
      case "!_":
      case "-_":
        return this.#unary(node);
      case "call":
        return this.#call(node.args[0], node.args[1]);
      case "rcall":
        return this.#memberCall(node, node.args[0], node.args[1], node.args[2]);
      case "==":
      case "!=":
      case "<":
      case "<=":
      case ">":
      case ">=":
      case "+":
      case "-":
      case "*":
      case "/":
      case "%":
      case "in":
      default:
        return this.#binary(node.op, node.args);
    }
  }

  #identifier(name: string): Made {
    const bound = this.#scopes.get(name);
    return {
      cost: ONE,
      path: bound?.path ?? [name],
      ...(bound?.entries === undefined ? {} : { entries: bound.entries }),
    };
  }

  #select(node: ASTNode, field: string): Made {
    const operand = this.visit(node);
    const charged = operand.kind === "map" || operand.kind === "object";
    return { cost: charged ? add(operand.cost, ONE) : operand.cost, path: [...operand.path, field] };
  }

  #index(node: ASTNode, at: ASTNode): Made {
    const [operand, index] = [this.visit(node), this.visit(at)];
    const cost = add(ONE, operand.cost, index.cost);
    const step = operand.kind === "list" ? "@items" : "@values";
    const size = operand.entries?.value;
    return { cost, path: [...operand.path, step], ...(size === undefined ? {} : { size }) };
  }

  #literal(node: ASTNode): Made {
    const elements = elementsOf(node);
    let cost = fixed(node.op === "list" ? LIST_COST : MAP_COST);
    let [key, value]: (Range | undefined)[] = [];
    for (const each of elements) {
      const made = this.visit(each.value);
      cost = add(cost, made.cost);
      value = value === undefined ? sizeOf(made) : union(value, sizeOf(made));
      if (each.key === undefined) continue;
      const madeKey = this.visit(each.key);
      cost = add(cost, madeKey.cost);
      key = key === undefined ? sizeOf(madeKey) : union(key, sizeOf(madeKey));
    }
    const container = node.op === "list" ? "list" : "map";
    const entries = { container, key: node.op === "list" ? ONE : (key ?? NOTHING), value: value ?? NOTHING } as const;
    return { cost, size: fixed(elements.length), entries };
  }

  #choice([condition, yes, no]: readonly ASTNode[]): Made {
    const [asked, one, other] = [this.visit(condition!), this.visit(yes!), this.visit(no!)];
    const entries = unionOf(one.entries, other.entries);
    return {
      cost: add(asked.cost, union(one.cost, other.cost)),
      size: union(sizeOf(one), sizeOf(other)),
      ...(entries === undefined ? {} : { entries }),
    };
  }

  #unary(node: ASTNode): Made {
    const operand = node.args as unknown as ASTNode;
    // A number with a sign is a number.
    if (node.op === "-_" && operand.op === "value") return { cost: NOTHING, size: SCALAR_SIZE };
    return { cost: add(ONE, this.visit(operand).cost) };
  }

  #binary(operator: string, [left, right]: readonly [ASTNode, ASTNode]): Made {
    const [a, b] = [this.visit(left), this.visit(right)];
    const { cost, ...more } = operatorCost(operator, a, b);
    return { ...more, cost: add(cost, a.cost, b.cost) };
  }

  #call(name: string, nodes: readonly ASTNode[]): Made {
    // Whether something is there is free: only the way to it costs.
    if (name === "has") return { cost: this.visit((nodes[0] as ASTNode & { args: [ASTNode] }).args[0]).cost };
    const args = nodes.map((each) => this.visit(each));
    if (name === "dyn") {
      const { cost, size, entries } = args[0]!;
      return {
        cost: add(ONE, cost),
        ...(size === undefined ? {} : { size }),
        ...(entries === undefined ? {} : { entries }),
      };
    }
    return this.#costOf(authorName(name), undefined, args);
  }

  #costOf(name: string, target: Operand | undefined, args: readonly Operand[]): Made {
    const { cost, size } = callCost({ name, target, args, sizes: this.#sizes });
    const total = add(cost, target?.cost ?? NOTHING, ...args.map((each) => each.cost));
    return { cost: total, ...(size === undefined ? {} : { size }) };
  }

  #memberCall(node: ASTNode, name: string, receiver: ASTNode, nodes: readonly ASTNode[]): Made {
    const { alternate, macro } = internals(node).meta;
    // A fallback is a macro to the library, and a function here.
    const expanded = (alternate !== undefined || macro !== undefined) && name !== "or" && name !== "orValue";
    if (expanded) return this.#macro(name, receiver, nodes, macro);
    const plain = authorName(name);
    const namespace = namespaceOf(receiver);
    const target = namespace === undefined ? this.visit(receiver) : undefined;
    const args = nodes.map((each) => this.visit(each));
    return this.#costOf(namespace === undefined ? plain : `${namespace}.${plain}`, target, args);
  }

  #macro(name: string, receiver: ASTNode, nodes: readonly ASTNode[], macro: unknown): Made {
    if (name === "bind") return this.#bind(nodes[0]!, this.visit(nodes[1]!), () => this.visit(nodes[2]!));
    if (name === "optMap" || name === "optFlatMap") return this.#optional(receiver, nodes, name === "optFlatMap");
    if (name === "sortBy") return this.#sortBy(receiver, nodes);
    if (name === CONSTRUCT) {
      const { elements } = macro as { readonly elements: readonly MarkedElement[] };
      return { cost: add(fixed(STRUCT_COST), ...elements.map((each) => this.visit(each.value).cost)) };
    }
    return this.#loop(name, receiver, nodes);
  }

  #loop(name: string, receiver: ASTNode, nodes: readonly ASTNode[]): Made {
    const loop = LOOPS[name];
    if (loop === undefined) throw new Error(`no cost is known of the macro ${name}`);
    const range = this.visit(receiver);
    const { names, filter, body } = loopParts(name, nodes);
    const bound: [string, Bound][] =
      names.length === 1
        ? [[names[0]!, oneOf(range)]]
        : [
            [names[0]!, keyOf(range)],
            [names[1]!, valueOf(range)],
          ];
    const [asked, made] = this.#scopes.with(bound, () => [
      filter === undefined ? undefined : this.visit(filter),
      this.visit(body),
    ]);
    const step = loop.step(made.cost);
    const chosen = asked === undefined ? step : add(asked.cost, union(step, ONE));
    const count = sizeOf(range);
    const cost = add(range.cost, fixed(loop.around), multiply(count, add(chosen, fixed(loop.condition))));
    if (loop.makes === undefined) return { cost, size: SCALAR_SIZE };
    if (loop.makes === "map") return { cost, size: count };
    return { cost, size: count, entries: { ...EMPTY_LIST, value: union(NOTHING, sizeOf(made)) } };
  }

  /** A name for a value: the loop over nothing that it is made of costs its empty list. */
  #bind(name: ASTNode, value: Pick<Operand, "cost" | "path" | "size" | "entries">, body: () => Operand): Made {
    const { cost, path, size, entries } = value;
    const made = this.#scopes.with([[name.args as string, { path, size, entries }]], body);
    return {
      cost: add(fixed(LIST_COST), cost, made.cost),
      ...(made.size === undefined ? {} : { size: made.size }),
      ...(made.entries === undefined ? {} : { entries: made.entries }),
    };
  }

  /** Asks whether there is a value, and binds it. */
  #optional(receiver: ASTNode, [name, body]: readonly ASTNode[], flat: boolean): Made {
    const target = this.visit(receiver);
    const value = { cost: add(target.cost, ONE), path: [], size: undefined, entries: undefined };
    const bound = this.#bind(name!, value, () => this.visit(body!));
    const there = flat ? bound.cost : add(bound.cost, ONE);
    return { cost: add(target.cost, ONE, union(there, ONE)) };
  }

  /** Makes a list of what to sort by, and sorts by it. */
  #sortBy(receiver: ASTNode, [name, by]: readonly ASTNode[]): Made {
    const range = this.visit(receiver);
    const key = this.#scopes.with([[name!.args as string, oneOf(range)]], () => this.visit(by!));
    const count = sizeOf(range);
    // The list has a name by then.
    const keys = add(ONE, fixed(list.around), multiply(count, appending(key.cost)));
    const sort = sortCost(count, key.kind);
    return { ...sort, cost: add(range.cost, fixed(LIST_COST), keys, ONE, sort.cost) };
  }
}

function literalSize(value: unknown): Range {
  if (typeof value === "string") return fixed(Array.from(value).length);
  return fixed(value instanceof Uint8Array ? value.length : 1);
}

function elementsOf(node: ASTNode): readonly MarkedElement[] {
  const { alternate } = internals(node).meta as { readonly alternate?: ASTNode };
  if (alternate !== undefined) return alternate.args as unknown as readonly MarkedElement[];
  if (node.op === "map") return node.args.map(([key, value]) => ({ key, value }));
  return (node.args as readonly ASTNode[]).map((value) => ({ key: undefined, value }));
}

/** The namespace that a function stands in, as in `sets.contains`: no value, so it costs nothing. */
export function namespaceOf(receiver: ASTNode): string | undefined {
  const type = (receiver as { checkedType?: CheckedType }).checkedType?.name ?? "";
  return receiver.op === "id" && type.includes("Namespace") ? receiver.args : undefined;
}

function loopParts(
  name: string,
  nodes: readonly ASTNode[],
): { names: readonly string[]; filter: ASTNode | undefined; body: ASTNode } {
  const twoFrom = Object.hasOwn(TWO_VARIABLES, name) ? TWO_VARIABLES[name]! : name === "map" ? Infinity : 3;
  const names = nodes.slice(0, nodes.length >= twoFrom ? 2 : 1);
  const rest = nodes.slice(names.length);
  const plain = names.map(({ args }) => args as string);
  // What a filter lets pass is the variable itself.
  if (name === "filter") return { names: plain, filter: rest[0], body: nodes[0]! };
  return { names: plain, filter: rest.length === 2 ? rest[0] : undefined, body: rest.at(-1)! };
}

/** `root` must be checked. */
export function estimateCost(root: ASTNode, sizes: CostSizes): Range {
  return new Estimator(sizes).visit(root).cost;
}
