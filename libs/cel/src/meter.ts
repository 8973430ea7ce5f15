// Counts the steps of an evaluation and stops it at its limit. Guarantee: every node that is evaluated, and every character
// or item that a function walks over, costs something, so that no expression runs on.
import { EvaluationError, type ASTNode } from "@marcbachmann/cel-js";
import { namespaceOf } from "./cost/estimate.ts";
import { runtimeRule } from "./cost/runtime.ts";

/** Characters of a string that cost as much as a step. */
const CHARACTERS_A_STEP = 10;
/** What a question to the authorizer costs: an evaluation may ask two. */
const AUTHORIZATION_STEPS = 350_000;

export class Meter {
  #left = Infinity;
  #spent = 0;

  get spent(): number {
    return this.#spent;
  }

  /** Returns the way back to what was counted before: evaluations may stand inside of each other. */
  start(limit: number): () => void {
    const [left, spent] = [this.#left, this.#spent];
    this.#left = limit;
    this.#spent = 0;
    return () => {
      this.#left = left;
      this.#spent = spent;
    };
  }

  get exhausted(): boolean {
    return this.#spent > this.#left;
  }

  /** @throws EvaluationError where the limit is exceeded */
  spend(cost: number): void {
    this.#spent += cost;
    if (this.#spent > this.#left) throw limitExceeded();
  }
}

export function limitExceeded(): EvaluationError {
  return new EvaluationError({
    code: "cost_limit",
    message: "operation cancelled: actual cost limit exceeded",
  });
}

type Evaluate = (evaluator: unknown, node: unknown, context: unknown) => unknown;

interface Meta {
  readonly alternate?: MeteredNode;
  readonly macro?: { evaluate(evaluator: unknown, macro: unknown, context: unknown): unknown };
  readonly evaluate: Evaluate;
}

interface MeteredNode {
  readonly op: string;
  readonly args: unknown;
  readonly meta: Meta;
}

function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length / CHARACTERS_A_STEP;
  if (Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

/** Makes each node of a checked expression report to `meter`. */
export function meterNodes(root: ASTNode, meter: Meter): void {
  const nodeClass = root.constructor;
  const seen = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    if (value instanceof nodeClass) {
      const node = value as unknown as MeteredNode;
      visit(node.args);
      visit(node.meta.alternate);
      visit(node.meta.macro);
      meterNode(node, meter);
      return;
    }
    const plain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
    if (plain) for (const each of Object.values(value)) visit(each);
  };
  visit(root);
}

function meterNode(node: MeteredNode, meter: Meter): void {
  const { meta } = node;
  const { alternate, macro } = meta;
  let evaluate = meta.evaluate;
  if (alternate !== undefined) {
    evaluate = (evaluator, _node, context) =>
      (alternate as unknown as { evaluate: Evaluate }).evaluate(evaluator, alternate, context);
  } else if (macro !== undefined) evaluate = (evaluator, _node, context) => macro.evaluate(evaluator, macro, context);
  if (node.op === "rcall" && meterByRule(node, evaluate, meter)) return;
  // What a call returns is what it made or walked over; variables cost nothing but their step.
  const calls = node.op !== "id" && node.op !== "." && node.op !== "value";
  const step = node.op === "rcall" && (node.args as readonly unknown[])[0] === "check" ? AUTHORIZATION_STEPS : 1;
  const metered: Evaluate = (evaluator, self, context) => {
    meter.spend(step);
    const result = evaluate(evaluator, self, context);
    if (calls) meter.spend(sizeOf(result));
    return result;
  };
  Object.defineProperty(node, "evaluate", { value: metered, writable: true, configurable: true });
}

/** Charges a call before it works, once all that it is given has a value; a macro, which asks its body often, when it is done. */
function meterByRule(node: MeteredNode, evaluate: Evaluate, meter: Meter): boolean {
  const [name, receiver, args] = node.args as readonly [string, ASTNode, readonly ASTNode[]];
  const rule = runtimeRule(namespaceOf(receiver), name);
  if (rule === undefined) return false;
  const macro = node.meta.macro !== undefined;
  const operands = [receiver, ...args];
  let values: unknown[] = [];
  let known = 0;
  const charge = (): void => meter.spend(rule(values) ?? 1);
  for (const [at, operand] of operands.entries()) {
    const own = operand as unknown as { readonly evaluate: Evaluate };
    const asked = own.evaluate;
    const kept: Evaluate = (evaluator, self, context) => {
      const value = asked(evaluator, self, context);
      values[at] = value;
      if (!macro && ++known === operands.length) charge();
      return value;
    };
    Object.defineProperty(operand, "evaluate", { value: kept, writable: true, configurable: true });
  }
  const metered: Evaluate = (evaluator, self, context) => {
    values = [];
    known = 0;
    const result = evaluate(evaluator, self, context);
    if (macro) charge();
    return result;
  };
  Object.defineProperty(node, "evaluate", { value: metered, writable: true, configurable: true });
  return true;
}
