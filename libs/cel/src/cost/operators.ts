// What the operators of the language cost. Where a type is left open, all that the operator may turn out to be count.
// https://github.com/google/cel-go/blob/v0.26.0/checker/cost.go
import { STRING_FACTOR, type CallCost } from "./calls.ts";
import { sizeOf, unionOf, type Entries, type Operand } from "./operand.ts";
import { add, fixed, times, union, type Range } from "./ranges.ts";

const ONE = fixed(1);
const MAX_FORMAT_SIZE = 64;
const open = ({ kind }: Operand): boolean => kind === "dyn";

/** As long as the shorter one is the same. */
function comparison(a: Operand, b: Operand): Range {
  const max = Math.min(sizeOf(a).max, sizeOf(b).max);
  return times({ min: max > 0 ? 1 : 0, max }, STRING_FACTOR);
}

/** Types of which two values are compared at once. */
const AT_ONCE =
  /^(?:net\.(?:IP|CIDR)|kubernetes\.Quantity|kubernetes\.Semver|kubernetes\.authorization\.(?:Authorizer|PathCheck|GroupCheck|ResourceCheck|Decision))$/;

function equality(a: Operand, b: Operand): Range {
  const same = a.kind === b.kind ? a.kind : "";
  if (AT_ONCE.test(same)) return ONE;
  if (same === "kubernetes.NamedFormat") return times({ min: 1, max: MAX_FORMAT_SIZE }, STRING_FACTOR);
  if (same === "kubernetes.URL") return times({ min: 1, max: b.size?.max ?? 1 }, STRING_FACTOR);
  return comparison(a, b);
}

/** "string", "bytes" or "list" where both operands can be that. */
function commonKinds(a: Operand, b: Operand, kinds: readonly string[]): string[] {
  return kinds.filter((kind) => [a, b].every((each) => open(each) || each.kind === kind));
}

function order(a: Operand, b: Operand): Range {
  const texts = commonKinds(a, b, ["string", "bytes"]);
  if (texts.length === 0) return ONE;
  const cost = comparison(a, b);
  return open(a) && open(b) ? union(cost, ONE) : cost;
}

function sum(a: Operand, b: Operand): CallCost & { readonly entries?: Entries } {
  const kinds = commonKinds(a, b, ["string", "bytes", "list"]);
  if (kinds.length === 0) return { cost: ONE };
  const size = add(sizeOf(a), sizeOf(b));
  const text = times(size, STRING_FACTOR);
  const entries = unionOf(a.entries, b.entries);
  const more = entries === undefined ? {} : { entries };
  if (kinds.length === 1) return { cost: kinds[0] === "list" ? ONE : text, size, ...more };
  return { cost: union(text, ONE), size, ...more };
}

function membership(list: Operand): Range {
  if (list.kind === "list") return sizeOf(list);
  return open(list) ? union(sizeOf(list), ONE) : ONE;
}

/** Without what the operands cost themselves. */
export function operatorCost(operator: string, a: Operand, b: Operand): CallCost & { readonly entries?: Entries } {
  switch (operator) {
    case "==":
      return { cost: equality(a, b) };
    case "!=":
      return { cost: comparison(a, b) };
    case "<":
    case "<=":
    case ">":
    case ">=":
      return { cost: order(a, b) };
    case "+":
      return sum(a, b);
    case "in":
      return { cost: membership(b) };
    default:
      return { cost: ONE };
  }
}
