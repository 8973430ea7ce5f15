// Compiles expressions against declared types and runs them within a budget. Guarantees: a program that was compiled never
// throws anything but CelFailure; its errors read like those of the reference implementation.
import { EvaluationError, Optional, type ASTNode, type Environment } from "@marcbachmann/cel-js";
import { estimateCost } from "./cost/estimate.ts";
import type { CostSizes } from "./cost/operand.ts";
import type { Range } from "./cost/ranges.ts";
import { celEnvironment } from "./environment.ts";
import { CONVERSIONS } from "./functions/conversions.ts";
import { OWN_TEXTS } from "./functions/strings.ts";
import { TIME_PARTS } from "./functions/times.ts";
import { issueAt, issueText, typeTexts } from "./issues.ts";
import { Meter, meterNodes } from "./meter.ts";
import { desugar } from "./syntax/desugar.ts";
import { literalProblems } from "./syntax/literals.ts";
import { typeProblems } from "./syntax/type-rules.ts";
import { openEquality, openLists } from "./syntax/equality.ts";
import { eachNode } from "./syntax/node.ts";
import { resolveLiteral } from "./syntax/optional-elements.ts";
import { askForEntries, openPresence } from "./syntax/presence.ts";
import { declareType, withLazyMembers, type CelType, type Declared, type DeclaredType } from "./values.ts";

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
  /** The same, as errors call it: "list(int)". */
  readonly typeText: string;
  /** Names of the variables that the expression uses. */
  readonly uses: ReadonlySet<string>;
  /** Runs with values made by the scope. @throws CelFailure */
  run(values: Readonly<Record<string, unknown>>): { readonly value: unknown; readonly cost: number };
  /** What one run costs at least and at most, where values are not larger than `sizes` says. */
  estimate(sizes: CostSizes): Range;
}

export type Compiled = { readonly program: CelProgram } | { readonly issue: string };

export interface ScopeOptions {
  /** Variables that may have no value: rules see them as optional. */
  readonly optional?: readonly string[];
  /** Expressions may make objects and patches. */
  readonly patches?: boolean;
}

/** Variables and their types: what expressions of one place are compiled against. */
export class CelScope {
  readonly #environment: Environment;
  readonly #types = new Map<string, DeclaredType>();
  readonly #meter = new Meter();
  #functions: ReadonlySet<string> | undefined;

  constructor(variables: Readonly<Record<string, CelType>>, { optional = [], patches = false }: ScopeOptions = {}) {
    this.#environment = celEnvironment(patches);
    const declared: Declared = new Map();
    for (const [name, type] of Object.entries(variables)) {
      const made = declareType(this.#environment, type, `Type_${name}`, declared);
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

  /** An object for the variable `name`, whose members are values of the scope. */
  lazy(name: string, members: Readonly<Record<string, () => unknown>>): unknown {
    const make = this.#types.get(name)?.make;
    if (make === undefined) throw new Error(`the variable ${name} is no object`);
    return withLazyMembers(make(), members);
  }

  #issue(expression: string, error: unknown, sourceOf: (at: number) => number): string {
    return issueText(expression, error, sourceOf, (name) => {
      this.#functions ??= new Set(this.#environment.getDefinitions().functions.map((each) => each.name));
      return this.#functions.has(name);
    });
  }

  compile(expression: string): Compiled {
    const { text, sourceOf } = desugar(expression);
    try {
      const parsed = this.#environment.parse(text);
      prepare(parsed.ast);
      const checked = parsed.check();
      if (!checked.valid) return { issue: this.#issue(expression, checked.error, sourceOf) };
      const problems = [...literalProblems(parsed.ast), ...typeProblems(parsed.ast)];
      if (problems.length > 0) {
        const told = problems.map(({ start, message }) => issueAt(expression, sourceOf(start), typeTexts(message)));
        return { issue: told.join("\n") };
      }
      eachNode(parsed.ast, parsed.ast.constructor, (node) => {
        openLists(node);
        askForEntries(node);
      });
      meterNodes(parsed.ast, this.#meter);
      const run = (values: Readonly<Record<string, unknown>>): { value: unknown; cost: number } =>
        evaluate(parsed, values, this.#meter);
      const type = checked.type ?? "dyn";
      const estimate = (sizes: CostSizes): Range => estimateCost(parsed.ast, sizes);
      return { program: { type, typeText: typeTexts(type), uses: variablesOf(parsed.ast), run, estimate } };
    } catch (error) {
      return { issue: this.#issue(expression, error, sourceOf) };
    }
  }
}

const EXHAUSTED = "operation cancelled: actual cost limit exceeded";

function evaluate(
  parsed: (values: Record<string, unknown>) => unknown,
  values: Readonly<Record<string, unknown>>,
  meter: Meter,
): { value: unknown; cost: number } {
  const leave = meter.start(PER_CALL_LIMIT);
  try {
    const value = parsed({ ...values });
    // An operator that tolerates errors of one side may have swallowed this one.
    if (meter.exhausted) throw new CelFailure(EXHAUSTED, true);
    return { value, cost: meter.spent };
  } catch (error) {
    if (meter.exhausted) throw new CelFailure(EXHAUSTED, true);
    if (error instanceof CelFailure) throw error;
    throw new CelFailure(failureText(error), false);
  } finally {
    leave();
  }
}

function failureText(error: unknown): string {
  const text =
    error instanceof EvaluationError ? error.summary : error instanceof Error ? error.message : String(error);
  if (text.startsWith("No such key: index out of bounds"))
    return text.replace(/^.*index (-?\d+).*$/, "index out of bounds: $1");
  if (text.startsWith("No such key:")) return `no such key:${text.slice("No such key:".length)}`;
  if (text.startsWith("integer overflow:")) return "integer overflow";
  if (text === "modulo by zero") return "modulus by zero";
  if (text === "Unsigned integer overflow") return "unsigned integer overflow";
  if (/^no such overload: (?!sum$)/.test(text)) return "no such overload";
  return text === "Optional value is not present" ? "optional.none() dereference" : text;
}

/** Puts our own in the place of what the library has no words for. */
function prepare(root: ASTNode): void {
  eachNode(root, root.constructor, (node) => {
    resolveLiteral(node);
    openPresence(node);
    openEquality(node);
    if (node.op === "call" || node.op === "rcall") takeOwn(node.args as unknown[], node.op === "call");
  });
}

/** Lets a call find what stands in the place of the library's own function: its name gets a prefix. */
function takeOwn(args: unknown[], global: boolean): void {
  const name = String(args[0]);
  const count = (args[global ? 1 : 2] as readonly unknown[]).length;
  const own = global
    ? CONVERSIONS.has(name) && count === 1
    : name === "matches" || OWN_TEXTS.has(name) || (TIME_PARTS.has(name) && count === 1);
  if (own) args[0] = `go_${name}`;
}

function variablesOf(root: ASTNode): Set<string> {
  const names = new Set<string>();
  eachNode(root, root.constructor, (node) => {
    if (node.op === "id") names.add(node.args);
  });
  return names;
}
