// The JSONPath of printer columns, selectable fields and scale: members, indices, slices, unions, wildcards, filters and
// descent. What is not there is no error: it gives nothing. https://kubernetes.io/docs/reference/kubectl/jsonpath/
import { isJsonObject } from "@coxswain/apimachinery";

export type JsonPath = (value: unknown) => unknown[];

type Step = (value: unknown) => unknown[];

/** Compiles a path as in `.status.conditions[?(@.type=="Ready")].status`; undefined where it is none. */
export function compileJsonPath(text: string): JsonPath | undefined {
  const steps = new Parser(text).steps();
  if (steps === undefined) return undefined;
  return (value) => steps.reduce<unknown[]>((values, step) => values.flatMap((each) => step(each)), [value]);
}

const member =
  (name: string): Step =>
  (value) =>
    isJsonObject(value) && Object.hasOwn(value, name) ? [value[name]] : [];

const children: Step = (value) => (Array.isArray(value) ? value : isJsonObject(value) ? Object.values(value) : []);

const descendants: Step = (value) => [value, ...children(value).flatMap((each) => descendants(each))];

function slice(from: number | undefined, to: number | undefined, by: number): Step {
  return (value) => {
    if (!Array.isArray(value) || by <= 0) return [];
    return value.slice(from, to).filter((_each, index) => index % by === 0);
  };
}

const index =
  (at: number): Step =>
  (value) => {
    const found: unknown = Array.isArray(value) ? value.at(at) : undefined;
    return found === undefined ? [] : [found];
  };

type Operand = { readonly path: JsonPath } | { readonly literal: unknown };

const COMPARE: Readonly<Record<string, (a: unknown, b: unknown) => boolean>> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => comparable(a, b) && (a as number) < (b as number),
  "<=": (a, b) => comparable(a, b) && (a as number) <= (b as number),
  ">": (a, b) => comparable(a, b) && (a as number) > (b as number),
  ">=": (a, b) => comparable(a, b) && (a as number) >= (b as number),
};

function comparable(a: unknown, b: unknown): boolean {
  return typeof a === typeof b && (typeof a === "number" || typeof a === "string");
}

function filter(left: Operand, op: string | undefined, right: Operand | undefined): Step {
  const valueOf = (operand: Operand, item: unknown): unknown[] =>
    "path" in operand ? operand.path(item) : [operand.literal];
  return (value) => {
    const items = Array.isArray(value) ? value : isJsonObject(value) ? Object.values(value) : [];
    return items.filter((item: unknown) => {
      const [first] = valueOf(left, item);
      if (op === undefined || right === undefined) return valueOf(left, item).length > 0;
      const [second] = valueOf(right, item);
      return COMPARE[op]?.(first, second) ?? false;
    });
  };
}

class Parser {
  #rest: string;

  constructor(text: string) {
    this.#rest = text.startsWith("$") ? text.slice(1) : text;
  }

  steps(): Step[] | undefined {
    const steps: Step[] = [];
    if (this.#rest === ".") return steps;
    while (this.#rest !== "") {
      const step = this.#step();
      if (step === undefined) return undefined;
      steps.push(step);
    }
    return steps;
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    const found = pattern.exec(this.#rest);
    if (found === null) return undefined;
    this.#rest = this.#rest.slice(found[0].length);
    return found;
  }

  #step(): Step | undefined {
    if (this.#take(/^\.\.(?=[^[])/) !== undefined) {
      this.#rest = `.${this.#rest}`;
      return descendants;
    }
    if (this.#take(/^\.?\[\*\]|^\.\*/) !== undefined) return children;
    const name = this.#take(/^\.((?:\\.|[^.[\]\\])+)/);
    if (name !== undefined) return member((name[1] as string).replace(/\\(.)/g, "$1"));
    if (this.#take(/^\.?\[\?\(/) !== undefined) return this.#filter();
    const slicing = this.#take(/^\.?\[(-?\d+)?:(-?\d+)?(?::(\d+))?\]/);
    if (slicing !== undefined) {
      const [from, to, by] = slicing.slice(1).map((each) => (each === undefined ? undefined : Number(each)));
      return slice(from, to, by ?? 1);
    }
    return this.#take(/^\.?\[/) === undefined ? undefined : this.#union();
  }

  #union(): Step | undefined {
    const steps: Step[] = [];
    do {
      const number = this.#take(/^\s*(-?\d+)\s*/);
      const name = number === undefined ? this.#quoted() : undefined;
      if (number === undefined && name === undefined) return undefined;
      steps.push(name === undefined ? index(Number(number?.[1])) : member(name));
    } while (this.#take(/^,/) !== undefined);
    if (this.#take(/^\]/) === undefined) return undefined;
    return (value) => steps.flatMap((step) => step(value));
  }

  #quoted(): string | undefined {
    const found = this.#take(/^\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)")\s*/);
    return (found?.[1] ?? found?.[2])?.replace(/\\(.)/g, "$1");
  }

  #filter(): Step | undefined {
    const left = this.#operand();
    const op = this.#take(/^\s*(==|!=|<=|>=|<|>)\s*/)?.[1];
    const right = op === undefined ? undefined : this.#operand();
    const complete = left !== undefined && (op === undefined || right !== undefined);
    return complete && this.#take(/^\s*\)\]/) !== undefined ? filter(left, op, right) : undefined;
  }

  #operand(): Operand | undefined {
    const text = this.#quoted();
    if (text !== undefined) return { literal: text };
    const literal = this.#take(/^\s*(true|false|-?\d+(?:\.\d+)?)/)?.[1];
    if (literal !== undefined) return { literal: JSON.parse(literal) as unknown };
    const path = this.#take(/^\s*@((?:\.(?:\\.|[^\s.[\]\\=!<>()])+|\[\d+\]|\['[^']*'\])*)/);
    const compiled = path === undefined ? undefined : compileJsonPath(path[1] as string);
    return compiled === undefined ? undefined : { path: compiled };
  }
}
