// Whether the rules of a schema may turn out too expensive: each of them, and all together, as often as they may be asked for
// one object. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#resource-use-by-validation-functions
import { fieldForbidden, type FieldError } from "@coxswain/apimachinery";
import type { StructuralSchema } from "./schema.ts";

/** What one expression may be estimated to cost. */
const EXPRESSION_LIMIT = 10_000_000;
/** What all expressions of a schema may. */
const SCHEMA_LIMIT = 100_000_000;
/** Rules that are named when all together cost too much. */
const NAMED = 4;

/** How often values can stand below a value of the schema, for each time that it stands itself; undefined: no limit. */
export function multiplies({ type, source }: StructuralSchema): number | undefined {
  if (type === "array") return bounded(source.maxItems);
  if (type === "object" && source.additionalProperties !== undefined) return bounded(source.maxProperties);
  return 1;
}

const bounded = (limit: number | undefined): number | undefined =>
  limit === undefined ? undefined : Math.max(limit, 0);

function exceeds(what: string, cost: number, limit: number): string {
  const factor = cost / limit;
  const text = factor > 100 ? "more than 100x" : `${factor.toFixed(factor < 1.5 ? 6 : 1)}x`;
  return `${what} exceeds budget by factor of ${text} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}

/** Adds up the estimates of a schema. */
export class RuleCosts {
  readonly #suppressed: boolean;
  #total = 0;
  #dearest: readonly { readonly path: string; readonly cost: number }[] = [];

  /** `suppressed`: what a single expression costs was accepted before. */
  constructor(suppressed: boolean) {
    this.#suppressed = suppressed;
  }

  /** Counts an expression. `what` is as errors call it, as in "estimated rule cost". */
  observe(what: string, cost: number, path: string): FieldError[] {
    this.#total += cost;
    if (cost >= SCHEMA_LIMIT / 100) {
      this.#dearest = [...this.#dearest, { path, cost }].toSorted((a, b) => b.cost - a.cost).slice(0, NAMED);
    }
    const tooMuch = !this.#suppressed && cost > EXPRESSION_LIMIT;
    return tooMuch ? [fieldForbidden(path, exceeds(what, cost, EXPRESSION_LIMIT))] : [];
  }

  /** Errors about all expressions together; `path` is that of the schema. */
  total(path: string): FieldError[] {
    if (this.#total <= SCHEMA_LIMIT) return [];
    const detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
    const what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    return [
      ...this.#dearest.map((each) => fieldForbidden(each.path, detail)),
      fieldForbidden(path, exceeds(what, this.#total, SCHEMA_LIMIT)),
    ];
  }
}
