// The parser's nodes as the passes over them see them. The library does not export these shapes.
import type { ASTNode } from "@marcbachmann/cel-js";

/** A type as the checker knows it. */
export interface CheckedType {
  readonly name: string;
  readonly kind: string;
  readonly keyType?: CheckedType;
  readonly valueType?: CheckedType;
  unify(registry: unknown, other: CheckedType): CheckedType | null;
  isDynOrBool(): boolean;
}

export interface CheckContext {
  forkWithVariable(name: string, type: CheckedType): CheckContext;
  reuse(parent: CheckContext): CheckContext;
  setIterValue(value: unknown, evaluator: Evaluator): CheckContext;
}

export interface Checker {
  readonly registry: {
    readonly objectTypes: ReadonlyMap<
      string,
      {
        readonly type: CheckedType;
        readonly ctor: new () => unknown;
        readonly fields?: Readonly<Record<string, unknown>>;
      }
    >;
    getListType(type: CheckedType): CheckedType;
    getMapType(key: CheckedType, value: CheckedType): CheckedType;
    getOptionalType(type: CheckedType): CheckedType;
    registerType(name: string, declaration: object): { readonly type: CheckedType };
  };
  check(node: ASTNode, context: CheckContext): CheckedType;
  createError(code: string, message: string, node: ASTNode): Error;
  getType(name: string): CheckedType;
}

export interface Evaluator {
  run(node: ASTNode, context: CheckContext): unknown;
  /** The value, or the error that there is instead. */
  tryEval(node: ASTNode, context: CheckContext): unknown;
  /** The type of a value, with the way to its members: undefined where there is no such member. */
  debugType(value: unknown): { fieldLazy(value: unknown, name: string, node: ASTNode, evaluator: Evaluator): unknown };
}

export interface Operation {
  readonly name: string;
  check(checker: Checker, node: ASTNode, context: CheckContext): CheckedType;
  evaluate(evaluator: Evaluator, node: ASTNode, context: CheckContext): unknown;
}

/** What a macro gets to work with. */
export interface MacroCall {
  readonly ast: ASTNode;
  readonly args: readonly ASTNode[];
  readonly receiver: ASTNode;
}

interface Internals {
  readonly meta: { readonly alternate?: unknown; readonly macro?: unknown };
  clone(operation: object, args: unknown): ASTNode;
  setMeta(key: string, value: unknown): ASTNode;
}

export const internals = (node: ASTNode): Internals => node as unknown as Internals;

/** Visits each node once, what macros made of calls included. */
export function eachNode(value: unknown, nodeClass: unknown, visit: (node: ASTNode) => void): void {
  walk(value, nodeClass, visit, new Set());
}

function walk(value: unknown, nodeClass: unknown, visit: (node: ASTNode) => void, seen: Set<unknown>): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (value.constructor === nodeClass) {
    const node = value as ASTNode;
    visit(node);
    const { alternate, macro } = internals(node).meta;
    for (const each of [node.args, alternate, macro]) walk(each, nodeClass, visit, seen);
  } else if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
    for (const each of Object.values(value)) walk(each, nodeClass, visit, seen);
  }
}

/** The name of an identifier; an error of the author's otherwise. */
export function identifierOf(node: ASTNode | undefined): string {
  if (node?.op === "id") return node.args;
  throw new Error("argument must be a simple name");
}
