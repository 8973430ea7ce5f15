// Functions that stand in a namespace: sets, quoting, ranges, keys of patches.
// https://pkg.go.dev/github.com/google/cel-go/ext#Sets
import type { Environment } from "@marcbachmann/cel-js";
import { quote } from "@coxswain/apimachinery";
import { sameCelValue } from "../values.ts";
import { listsRange } from "./list-extensions.ts";
import { registerAll, type FunctionTable, type Handler } from "./definition.ts";

type List = readonly unknown[];

const has = (list: List, value: unknown): boolean => list.some((each) => sameCelValue(each, value));
const contains = (list: List, part: List): boolean => part.every((each) => has(list, each));

/** Keys of `table` are signatures without the namespace, as in "contains(list, list): bool". */
function registerNamespace(environment: Environment, name: string, table: FunctionTable): void {
  const Namespace = class {
    get [Symbol.toStringTag](): string {
      return name;
    }
  };
  const type = `Namespace.${name}`;
  environment.registerType(type, { ctor: Namespace } as never);
  environment.registerConstant(name, type, new Namespace());
  const methods = Object.entries(table).map(([signature, handler]): [string, Handler] => {
    const call = handler as (...values: unknown[]) => unknown;
    return [`${type}.${signature}`, (_namespace: unknown, ...values: unknown[]) => call(...values)];
  });
  registerAll(environment, Object.fromEntries(methods));
}

export function registerNamespaces(environment: Environment): void {
  registerNamespace(environment, "sets", {
    "contains(list<T>, list<T>): bool": contains,
    "equivalent(list<T>, list<T>): bool": (a: List, b: List) => contains(a, b) && contains(b, a),
    "intersects(list<T>, list<T>): bool": (a: List, b: List) => a.some((each) => has(b, each)),
  });
  registerNamespace(environment, "strings", { "quote(string): string": quote });
  registerNamespace(environment, "lists", { "range(int): list<int>": listsRange });
}

/** For mutations only. */
export function registerPatchKeys(environment: Environment): void {
  registerNamespace(environment, "jsonpatch", {
    "escapeKey(string): string": (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1"),
  });
}
