// The expressions of a policy, compiled to run. Guarantees: an expression is compiled once; a variable is evaluated at most
// once for a request, and only where something asks for it; all of an invocation stays within a budget.
import type { Variable } from "@coxswain/api";
import { AUTHORIZER_TYPE, CelFailure, CelScope, PER_CALL_LIMIT, type CelProgram } from "@coxswain/cel";

/** Steps that all expressions of an invocation may take together. */
export const INVOCATION_BUDGET = 10_000_000;
/** Steps that all match conditions may take together. */
export const CONDITIONS_BUDGET = 2_500_000;
const OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run";

/** What expressions see, as values of the language; null for what is not there. */
export type PolicyValues = Readonly<
  Record<"object" | "oldObject" | "request" | "namespaceObject" | "params" | "authorizer", unknown>
>;

export type Evaluated = { readonly value: unknown } | { readonly failure: string };

/** The budget ran out: nothing more is evaluated. */
export class BudgetError extends Error {
  override readonly name = "BudgetError";
  constructor() {
    super(OUT_OF_BUDGET);
  }
}

type Kept = CelProgram | { readonly issue: string };

/** Everything is dynamic here: what is known of types was checked when the policy was written. */
function runtimeScope(variables: readonly Pick<Variable, "name">[] | undefined, patches: boolean): CelScope {
  const dynamic = { is: "dyn" } as const;
  const names = ["object", "oldObject", "request", "namespaceObject", "params"];
  const fields = Object.fromEntries((variables ?? []).map(({ name }) => [name, dynamic]));
  return new CelScope(
    {
      ...Object.fromEntries(names.map((name) => [name, dynamic])),
      authorizer: { is: "declared", name: AUTHORIZER_TYPE },
      ...(variables === undefined ? {} : { variables: { is: "object", fields, name: "kubernetes.variables" } }),
    },
    { patches },
  );
}

const MAX_COMPILED = 1_000;

/** Programs of one scope by their text. */
class Programs {
  readonly #scope: CelScope;
  readonly #known = new Map<string, Kept>();

  constructor(scope: CelScope) {
    this.#scope = scope;
  }

  get scope(): CelScope {
    return this.#scope;
  }

  get(expression: string): Kept {
    const known = this.#known.get(expression);
    if (known !== undefined) return known;
    const made = this.#scope.compile(expression);
    const kept = "issue" in made ? made : made.program;
    if (this.#known.size >= MAX_COMPILED) this.#known.clear();
    this.#known.set(expression, kept);
    return kept;
  }
}

let conditions: Programs | undefined;

/** For expressions that know no variables, as match conditions. */
export function conditionRun(values: PolicyValues, budget: number): ExpressionRun {
  conditions ??= new Programs(runtimeScope(undefined, false));
  return new ExpressionRun(conditions, [], values, budget);
}

export class PolicyProgram {
  readonly #programs: Programs;
  readonly #variables: readonly Variable[];

  constructor(variables: readonly Variable[], patches: boolean) {
    this.#variables = variables;
    this.#programs = new Programs(runtimeScope(variables, patches));
  }

  start(values: PolicyValues, budget = INVOCATION_BUDGET): ExpressionRun {
    return new ExpressionRun(this.#programs, this.#variables, values, budget);
  }
}

/** Expressions that run on the same values, one after the other. */
export class ExpressionRun {
  readonly #programs: Programs;
  readonly #values: Readonly<Record<string, unknown>>;
  #left: number;

  constructor(programs: Programs, variables: readonly Variable[], values: PolicyValues, budget: number) {
    this.#programs = programs;
    this.#left = budget;
    const members = Object.fromEntries(variables.map((each) => [each.name, () => this.#variable(each)]));
    const lazy = variables.length === 0 ? {} : { variables: programs.scope.lazy("variables", members) };
    this.#values = { ...values, ...lazy };
  }

  /** @throws BudgetError */
  evaluate(expression: string): Evaluated {
    const program = this.#programs.get(expression);
    if ("issue" in program) return { failure: `compilation error: compilation failed: ${program.issue}` };
    try {
      const value = this.#run(program);
      // A variable's cost may have been forgiven by an operator that forgives errors.
      if (this.#left < 0) throw new BudgetError();
      return { value };
    } catch (error) {
      if (this.#left < 0) throw new BudgetError();
      if (!(error instanceof CelFailure)) throw error;
      return { failure: `expression '${expression}' resulted in error: ${error.message}` };
    }
  }

  #run(program: CelProgram): unknown {
    try {
      const { value, cost } = program.run(this.#values);
      this.#left -= cost;
      return value;
    } catch (error) {
      if (error instanceof CelFailure && error.exhausted) this.#left -= PER_CALL_LIMIT;
      throw error;
    }
  }

  #variable({ name, expression }: Variable): unknown {
    const named = `composited variable ${JSON.stringify(name)}`;
    const program = this.#programs.get(expression);
    if ("issue" in program) throw new CelFailure(`${named} fails to compile: ${program.issue}`, false);
    try {
      return this.#run(program);
    } catch (error) {
      if (!(error instanceof CelFailure)) throw error;
      throw new CelFailure(`${named} fails to evaluate: ${error.message}`, error.exhausted);
    }
  }
}
