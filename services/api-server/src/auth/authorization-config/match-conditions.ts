// Which requests a webhook is asked about: CEL expressions over the SubjectAccessReview that it would get.
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#authorizer-configuration
import { CelFailure, CelScope, type CelProgram, type CelType } from "@coxswain/cel";
import type { ReviewSpec } from "./review-spec.ts";

const STRING: CelType = { is: "string" };
const STRINGS: CelType = { is: "list", items: STRING };
const selector = (name: string): CelType => ({
  is: "object",
  name,
  fields: { rawSelector: STRING, requirements: { is: "list", items: REQUIREMENT } },
});
const REQUIREMENT: CelType = {
  is: "object",
  name: "kubernetes.SelectorRequirement",
  fields: { key: STRING, operator: STRING, values: STRINGS },
};
const texts = (...names: string[]): Record<string, CelType> => Object.fromEntries(names.map((name) => [name, STRING]));
const REQUEST: CelType = {
  is: "object",
  name: "kubernetes.SubjectAccessReviewSpec",
  fields: {
    resourceAttributes: {
      is: "object",
      name: "kubernetes.ResourceAttributes",
      fields: {
        ...texts("namespace", "verb", "group", "version", "resource", "subresource", "name"),
        fieldSelector: selector("kubernetes.FieldSelectorAttributes"),
        labelSelector: selector("kubernetes.LabelSelectorAttributes"),
      },
    },
    nonResourceAttributes: { is: "object", name: "kubernetes.NonResourceAttributes", fields: texts("path", "verb") },
    ...texts("user", "uid"),
    groups: STRINGS,
    extra: { is: "map", values: STRINGS },
  },
};

let shared: CelScope | undefined;
const scope = (): CelScope => (shared ??= new CelScope({ request: REQUEST }));

/** The program, or what is wrong with the expression. */
export function compileCondition(expression: string): CelProgram | string {
  const compiled = scope().compile(expression);
  if ("issue" in compiled) return `compilation failed: ${compiled.issue}`;
  const { program } = compiled;
  return program.type === "bool" ? program : `must evaluate to bool but got ${program.typeText}`;
}

/** False: a condition does not hold. Failures: some could not be evaluated, and none of the others is false. */
export type Match = boolean | { readonly failures: readonly string[] };

export class MatchConditions {
  readonly #conditions: readonly { readonly expression: string; readonly program: CelProgram }[];

  /** @throws Error where an expression is none: a configuration that was read has none such */
  constructor(expressions: readonly string[]) {
    this.#conditions = expressions.map((expression) => {
      const program = compileCondition(expression);
      if (typeof program === "string") throw new Error(program);
      return { expression, program };
    });
  }

  get empty(): boolean {
    return this.#conditions.length === 0;
  }

  match(spec: ReviewSpec): Match {
    const request = scope().value("request", plainRequest(spec));
    const failures: string[] = [];
    for (const { expression, program } of this.#conditions) {
      try {
        if (program.run({ request }).value !== true) return false;
      } catch (error) {
        if (!(error instanceof CelFailure)) throw error;
        failures.push(`cel evaluation error: expression '${expression}' resulted in error: ${error.message}`);
      }
    }
    return failures.length === 0 ? true : { failures };
  }
}

/** With every text of the user and of the attributes, be it empty: conditions need not ask whether it is there. */
function plainRequest(spec: ReviewSpec): unknown {
  const { user = "", groups = [], uid = "", extra = {}, resourceAttributes, nonResourceAttributes } = spec;
  const blank = { namespace: "", verb: "", group: "", version: "", resource: "", subresource: "", name: "" };
  return {
    user,
    groups,
    uid,
    extra,
    ...(resourceAttributes && { resourceAttributes: { ...blank, ...resourceAttributes } }),
    ...(nonResourceAttributes && { nonResourceAttributes: { path: "", verb: "", ...nonResourceAttributes } }),
  };
}
