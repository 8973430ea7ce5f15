// The Kubernetes list library. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library
import { unsigned } from "./conversions.ts";
import { celError, type FunctionTable } from "./definition.ts";
import { sameCelValue } from "../values.ts";

type Comparable = bigint | number | string | boolean | Date;

function smallest(
  list: readonly Comparable[],
  better: (a: Comparable, b: Comparable) => boolean,
  name: string,
): Comparable {
  const [first, ...rest] = list;
  if (first === undefined) throw celError(`${name} called on empty list`);
  return rest.reduce((best, each) => (better(each, best) ? each : best), first);
}

/** What the evaluator makes of durations. */
interface Duration {
  addDuration(other: Duration): Duration;
}

const isDuration = (value: unknown): value is Duration =>
  typeof value === "object" && value !== null && "addDuration" in value;

const isUnsigned = (value: unknown): value is { valueOf(): bigint } =>
  typeof value === "object" && value !== null && typeof value.valueOf() === "bigint";

function sum(list: readonly unknown[]): unknown {
  if (list.every((each) => typeof each === "bigint")) return list.reduce<bigint>((total, each) => total + each, 0n);
  if (list.every((each) => typeof each === "number")) return list.reduce<number>((total, each) => total + each, 0);
  if (list.every((each) => isUnsigned(each))) {
    const total = list.reduce<bigint>((sum, each) => sum + each.valueOf(), 0n);
    return unsigned(total);
  }
  if (list.every((each) => isDuration(each))) {
    return list.reduce<Duration | undefined>((total, each) => total?.addDuration(each) ?? each, undefined);
  }
  throw celError("no such overload: sum");
}

export const LISTS: FunctionTable = {
  "list<T>.isSorted(): bool": (list: readonly Comparable[]) =>
    list.every((each, at) => at === 0 || (list[at - 1] as Comparable) <= each),
  "list<T>.sum(): T": sum,
  "list<T>.min(): T": (list: readonly Comparable[]) => smallest(list, (a, b) => a < b, "min"),
  "list<T>.max(): T": (list: readonly Comparable[]) => smallest(list, (a, b) => a > b, "max"),
  "list<T>.go_indexOf(T): int": (list: readonly unknown[], value: unknown) =>
    BigInt(list.findIndex((each) => sameCelValue(each, value))),
  "list<T>.go_lastIndexOf(T): int": (list: readonly unknown[], value: unknown) =>
    BigInt(list.findLastIndex((each) => sameCelValue(each, value))),
};
