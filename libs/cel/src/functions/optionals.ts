// What optional values can do besides being asked: they are mapped, and made of lists.
// https://pkg.go.dev/github.com/google/cel-go/cel#OptionalTypes
import { Optional, type Environment } from "@marcbachmann/cel-js";
import type { MacroCall } from "../syntax/node.ts";
import { bodyMacro, type BodyMacroRules } from "./body-macro.ts";
import { celError, registerAll } from "./definition.ts";

/** `flat` where the body gives an optional value itself. */
function mapping(flat: boolean) {
  const rules: BodyMacroRules = {
    receive(checker, type, receiver) {
      if (type.kind === "optional" || type.kind === "dyn") return;
      throw checker.createError("type_mismatch", `expected type 'optional_type' but found '${type.name}'`, receiver);
    },
    result(checker, _type, body) {
      if (!flat) return checker.registry.getOptionalType(body);
      return body.kind === "optional" ? body : checker.registry.getOptionalType(checker.getType("dyn"));
    },
    evaluate(value, give) {
      if (!(value instanceof Optional)) throw celError("no such overload");
      if (!value.hasValue()) return Optional.none();
      const made = give(value.value());
      return flat ? made : Optional.of(made);
    },
  };
  return (call: MacroCall): object => bodyMacro(call, rules);
}

/** Empty, zero, false, null: what counts as nothing. */
function isZero(value: unknown): boolean {
  if (value === null || value === "" || value === 0 || value === 0n || value === false) return true;
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  if (value instanceof Map) return value.size === 0;
  return typeof value === "object" && value.constructor === Object && Object.keys(value).length === 0;
}

const present = (list: readonly unknown[]): unknown[] =>
  list.filter((each): each is Optional => each instanceof Optional && each.hasValue()).map((each) => each.value());

export function registerOptionals(environment: Environment): void {
  environment.registerFunction("optional.optMap(ast, ast): optional<dyn>", mapping(false) as never);
  environment.registerFunction("optional.optFlatMap(ast, ast): optional<dyn>", mapping(true) as never);
  registerAll(environment, {
    "OptionalNamespace.ofNonZeroValue(A): optional<A>": (_namespace: unknown, value: unknown) =>
      isZero(value) ? Optional.none() : Optional.of(value),
    "OptionalNamespace.unwrap(list<optional<A>>): list<A>": (_namespace: unknown, list: readonly unknown[]) =>
      present(list),
    "list<optional<A>>.unwrapOpt(): list<A>": present,
    "list<A>.first(): optional<A>": (list: readonly unknown[]) => Optional.of(list[0]),
    "list<A>.last(): optional<A>": (list: readonly unknown[]) => Optional.of(list.at(-1)),
  });
}
