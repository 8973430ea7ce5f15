// matchConditions of webhooks: CEL expressions that all have to be true. Guarantee: an expression is compiled once.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
import type { MatchCondition } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { CelScope, type CelProgram } from "@coxswain/cel";

const MAX_COMPILED = 1_000;
const DYNAMIC = { is: "dyn" } as const;

export interface ConditionInput {
  readonly object: KubeObject | null;
  readonly oldObject: KubeObject | null;
  readonly request: object;
}

/** True, false, or why it cannot be told. */
export type Verdict = boolean | { readonly failure: string };

export class MatchConditions {
  readonly #scope = new CelScope({ object: DYNAMIC, oldObject: DYNAMIC, request: DYNAMIC });
  readonly #compiled = new Map<string, CelProgram | { issue: string }>();

  /** A condition that is false decides, whatever becomes of the others. */
  evaluate(conditions: readonly MatchCondition[] | undefined, input: ConditionInput): Verdict {
    if (conditions === undefined || conditions.length === 0) return true;
    const values = {
      object: this.#scope.value("object", input.object),
      oldObject: this.#scope.value("oldObject", input.oldObject),
      request: this.#scope.value("request", input.request),
    };
    let failure: string | undefined;
    for (const { name, expression } of conditions) {
      const found = this.#evaluate(expression, values);
      if (found === false) return false;
      if (found !== true) failure ??= `expression '${expression}' (${name}): ${found.failure}`;
    }
    return failure === undefined ? true : { failure };
  }

  #evaluate(expression: string, values: Readonly<Record<string, unknown>>): Verdict {
    const program = this.#compile(expression);
    if ("issue" in program) return { failure: `compilation failed: ${program.issue}` };
    try {
      const { value } = program.run(values);
      return typeof value === "boolean" ? value : { failure: "must evaluate to bool" };
    } catch (error) {
      return { failure: (error as Error).message };
    }
  }

  #compile(expression: string): CelProgram | { issue: string } {
    const known = this.#compiled.get(expression);
    if (known !== undefined) return known;
    const made = this.#scope.compile(expression);
    const kept = "issue" in made ? made : made.program;
    if (this.#compiled.size >= MAX_COMPILED) this.#compiled.clear();
    this.#compiled.set(expression, kept);
    return kept;
  }
}
