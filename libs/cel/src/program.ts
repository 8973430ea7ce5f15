// Compiles expressions against declared types and runs them within a budget. Guarantees: a program that was compiled never
// throws anything but CelFailure; its errors read like those of the reference implementation.
import { EvaluationError, Optional, type ASTNode, type Environment } from "@marcbachmann/cel-js";
import { celEnvironment } from "./environment.ts";
import { issueText } from "./issues.ts";
import { Meter, meterNodes } from "./meter.ts";
import { declareType, type CelType, type DeclaredType } from "./values.ts";

/** Steps that one evaluation may take. */
export const PER_CALL_LIMIT = 1_000_000;

export class CelFailure extends Error {
  override readonly name = "CelFailure";
  /** True where the budget ran out. */
  readonly exhausted: boolean;
  constructor(message: string, exhausted: boolean) {
    super(message);
    this.exhausted = exhausted;
  }
}

export interface CelProgram {
  /** The type of the result, as in "bool". */
  readonly type: string;
  /** Names of the variables that the expression uses. */
  readonly uses: ReadonlySet<string>;
  /** Runs with values made by the scope. @throws CelFailure */
  run(values: Readonly<Record<string, unknown>>): { readonly value: unknown; readonly cost: number };
}

export type Compiled = { readonly program: CelProgram } | { readonly issue: string };

/** Variables and their types: what expressions of one place are compiled against. */
export class CelScope {
  readonly #environment: Environment;
  readonly #types = new Map<string, DeclaredType>();
  readonly #meter = new Meter();

  /** `optional` are variables that may have no value: rules see them as optional. */
  constructor(variables: Readonly<Record<string, CelType>>, optional: readonly string[] = []) {
    this.#environment = celEnvironment();
    const declared = new Map<CelType, DeclaredType>();
    for (const [name, type] of Object.entries(variables)) {
      const made = declared.get(type) ?? declareType(this.#environment, type, `Type_${name}`);
      declared.set(type, made);
      this.#types.set(name, made);
      this.#environment.registerVariable(name, optional.includes(name) ? `optional<${made.name}>` : made.name);
    }
  }

  /** The JSON as a value for the variable `name`. */
  value(name: string, json: unknown): unknown {
    return this.#types.get(name)?.value(json);
  }

  /** For a variable that may have no value. */
  optionalValue(name: string, json: unknown): unknown {
    const value = json === undefined || json === null ? undefined : this.value(name, json);
    return value === undefined ? Optional.none() : Optional.of(value);
  }

  compile(expression: string): Compiled {
    try {
      const parsed = this.#environment.parse(expression);
      renameMatches(parsed.ast);
      const checked = parsed.check();
      if (!checked.valid) return { issue: issueText(expression, checked.error) };
      meterNodes(parsed.ast, this.#meter);
      const run = (values: Readonly<Record<string, unknown>>): { value: unknown; cost: number } =>
        evaluate(parsed, values, this.#meter);
      return { program: { type: checked.type ?? "dyn", uses: variablesOf(parsed.ast), run } };
    } catch (error) {
      return { issue: issueText(expression, error) };
    }
  }
}

function evaluate(
  parsed: (values: Record<string, unknown>) => unknown,
  values: Readonly<Record<string, unknown>>,
  meter: Meter,
): { value: unknown; cost: number } {
  meter.start(PER_CALL_LIMIT);
  let value: unknown;
  try {
    value = parsed({ ...values });
  } catch (error) {
    if (meter.exhausted) throw new CelFailure("operation cancelled: actual cost limit exceeded", true);
    throw new CelFailure(failureText(error), false);
  }
  // An operator that tolerates errors of one side may have swallowed this one.
  if (meter.exhausted) throw new CelFailure("operation cancelled: actual cost limit exceeded", true);
  return { value, cost: meter.spent };
}

function failureText(error: unknown): string {
  const text =
    error instanceof EvaluationError ? error.summary : error instanceof Error ? error.message : String(error);
  if (text.startsWith("No such key: index out of bounds"))
    return text.replace(/^.*index (-?\d+).*$/, "index out of bounds: $1");
  if (text.startsWith("No such key:")) return `no such key:${text.slice("No such key:".length)}`;
  return text;
}

function eachNode(value: unknown, nodeClass: unknown, visit: (node: ASTNode) => void, seen = new Set<unknown>()): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (value.constructor === nodeClass) {
    const node = value as ASTNode & { readonly meta: { readonly alternate?: unknown; readonly macro?: unknown } };
    visit(node);
    for (const each of [node.args, node.meta.alternate, node.meta.macro]) eachNode(each, nodeClass, visit, seen);
  } else if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
    for (const each of Object.values(value)) eachNode(each, nodeClass, visit, seen);
  }
}

/** Regular expressions are Go's: the library's own `matches` takes another syntax. */
function renameMatches(root: ASTNode): void {
  eachNode(root, root.constructor, (node) => {
    if (node.op !== "rcall") return;
    const args = node.args as unknown[];
    if (args[0] === "matches") args[0] = "go_matches";
  });
}

function variablesOf(root: ASTNode): Set<string> {
  const names = new Set<string>();
  eachNode(root, root.constructor, (node) => {
    if (node.op === "id") names.add(node.args);
  });
  return names;
}
